// SPDX-License-Identifier: MIT

#include <ringpool/ringpool.hpp>

#include "add_contender.hpp"

namespace {

/// Also canaries, racing double frees, writes after free: what a test build, or an anxious one,
/// pays.
class ringpool_hardened {
 public:
  static constexpr bench::about about{.name = "ringpool, hardened", .ours = true};
  explicit ringpool_hardened(const bench::demand& wanted)
      : pool_(wanted.bytes, wanted.count, {.hardened = true}) {}
  void* take(std::size_t bytes) { return pool_.allocate(bytes); }
  void give(void* buffer, std::size_t) { pool_.deallocate(buffer); }

 private:
  ringpool::ring_buffer_pool pool_;
};

const bool added = bench::add<ringpool_hardened>();

}  // namespace
