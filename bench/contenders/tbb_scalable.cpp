// SPDX-License-Identifier: MIT
// needs libtbbmalloc.so.2

#include "loaded_malloc.hpp"

namespace {

struct tbb_scalable {
  static constexpr bench::about about{.name = "oneTBB scalable", .any_size = true};
  static constexpr const char* file = "libtbbmalloc.so.2";
  static constexpr const char* malloc_name = "scalable_malloc";
  static constexpr const char* free_name = "scalable_free";
};

const bool added = bench::loaded_malloc<tbb_scalable>::load_and_add();

}  // namespace
