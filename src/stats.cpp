// SPDX-License-Identifier: MIT
#include "ringpool/stats.hpp"

namespace ringpool {

pool_stats multi_size_stats::total() const noexcept {
  pool_stats sum;
  for (const pool_stats& one : classes) {
    sum.alloc_count += one.alloc_count;
    sum.free_count += one.free_count;
    sum.fallback_count += one.fallback_count;
    sum.available += one.available;
    sum.ring_size += one.ring_size;
    sum.in_use += one.in_use;
    sum.cached += one.cached;
    sum.peak_in_use += one.peak_in_use;
    sum.elastic_capacity += one.elastic_capacity;
    sum.elastic_in_use += one.elastic_in_use;
    sum.elastic_alloc_count += one.elastic_alloc_count;
    sum.elastic_committed_bytes += one.elastic_committed_bytes;
    sum.upstream_alloc_count += one.upstream_alloc_count;
    sum.oversize_count += one.oversize_count;
    sum.raid_count += one.raid_count;
    sum.refusal_count += one.refusal_count;
    sum.misuse_count += one.misuse_count;
    sum.waiting += one.waiting;
    sum.wait_count += one.wait_count;
    sum.wait_timeout_count += one.wait_timeout_count;
    sum.wait_total_ns += one.wait_total_ns;
    sum.injected_count += one.injected_count;
    sum.spill_count += one.spill_count;
    sum.spill_in_use += one.spill_in_use;
  }
  sum.upstream_in_use_bytes = upstream_in_use_bytes;
  return sum;
}

}  // namespace ringpool
