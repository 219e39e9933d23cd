// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <latch>
#include <vector>

#include "books.hpp"
#include "crew.hpp"

namespace ringpool::stress {

/// Who is around when a pool's capacity is counted.
struct mixture {
  unsigned dead = 0;    ///< threads that filled their caches and ended
  unsigned idle = 0;    ///< threads that filled their caches and sit
  unsigned taking = 1;  ///< threads that take until they are refused
  bool at_once = true;  ///< they start together; else the first take while others are being born
};

/// Leaves the calling thread's cache as full as the pool lets it be.
template <class Pool>
void fill_cache(Pool& pool, holder who, verdict& log) {
  constexpr std::size_t more_than_a_cache = 3 * index_cache::max_items;
  const std::size_t size = pool.buffer_size();
  give_all_back(pool, take_until_refused(pool, size, who, log, more_than_a_cache), who, log);
}

/// The threads get exactly `capacity` buffers in all.
///
/// Why the sum is exact while they compete: the last refusal is true at a moment at which every
/// buffer is held or inside another's unfinished call. That call serves its caller, or it would be
/// refused later; and a caller that was served asks again.
template <class Pool>
void count_spread(Pool& pool, std::size_t capacity, const mixture& crew, verdict& log) {
  std::atomic<std::size_t> total{0};
  std::latch all_refused(crew.taking);
  const auto take = [&](unsigned number) {
    const holder who = 1000 + number;
    const auto held = take_until_refused(pool, pool.buffer_size(), who, log, capacity + 1);
    total.fetch_add(held.size(), std::memory_order_relaxed);
    all_refused.arrive_and_wait();
    give_all_back(pool, held, who, log);
  };
  if (crew.at_once) {
    run_together(crew.taking, take);
  } else {
    run_as_born(crew.taking, take);
  }
  log.require(total.load() >= capacity, "threads together got fewer buffers than there are");
  log.require(total.load() <= capacity, "threads together got more buffers than there are");
}

/// With all buffers held, each one that is given back can be had at once, and only that one: a
/// refusal leaves nothing behind.
template <class Pool>
void require_turnover(Pool& pool, std::size_t capacity, verdict& log) {
  constexpr holder who = 0x7042;
  std::vector<void*> held = take_until_refused(pool, pool.buffer_size(), who, log, capacity + 1);
  for (std::size_t i = 0; i < std::min<std::size_t>(held.size(), 40); ++i) {
    give_all_back(pool, {held[i]}, who, log);
    const auto again = take_until_refused(pool, pool.buffer_size(), who, log, 2);
    log.require(!again.empty(), "refused though a buffer had just been given back");
    log.require(again.size() < 2, "one buffer was given back, and two were to be had");
    held[i] = again.empty() ? nullptr : again.front();
  }
  std::erase(held, nullptr);
  give_all_back(pool, held, who, log);
}

/// Capacity is exact for this mixture of threads, spread and in one thread, whatever the caches
/// hold; twice, since the first count leaves other caches behind than it found.
template <class Pool>
void exact_capacity(Pool& pool, const mixture& crew, verdict& log) {
  const std::size_t capacity = pool.capacity();
  const auto fill = [&](unsigned number) { fill_cache(pool, 1 + number, log); };
  { const idle_crew dead(crew.dead, fill); }
  const idle_crew idle(crew.idle, fill);
  for (int round = 0; round < 2 && log.clean(); ++round) {
    count_spread(pool, capacity, crew, log);
    require_exactly(pool, pool.buffer_size(), capacity, log);
    require_turnover(pool, capacity, log);
    fill_cache(pool, 1, log);
  }
  if (log.clean()) {
    require_whole(pool, log);
  }
}

}  // namespace ringpool::stress
