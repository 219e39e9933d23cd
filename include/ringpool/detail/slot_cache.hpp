// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringpool/config.hpp"

namespace ringpool::detail {

/// One thread slot's cache in one pool. Zeroed memory is a cache that nobody used yet.
template <class Policy>
struct slot_cache {
  template <class T>
  using atomic = typename Policy::atomics::template atomic<T>;
  static constexpr std::size_t item_count = (cache_stride_bytes - cache_line_bytes) / 8;
  /// A pop adds pop_step to seq, any other call 2: so the low half of seq counts pops, down to
  /// the trip bit, and the comparison that finds an odd seq finds it too. Only a slow path clears
  /// it, and sets the next distance. The larger the step, the less another call counts: a pop that
  /// comes after many of them would be sampled too often.
  static constexpr std::uint64_t pop_step = std::uint64_t{1} << 14;
  static constexpr std::uint64_t trip_bit = std::uint64_t{1} << 31;

  atomic<std::uint64_t> seq;            ///< odd while a call of the owner is under way; grows
  atomic<std::uint64_t> level;          ///< items + 1; 0: never used, no raider looks here
  atomic<std::uint64_t> allocs;         ///< served here
  atomic<std::uint64_t> frees;          ///< taken in here
  atomic<std::uint64_t> direct_allocs;  ///< served to this slot by the ring or a raid
  atomic<std::uint64_t> direct_frees;   ///< taken in by the ring
  atomic<std::uint64_t> refusals;       ///< counted by this slot
  std::uint64_t reserved;
  atomic<std::uint64_t> items[item_count];  ///< addresses of free buffers, the hottest last
};

}  // namespace ringpool::detail
