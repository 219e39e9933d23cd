// SPDX-License-Identifier: MIT
// needs libmimalloc.so.2

#include "loaded_malloc.hpp"

namespace {

struct mimalloc {
  static constexpr bench::about about{.name = "mimalloc", .any_size = true};
  static constexpr const char* file = "libmimalloc.so.2";
  static constexpr const char* malloc_name = "mi_malloc";
  static constexpr const char* free_name = "mi_free";
};

const bool added = bench::loaded_malloc<mimalloc>::load_and_add();

}  // namespace
