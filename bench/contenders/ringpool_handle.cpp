// SPDX-License-Identifier: MIT

#include <ringpool/ringpool.hpp>

#include "add_contender.hpp"

namespace {

/// The handle that gives itself back, in place of raw pointers.
class ringpool_handle {
 public:
  static constexpr bench::about about{.name = "ringpool, handle", .ours = true};
  explicit ringpool_handle(const bench::demand& wanted) : pool_(wanted.bytes, wanted.count) {}
  ringpool::buffer take(std::size_t bytes) { return pool_.alloc(bytes); }
  void give(ringpool::buffer&& handle, std::size_t) { handle.reset(); }

 private:
  ringpool::ring_buffer_pool pool_;
};

const bool added = bench::add<ringpool_handle>();

}  // namespace
