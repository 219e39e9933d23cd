// SPDX-License-Identifier: MIT

#include <ringpool/ringpool.hpp>

#include "add_contender.hpp"

namespace {

/// As a user has it who changes nothing: statistics and misuse detection on.
class ringpool_pool {
 public:
  static constexpr bench::about about{.name = "ringpool", .ours = true, .exact = true};
  explicit ringpool_pool(const bench::demand& wanted) : pool_(wanted.bytes, wanted.count) {}
  void* take(std::size_t bytes) { return pool_.allocate(bytes); }
  void* try_take(std::size_t bytes) { return pool_.try_allocate(bytes); }
  void give(void* buffer, std::size_t) { pool_.deallocate(buffer); }
  void take_bulk(std::span<void*> out) { (void)pool_.allocate_bulk(out); }
  void give_bulk(std::span<void* const> buffers) { pool_.deallocate_bulk(buffers); }

 private:
  ringpool::ring_buffer_pool pool_;
};

const bool added = bench::add<ringpool_pool>();

}  // namespace
