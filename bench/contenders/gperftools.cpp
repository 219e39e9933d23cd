// SPDX-License-Identifier: MIT
// needs libtcmalloc_minimal.so.4

#include "loaded_malloc.hpp"

namespace {

struct gperftools {
  static constexpr bench::about about{.name = "gperftools", .any_size = true};
  static constexpr const char* file = "libtcmalloc_minimal.so.4";
  static constexpr const char* malloc_name = "tc_malloc";
  static constexpr const char* free_name = "tc_free";
};

const bool added = bench::loaded_malloc<gperftools>::load_and_add();

}  // namespace
