// SPDX-License-Identifier: MIT
// needs libjemalloc.so.2

#include "loaded_malloc.hpp"

namespace {

struct jemalloc {
  static constexpr bench::about about{.name = "jemalloc", .any_size = true};
  static constexpr const char* file = "libjemalloc.so.2";
  static constexpr const char* malloc_name = "malloc";
  static constexpr const char* free_name = "free";
};

const bool added = bench::loaded_malloc<jemalloc>::load_and_add();

}  // namespace
