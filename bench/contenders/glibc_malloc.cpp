// SPDX-License-Identifier: MIT

#include <cstdlib>

#include "add_contender.hpp"

namespace {

class glibc_malloc {
 public:
  static constexpr bench::about about{.name = "glibc malloc", .any_size = true};
  explicit glibc_malloc(const bench::demand&) {}
  void* take(std::size_t bytes) { return std::malloc(bytes); }
  void give(void* buffer, std::size_t) { std::free(buffer); }
};

const bool added = bench::add<glibc_malloc>();
// What a pool's upstream is made of.
const auto upstream = bench::row(glibc_malloc::about)[bench::workload::upstream] =
    bench::hot_pair<glibc_malloc>;

}  // namespace
