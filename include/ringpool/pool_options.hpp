// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "ringpool/arena.hpp"

namespace ringpool {

class fault_plan;

/// What a buffer's bytes become when it is given back.
enum class zeroing : std::uint8_t {
  none,  ///< they stay
  used,  ///< zero: size() bytes of a handle, all bytes of a raw pointer
  all,   ///< zero: buffer_size bytes
};

struct pool_options {
  /// Further buffers after the ring's: address space, committed on first use, given back when
  /// idle. At most max_capacity; any number.
  std::size_t elastic_capacity = 0;
  /// Serves what ring and elastic cannot; nullptr: none. Outlives the pool.
  std::pmr::memory_resource* upstream = std::pmr::new_delete_resource();
  /// Most bytes outstanding from upstream.
  std::size_t upstream_budget_bytes = std::size_t{1} << 30;
  zeroing zero_on_free = zeroing::none;
  /// Also: racing double frees, canaries behind each buffer, writes after free, the last freer's
  /// thread, buffers held at destruction. Every call then takes the slow path.
  bool hardened = false;

  /// Residency, huge pages, NUMA node and lock of the ring's buffers.
  memory_options memory{};
  /// Most buffers that one thread may cache, at most index_cache::max_items; 0: no caches. Pools
  /// lower it for themselves: caches together never aim at more than half of the capacity.
  std::size_t cache_limit = 128;
  /// Elastic memory is given back once none was allocated for this long (see decay()).
  std::chrono::milliseconds elastic_decay{5000};
  /// False: owners of caches fence for themselves, as where the kernel refuses membarrier.
  bool use_membarrier = true;
  /// Allocations to refuse on purpose, in tests; nullptr: none. Outlives the pool. Every allocation
  /// then takes the slow path.
  fault_plan* faults = nullptr;
};

}  // namespace ringpool
