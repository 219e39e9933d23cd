// SPDX-License-Identifier: MIT
//
// What the loops, the clocks and the channel cost by themselves: every figure contains it.

#include "add_contender.hpp"

namespace {

class empty_loop {
 public:
  static constexpr bench::about about{.name = "empty loop", .any_size = true};
  explicit empty_loop(const bench::demand&) {}
  void* take(std::size_t) { return &buffer_; }
  void give(void*, std::size_t) {}

 private:
  alignas(64) static thread_local char buffer_;  // each thread its own: no line is shared
};
alignas(64) thread_local char empty_loop::buffer_;

const bool added = bench::add<empty_loop>();
const auto no_memory = bench::row(empty_loop::about)[bench::workload::memory] = nullptr;

}  // namespace
