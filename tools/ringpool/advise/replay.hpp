// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "forecast.hpp"
#include "size_histogram.hpp"
#include "traffic.hpp"

namespace ringpool::tools {

/// What a multi_size_ring_pool did with traffic.
struct replay_result {
  std::uint64_t allocation_count = 0;
  std::uint64_t fallback_count = 0;  ///< not from a ring
  std::uint64_t upstream_count = 0;  ///< of those: from the heap; oversize ones too
  double wasted_bytes = 0.0;         ///< at a time, on average: of ring and elastic buffers
  std::vector<std::uint64_t> touched_counts;  ///< by class: ring buffers that ever were out
  std::uint64_t resident_bytes = 0;           ///< that the process gained, of pages written to
  double seconds = 0.0;                       ///< that the calls took

  [[nodiscard]] double fallback_share() const noexcept {
    return allocation_count == 0
               ? 0.0
               : static_cast<double>(fallback_count) / static_cast<double>(allocation_count);
  }
};

/// Most allocations that a replay makes: a few seconds of them.
inline constexpr std::uint64_t most_replayed = std::uint64_t{1} << 25;

/// Feeds a real pool with the traffic, each sample as often as it weighs, in the order of its times
/// and as fast as it goes; every buffer is written to. `settings` by rising buffer_size. Throws
/// std::system_error as the pool's constructor does. `progress`: samples done, now and then.
[[nodiscard]] replay_result replay(const traffic& timed, std::span<const class_setting> settings,
                                   const std::function<void(std::uint64_t done)>& progress = {});

/// Traffic as assume_loads() assumes it, for a replay: `count` allocations of the histogram's sizes
/// in their shares, as a Poisson process, held for exponentially distributed times.
[[nodiscard]] traffic poisson_traffic(const size_histogram& sizes, double rate, double hold_seconds,
                                      std::uint64_t count, std::uint64_t seed);

/// The samples from the first on that make at most `most` allocations.
[[nodiscard]] traffic first_allocations(const traffic& timed, std::uint64_t most);

}  // namespace ringpool::tools
