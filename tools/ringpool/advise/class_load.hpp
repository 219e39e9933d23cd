// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "size_histogram.hpp"
#include "traffic.hpp"

namespace ringpool::tools {

/// How many buffers of one class are held at once, and what a ring of n of them could not serve.
///
/// Invariant: refused and busier never rise; peak() buffers serve all but 1e-9 of the allocations,
///   all of them where the load was measured.
struct class_load {
  double allocations = 0.0;
  double mean_held = 0.0;  ///< buffers, over time
  std::uint64_t unit = 1;  ///< buffers of a step in the tables below, more than 1 in long traffic
  double sample_weight = 1.0;        ///< allocations that a sample stands for, on average
  std::vector<double> refused{0.0};  ///< [n]: share of allocations that n x unit buffers refuse
  std::vector<double> busier{0.0};   ///< [n]: share of the time with more than n x unit held
  std::vector<double> timeline;      ///< most held, in equal parts of the time; empty: assumed

  [[nodiscard]] std::uint64_t peak() const noexcept { return (refused.size() - 1) * unit; }
  /// Standard error of peak(), as of a sum of samples of which each stands for so many.
  [[nodiscard]] double peak_error() const noexcept;
  /// Share of allocations that find `capacity` buffers all held.
  [[nodiscard]] double refused_share(std::uint64_t capacity) const noexcept;
  /// The least capacity that refuses no larger share than this.
  [[nodiscard]] std::uint64_t least_capacity(double share) const noexcept;
  /// Buffers that were not exceeded for this share of the time.
  [[nodiscard]] std::uint64_t held_quantile(double share) const noexcept;
};

inline constexpr std::size_t timeline_parts = 240;

/// The load of each class, and last of what is above the largest: from the trace's own times, so
/// bursts and whatever goes with what are in it. For traffic that is timed and whose samples were
/// all held for a known time. `sizes`: of the buffers, rising.
///
/// Each allocation takes the lowest number that is free in its class. Numbers below n are then
/// taken and given back just as n buffers in a ring would be, whatever the order of its buffers,
/// and what gets a higher number is what that ring refuses: one walk has the answer for every
/// capacity. Cost: O(m log held) for m samples.
[[nodiscard]] std::vector<class_load> measure_loads(const traffic& timed,
                                                    std::span<const std::uint32_t> sizes);

/// The same for traffic of unknown times: `rate` allocations a second that come independently of
/// each other (a Poisson process), held as long as the histogram says of their size, or for
/// `hold_seconds` on average where it does not. By Little's law a size with share s of the
/// allocations holds s x rate x hold on average; that n buffers are found held has the probability
/// of Erlang's loss formula, whatever the distribution of the times held.
[[nodiscard]] std::vector<class_load> assume_loads(const size_histogram& histogram,
                                                   std::span<const std::uint32_t> sizes,
                                                   double rate, double hold_seconds);

/// Share of arrivals that find all of 0, 1, 2 ... servers busy, up to where it is `least` or less,
/// for an offered load of `offered` (A. K. Erlang, Solution of some problems in the theory of
/// probabilities of significance in automatic telephone exchanges, 1917). By the recursion
/// B(0) = 1, B(n) = a B(n-1) / (n + a B(n-1)).
[[nodiscard]] std::vector<double> erlang_b(double offered, double least);

struct capacity_options {
  double exhaustion = 1e-4;  ///< largest share of a class's allocations that find its ring empty
  double headroom = 1.25;    ///< factor on what was seen, for what was not
};

struct class_capacity {
  std::uint64_t ring = 1;     ///< a power of two
  std::uint64_t elastic = 0;  ///< up to the peak
};

/// The ring serves all but `exhaustion` with `headroom` to spare, elastic buffers the rest: up to
/// the peak and twice its error. Neither is above max_capacity, whatever the load.
[[nodiscard]] class_capacity choose_capacity(const class_load& load,
                                             const capacity_options& options) noexcept;

}  // namespace ringpool::tools
