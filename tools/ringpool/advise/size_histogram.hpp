// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "traffic.hpp"

namespace ringpool::tools {

/// All allocations of one size.
struct size_bin {
  std::uint32_t bytes = 0;   ///< asked for
  double allocations = 0.0;  ///< samples, each as often as its weight
  double presence = 0.0;     ///< allocations x nanoseconds held; allocations where that is unknown

  /// Mean, where presence is by time.
  [[nodiscard]] double held_ns() const noexcept { return presence / allocations; }
};

/// Which sizes were asked for. What a size counts is its presence: memory is taken by what is held,
/// so a size held ten times as long counts ten times as much.
///
/// Invariant:     bins by rising, distinct bytes; every presence is above 0.
/// Thread-safety: immutable; shared freely.
/// Cost:          making it: O(n log n) for n samples.
class size_histogram {
 public:
  explicit size_histogram(const traffic& from);

  [[nodiscard]] std::span<const size_bin> bins() const noexcept { return bins_; }
  [[nodiscard]] bool empty() const noexcept { return bins_.empty(); }
  [[nodiscard]] std::uint32_t max_bytes() const noexcept { return bins_.back().bytes; }
  [[nodiscard]] double allocations() const noexcept { return allocations_; }
  /// Presence is by time: every sample says how long it was held.
  [[nodiscard]] bool weighs_time() const noexcept { return weighs_time_; }
  /// The least size that at least this share of the allocations does not exceed.
  [[nodiscard]] std::uint32_t quantile_bytes(double share) const noexcept;

 private:
  std::vector<size_bin> bins_;
  double allocations_ = 0.0;
  bool weighs_time_ = false;
};

/// Bytes from one buffer of a class to the next: whole cache lines.
[[nodiscard]] constexpr std::uint64_t stride_of(std::uint64_t buffer_size) noexcept {
  constexpr std::uint64_t line = 64;
  return (buffer_size + line - 1) / line * line;
}

/// What buffers of some classes take, and what of it was asked for. Sums over presence.
struct class_waste {
  double asked_bytes = 0.0;
  double buffer_bytes = 0.0;
  double oversize_allocations = 0.0;  ///< above the largest class; in neither of the two

  [[nodiscard]] double wasted_bytes() const noexcept { return buffer_bytes - asked_bytes; }
  /// Of the buffers' bytes, 0 to 1.
  [[nodiscard]] double wasted_share() const noexcept {
    return buffer_bytes > 0 ? wasted_bytes() / buffer_bytes : 0.0;
  }
};

/// `sizes`: of the classes' buffers, rising.
[[nodiscard]] class_waste waste_of(const size_histogram& histogram,
                                   std::span<const std::uint32_t> sizes) noexcept;

}  // namespace ringpool::tools
