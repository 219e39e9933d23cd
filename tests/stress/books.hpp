// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "ringpool/ringpool.hpp"
#include "stamp.hpp"

namespace ringpool::stress {

/// Takes buffers of `size` bytes, each stamped by `who`, until the pool refuses one, or `limit`.
template <class Pool>
std::vector<void*> take_until_refused(Pool& pool, std::size_t size, holder who, verdict& log,
                                      std::size_t limit = std::numeric_limits<std::size_t>::max()) {
  std::vector<void*> held;
  while (held.size() < limit) {
    void* data = pool.try_allocate(size);
    if (data == nullptr) {
      break;
    }
    claim(data, who, log);
    held.push_back(data);
  }
  return held;
}

template <class Pool>
void give_all_back(Pool& pool, const std::vector<void*>& held, holder who, verdict& log) {
  for (void* data : held) {
    unclaim(data, who, log);
    pool.deallocate(data);
  }
}

/// One thread gets exactly `capacity` buffers before it is refused, and gives them back.
template <class Pool>
void require_exactly(Pool& pool, std::size_t size, std::size_t capacity, verdict& log) {
  constexpr holder auditor = 0xA0D1;
  const std::vector<void*> held = take_until_refused(pool, size, auditor, log, capacity + 1);
  log.require(held.size() >= capacity, "refused while buffers were free: some are stranded");
  log.require(held.size() <= capacity, "more buffers were given out than there are");
  give_all_back(pool, held, auditor, log);
}

/// No call is under way and nothing is held: the statistics must say so exactly.
inline void require_balanced(const pool_stats& now, verdict& log) {
  log.require(now.ring_size == now.available + now.in_use, "ring_size != available + in_use");
  log.require(now.in_use == 0, "buffers in use, though all were given back");
  log.require(now.alloc_count == now.free_count, "alloc_count != free_count at rest");
  log.require(now.elastic_in_use == 0, "elastic buffers in use, though all were given back");
  log.require(now.upstream_in_use_bytes == 0, "upstream bytes in use, though all were given back");
  log.require(now.misuse_count == 0, "misuse was reported, though there was none");
}

template <class Pool>
void require_whole(Pool& pool, verdict& log) {
  const pool_stats now = pool.stats();
  require_balanced(now, log);
  require_exactly(pool, now.buffer_size, now.ring_size, log);
  require_balanced(pool.stats(), log);
}

inline void require_whole(multi_size_ring_pool& pool, verdict& log) {
  for (const pool_stats& now : pool.stats().classes) {
    require_balanced(now, log);
    require_exactly(pool, now.buffer_size, now.ring_size, log);
  }
  for (const pool_stats& now : pool.stats().classes) {
    require_balanced(now, log);
  }
}

}  // namespace ringpool::stress
