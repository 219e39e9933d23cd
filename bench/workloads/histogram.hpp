// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

/// Counts of values, in steps of 1/32 of the value: percentiles to 3 %, any range, fixed memory.
class histogram {
 public:
  void add(std::uint64_t value) {
    ++counts_[index_of(value)];
    longest_ = std::max(longest_, value);
    ++total_;
  }
  void add(const histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += other.counts_[i];
    }
    longest_ = std::max(longest_, other.longest_);
    total_ += other.total_;
  }
  [[nodiscard]] bool empty() const { return total_ == 0; }
  /// The value that `share` of all values do not exceed, but for the step; 1: the exact longest.
  [[nodiscard]] double at(double share) const {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; share < 1 && i < counts_.size(); ++i) {
      seen += counts_[i];
      if (static_cast<double>(seen) >= share * static_cast<double>(total_)) {
        return static_cast<double>(highest_in(i));
      }
    }
    return static_cast<double>(longest_);
  }

 private:
  static constexpr unsigned step_bits = 5;
  static constexpr std::size_t steps = std::size_t{1} << step_bits;

  /// Below 64 each value has its own place; above, 32 places for each power of two.
  static std::size_t index_of(std::uint64_t value) {
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > step_bits + 1 ? width - step_bits - 1 : 0;
    return shift * steps + (value >> shift);
  }
  static std::uint64_t highest_in(std::size_t index) {
    if (index < 2 * steps) {
      return index;
    }
    const std::size_t shift = index / steps - 1;
    return ((index - shift * steps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - step_bits) * steps + steps> counts_{};
  std::uint64_t longest_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace bench
