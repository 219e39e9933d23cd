// SPDX-License-Identifier: MIT
#include <time.h>

#include <algorithm>

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

std::size_t ring_buffer_pool::trim(std::size_t keep_count) noexcept {
  // A1 <- R1: what the last trimmer did with the collected buffers
  if (options_.elastic_capacity == 0 || trimming_.exchange(true, detail::acquire)) {
    return 0;  // another thread is at it
  }
  elastic_dirty_.store(false, detail::relaxed);
  collect_returned_elastic();
  const std::size_t bytes = discard_collected_elastic(keep_count);
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
      std::atomic<buffer_state>& state = states_[capacity_ + to_number(slots[i])];
      const bool used = state.load(detail::relaxed) == buffer_state::used;
      state.store(used ? buffer_state::collected : buffer_state::collected_bare, detail::relaxed);
    }
  }
}

/// The collected buffers before it keep their memory: with those that are held, `keep_count`.
std::size_t ring_buffer_pool::first_to_discard(std::size_t keep_count) const noexcept {
  const std::size_t used = elastic_ring_.touched();
  const std::atomic<buffer_state>* const states = states_ + capacity_;
  const auto collected = static_cast<std::uint64_t>(
      std::count_if(states, states + used, [](const std::atomic<buffer_state>& one) {
        return one.load(detail::relaxed) == buffer_state::collected;
      }));
  const std::uint64_t committed = elastic_committed_.load(detail::relaxed);
  std::uint64_t excess = committed - std::min<std::uint64_t>(committed, keep_count);
  std::size_t first = used;
  for (excess = std::min(excess, collected); excess != 0; --first) {
    excess -= states[first - 1].load(detail::relaxed) == buffer_state::collected ? 1U : 0U;
  }
  return first;
}

/// Whole pages of adjacent collected buffers go back to the system, those of the last ones first.
std::size_t ring_buffer_pool::discard_collected_elastic(std::size_t keep_count) noexcept {
  const std::size_t used = elastic_ring_.touched();
  const bool share_pages = elastic_map_.stride % arena::page_bytes() != 0;
  const auto may_go = [&](std::size_t i) {
    const buffer_state state = states_[capacity_ + i].load(detail::relaxed);
    return state == buffer_state::collected ||
           (share_pages && state == buffer_state::collected_bare);
  };
  std::size_t bytes = 0;
  for (std::size_t i = first_to_discard(keep_count); i < used;) {
    std::size_t end = i;
    while (end < used && may_go(end)) {
      ++end;
    }
    bytes += discard_run(i, end);
    i = end + 1;
  }
  return bytes;
}

/// Of the collected buffers begin .. end: those that lie in whole pages have no memory after it.
std::size_t ring_buffer_pool::discard_run(std::size_t begin, std::size_t end) noexcept {
  const std::size_t page = arena::page_bytes();
  const std::uintptr_t from = (elastic_map_.address_of(begin) + page - 1) & ~(page - 1);
  const std::uintptr_t to = elastic_map_.address_of(end) & ~(page - 1);
  std::uint64_t bare = 0;
  for (std::size_t i = begin; i < end && from < to; ++i) {
    std::atomic<buffer_state>& state = states_[capacity_ + i];
    if (state.load(detail::relaxed) == buffer_state::collected &&
        elastic_map_.address_of(i) >= from && elastic_map_.address_of(i + 1) <= to) {
      state.store(buffer_state::collected_bare, detail::relaxed);
      ++bare;
    }
  }
  if (bare == 0) {
    return 0;
  }
  for (std::size_t i = begin; i < end && histories_ != nullptr; ++i) {
    histories_[capacity_ + i].free_count.store(0, detail::relaxed);  // reads as new
  }
  arena::discard(reinterpret_cast<std::byte*>(from), to - from);
  elastic_committed_.fetch_sub(bare, detail::relaxed);
  return to - from;
}

void ring_buffer_pool::return_collected_elastic() noexcept {
  const std::size_t used = elastic_ring_.touched();
  for (std::size_t i = 0; i < used; ++i) {
    std::atomic<buffer_state>& state = states_[capacity_ + i];
    const buffer_state seen = state.load(detail::relaxed);
    if (seen == buffer_state::collected || seen == buffer_state::collected_bare) {
      const bool has_memory = seen == buffer_state::collected;
      state.store(has_memory ? buffer_state::used : buffer_state::free, detail::relaxed);
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
