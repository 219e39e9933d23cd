// SPDX-License-Identifier: MIT
#include <time.h>

#include "ringpool/ring_buffer_pool.hpp"

// Memory of elastic buffers that goes back to the system.
//
// Edges (release -> acquire):
//   R1 -> A1  trim -> trim   states of collected buffers
// All other atomics here are relaxed, as in ring_buffer_pool.cpp.

namespace ringpool {
namespace {

std::int64_t coarse_milliseconds() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

std::size_t ring_buffer_pool::trim() noexcept {
  // A1 <- R1: what the last trimmer did with the collected buffers
  if (options_.elastic_capacity == 0 || trimming_.exchange(true, detail::acquire)) {
    return 0;  // another thread is at it
  }
  elastic_dirty_.store(false, detail::relaxed);
  collect_returned_elastic();
  const std::size_t bytes = discard_collected_elastic();
  return_collected_elastic();
  // R1 -> A1 (trim): the states of collected buffers
  trimming_.store(false, detail::release);
  look_for_waiters();
  return bytes;
}

/// Takes every free elastic buffer that was used before out of caches and ring, and marks it.
void ring_buffer_pool::collect_returned_elastic() noexcept {
  elastic_cache_.drain(elastic_map_);
  slot_index slots[64];
  while (const std::size_t count = elastic_ring_.pop_returned(slots)) {
    for (std::size_t i = 0; i < count; ++i) {
      states_[capacity_ + to_number(slots[i])].store(buffer_state::trimmed, detail::relaxed);
    }
  }
}

/// Whole pages of adjacent collected buffers go back to the system.
std::size_t ring_buffer_pool::discard_collected_elastic() noexcept {
  const std::size_t page = arena::page_bytes();
  const std::size_t used = elastic_ring_.touched();
  const auto collected = [&](std::size_t i) {
    return states_[capacity_ + i].load(detail::relaxed) == buffer_state::trimmed;
  };
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < used;) {
    std::size_t end = i;
    while (end < used && collected(end)) {
      ++end;
    }
    const std::uintptr_t from = (elastic_map_.address_of(i) + page - 1) & ~(page - 1);
    const std::uintptr_t to = elastic_map_.address_of(end) & ~(page - 1);
    if (from < to) {
      arena::discard(reinterpret_cast<std::byte*>(from), to - from);
      bytes += to - from;
    }
    i = end + 1;
  }
  return bytes;
}

void ring_buffer_pool::return_collected_elastic() noexcept {
  const std::size_t used = elastic_ring_.touched();
  for (std::size_t i = 0; i < used; ++i) {
    if (states_[capacity_ + i].load(detail::relaxed) == buffer_state::trimmed) {
      if (histories_ != nullptr) {
        histories_[capacity_ + i].free_count.store(0, detail::relaxed);  // reads as new
      }
      states_[capacity_ + i].store(buffer_state::free, detail::relaxed);
      const slot_index slot{static_cast<std::uint32_t>(i)};
      elastic_ring_.push_bulk({&slot, 1});
    }
  }
}

std::size_t ring_buffer_pool::decay() noexcept {
  if (options_.elastic_capacity == 0 || !elastic_dirty_.load(detail::relaxed)) {
    return 0;
  }
  const std::int64_t now = coarse_milliseconds();
  if (decay_looked_ms_.exchange(now, detail::relaxed) == now) {
    return 0;  // once a tick of the coarse clock: the totals look at every thread's cache
  }
  const std::uint64_t allocs = elastic_cache_.totals().alloc_count;
  // relaxed: two threads that both decide to trim meet at trimming_
  if (decay_seen_allocs_.exchange(allocs, detail::relaxed) != allocs) {
    decay_changed_ms_.store(now, detail::relaxed);
    return 0;
  }
  const std::int64_t idle = now - decay_changed_ms_.load(detail::relaxed);
  return idle >= options_.elastic_decay.count() ? trim() : 0;
}

}  // namespace ringpool
