// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ringpool {

/// A snapshot of one pool or class. Exact when no call is under way; otherwise each counter is
/// some value it had during the snapshot, and no counter runs backwards.
/// At quiescence: ring_size = available + in_use, available = ring + cached + never touched.
struct pool_stats {
  std::uint64_t alloc_count = 0;     ///< buffers given out: ring, elastic and upstream
  std::uint64_t free_count = 0;      ///< buffers given back
  std::uint64_t fallback_count = 0;  ///< of alloc_count: served by elastic or upstream
  std::uint64_t available = 0;       ///< ring buffers that try_alloc can still give out
  std::uint64_t ring_size = 0;       ///< ring buffers in all: the capacity
  std::uint64_t in_use = 0;          ///< ring buffers held by callers
  std::size_t buffer_size = 0;       ///< bytes

  std::uint64_t cached = 0;       ///< of available: in threads' caches
  std::uint64_t peak_in_use = 0;  ///< most ring buffers out of the ring at once, caches included;
                                  ///< also how many were ever touched: fresh ones come last
  std::uint64_t elastic_capacity = 0;
  std::uint64_t elastic_in_use = 0;
  std::uint64_t elastic_alloc_count = 0;
  std::uint64_t elastic_committed_bytes = 0;  ///< of elastic buffers that have memory
  std::uint64_t upstream_alloc_count = 0;
  std::uint64_t upstream_in_use_bytes = 0;  ///< as requested; of the whole set in a set
  std::uint64_t oversize_count = 0;         ///< of upstream_alloc_count: larger than buffer_size
  std::uint64_t raid_count = 0;             ///< times a thread took what other caches held
  std::uint64_t refusal_count = 0;          ///< requests that got nothing
  std::uint64_t misuse_count = 0;           ///< calls reported to the misuse handler
  std::uint64_t injected_count = 0;         ///< of refusal_count: by the pool's fault_plan

  std::uint64_t spill_count = 0;   ///< requests for this class that a larger one served, which
                                   ///< counts them in its alloc_count
  std::uint64_t spill_in_use = 0;  ///< of in_use: held by requests for smaller classes

  std::uint64_t waiting = 0;             ///< who wait for a buffer now
  std::uint64_t wait_count = 0;          ///< who ever waited: alloc_until, async_alloc, enqueue
  std::uint64_t wait_timeout_count = 0;  ///< of wait_count: alloc_until that met its deadline
  std::uint64_t wait_total_ns = 0;       ///< time that waits took which are over

  /// Share of ring buffers that are held, 0 to 1.
  [[nodiscard]] double utilization() const noexcept {
    return ring_size == 0 ? 0.0 : static_cast<double>(in_use) / static_cast<double>(ring_size);
  }
};

/// A snapshot of a set of classes.
struct multi_size_stats {
  std::vector<pool_stats> classes;          ///< by rising buffer_size
  std::uint64_t oversize_count = 0;         ///< requests above the largest class
  std::uint64_t upstream_in_use_bytes = 0;  ///< of the whole set

  /// Sums over the classes; buffer_size is 0.
  [[nodiscard]] pool_stats total() const noexcept;
};

}  // namespace ringpool
