// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringpool/config.hpp"

namespace ringpool {

/// One class of a set: `capacity` buffers of `buffer_size` bytes.
struct size_class {
  std::size_t buffer_size;
  std::size_t capacity;
};

/// Size to class by one table load.
///
/// The table has one byte for every granule of sizes, which is 64 bytes while the largest class has
/// at most 4 MiB: the smallest class that holds the least size of the granule. Where classes end
/// inside a granule its larger sizes get too small a class; the class's own limit tells, and the
/// slow path goes up from there. With multiples of 64 up to 4 MiB none does.
///
/// Invariant: class_of(size) is the smallest class that fits, or a smaller one.
/// Progress: wait-free. Thread-safety: read only once reset. Cost: one load.
class size_class_table {
 public:
  static constexpr std::size_t max_entries = std::size_t{1} << 16;

  /// Entries for classes up to `largest` bytes: at most max_entries.
  [[nodiscard]] static constexpr std::size_t entry_count(std::size_t largest) noexcept {
    return ((largest - 1) >> shift_for(largest)) + 1;
  }

  /// `classes` by rising buffer_size; `entries`: entry_count(the largest) bytes.
  void reset(std::span<const size_class> classes, std::uint8_t* entries) noexcept {
    const std::size_t largest = classes.back().buffer_size;
    entries_ = entries;
    count_ = entry_count(largest);
    shift_ = shift_for(largest);
    std::uint8_t fit = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      while (classes[fit].buffer_size < (i << shift_) + 1) {
        ++fit;
      }
      entries_[i] = fit;
    }
  }

  /// False for size 0 and for sizes above the largest class's granule.
  [[nodiscard]] bool covers(std::size_t size) const noexcept {
    return (size - 1) >> shift_ < count_;  // size 0 wraps to far above
  }
  [[nodiscard]] std::size_t class_of(std::size_t size) const noexcept {
    return entries_[(size - 1) >> shift_];
  }

 private:
  [[nodiscard]] static constexpr unsigned shift_for(std::size_t largest) noexcept {
    constexpr unsigned line = std::countr_zero(cache_line_bytes);
    constexpr unsigned widest = std::countr_zero(max_entries);
    const auto bits = static_cast<unsigned>(std::bit_width(largest - 1));
    return bits > line + widest ? bits - widest : line;
  }

  std::uint8_t* entries_ = nullptr;
  std::size_t count_ = 0;
  unsigned shift_ = 0;
};

}  // namespace ringpool
