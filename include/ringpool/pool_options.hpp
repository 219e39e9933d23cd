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

/// What becomes of a request whose class of a set is spent, ring and elastic buffers: before
/// upstream is asked, it may have a ring buffer of a larger class. A pool alone has no larger
/// class, and looks at none of this.
struct spill_options {
  /// Larger classes that are tried, the next first; 0: none.
  std::size_t class_count = 0;
  /// Most buffers of one class that requests of smaller classes may hold at one time, calls under
  /// way included. Has to be given, here or with a class, where class_count is.
  std::size_t buffer_limit = 0;
};

/// Which allocations a census knows of: see census.hpp.
struct sampling_options {
  /// About one allocation in so many, at random; 0: none. At most max_sample_interval. 128 is a
  /// good choice.
  std::size_t interval = 0;
  /// Frames of the stack that a sample keeps, the caller's first: 1 to max_sample_depth. More than
  /// 1 costs a microsecond or two a sample, and is not for signal handlers: backtrace(3).
  std::size_t depth = 1;
};

struct pool_options {
  /// Further buffers after the ring's: address space, committed on first use, given back when
  /// idle. At most max_capacity; any number.
  std::size_t elastic_capacity = 0;
  /// Elastic buffers, held ones included, that keep their memory when trim() or decay() gives the
  /// others' back. At most elastic_capacity.
  std::size_t elastic_floor = 0;
  spill_options spill{};
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
  sampling_options sampling{};
  /// Allocations to refuse on purpose, in tests; nullptr: none. Outlives the pool. Every allocation
  /// then takes the slow path.
  fault_plan* faults = nullptr;
};

}  // namespace ringpool
