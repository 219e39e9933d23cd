// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ringpool/config.hpp"

namespace ringpool {

/// What one class of a set may have otherwise than the set's pool_options say.
struct class_settings {
  std::optional<std::size_t> elastic_capacity{};
  std::optional<std::size_t> elastic_floor{};
  std::optional<std::size_t> cache_limit{};
  /// For spill_options::buffer_limit: what requests of smaller classes may hold of this one. 0: it
  /// lends none.
  std::optional<std::size_t> spill_limit{};
  /// For memory_options::prefault: false where a large class is seldom used.
  std::optional<bool> prefault{};
};

/// One class of a set: `capacity` buffers of `buffer_size` bytes.
struct size_class {
  std::size_t buffer_size;
  std::size_t capacity;
  class_settings settings{};
};

/// Size to class by one table load.
///
/// The table has one byte for every 64 sizes up to 4 MiB: the smallest class that holds the least
/// of them. Where a class ends inside, the larger ones get too small a class; the class's own limit
/// tells, and the slow path goes up from there, as it does for sizes above 4 MiB. With classes that
/// are multiples of 64 none of the table's sizes does.
///
/// Invariant: class_of(size) is the smallest class that fits, or a smaller one.
/// Progress: wait-free. Thread-safety: read only once reset. Cost: one load.
class size_class_table {
 public:
  static constexpr std::size_t max_entries = std::size_t{1} << 16;

  /// Entries for classes up to `largest` bytes: at most max_entries.
  [[nodiscard]] static constexpr std::size_t entry_count(std::size_t largest) noexcept {
    return std::min((largest - 1) / granule_bytes + 1, max_entries);
  }

  /// `classes` by rising buffer_size; `entries`: entry_count(the largest) bytes.
  void reset(std::span<const size_class> classes, std::uint8_t* entries) noexcept {
    const std::size_t largest = classes.back().buffer_size;
    entries_ = entries;
    count_ = entry_count(largest);
    std::uint8_t fit = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      while (classes[fit].buffer_size < i * granule_bytes + 1) {
        ++fit;
      }
      entries_[i] = fit;
    }
  }

  /// False for size 0, and for sizes above the table's or the largest class's.
  [[nodiscard]] bool covers(std::size_t size) const noexcept {
    return (size - 1) / granule_bytes < count_;  // size 0 wraps to far above
  }
  [[nodiscard]] std::size_t class_of(std::size_t size) const noexcept {
    return entries_[(size - 1) / granule_bytes];
  }

 private:
  static constexpr std::size_t granule_bytes = 64;

  std::uint8_t* entries_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace ringpool
