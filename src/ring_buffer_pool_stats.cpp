// SPDX-License-Identifier: MIT
#include <algorithm>

#include "ringpool/ring_buffer_pool.hpp"

// All atomics here are relaxed: a snapshot, see pool_stats.

namespace ringpool {

pool_stats ring_buffer_pool::stats() const noexcept {
  const detail::cache_totals ring = cache_.totals();
  pool_stats now;
  now.buffer_size = buffer_size_;
  now.ring_size = capacity_;
  now.cached = std::min<std::uint64_t>(ring.cached, capacity_);
  now.available = std::min<std::uint64_t>(ring_.available() + now.cached, capacity_);
  now.in_use = capacity_ - now.available;
  now.peak_in_use = ring_.touched();
  now.raid_count = cache_.raid_count();

  if (options_.elastic_capacity != 0) {
    const detail::cache_totals elastic = elastic_cache_.totals();
    now.elastic_capacity = options_.elastic_capacity;
    now.elastic_alloc_count = elastic.alloc_count;
    now.elastic_committed_bytes = elastic_committed_.load(detail::relaxed) * elastic_map_.stride;
    now.free_count = elastic.free_count;
    const std::uint64_t free = elastic_ring_.available() + elastic.cached;
    now.elastic_in_use = now.elastic_capacity - std::min(free, now.elastic_capacity);
  }
  now.upstream_alloc_count = upstream_allocs_.load(detail::relaxed);
  now.upstream_in_use_bytes = upstream_ == nullptr ? 0 : upstream_->in_use_bytes();
  now.oversize_count = oversize_.load(detail::relaxed);
  now.refusal_count = ring.refusal_count + refusals_.load(detail::relaxed);
  now.misuse_count = misuses_.load(detail::relaxed);
  now.injected_count = injected_.load(detail::relaxed);
  now.spill_count = spills_.load(detail::relaxed);
  now.spill_in_use = std::min(lent_.held(), now.in_use);

  const detail::wait_totals waiters = waiters_.totals();
  now.waiting = waiters.waiting;
  now.wait_count = waiters.waits;
  now.wait_timeout_count = waiters.timeouts;
  now.wait_total_ns = waiters.waited_ns;

  now.fallback_count = now.elastic_alloc_count + now.upstream_alloc_count;
  now.alloc_count = ring.alloc_count + now.fallback_count;
  now.free_count += ring.free_count + upstream_frees_.load(detail::relaxed);
  return now;
}

}  // namespace ringpool
