// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "buffers.hpp"

namespace ringpool::tools {

/// Counts of frames by payload size: by whole cache lines up to a page, then by powers of two.
///
///   bucket  0         1            ...  63              64              ...  82
///   bytes   1 .. 64   65 .. 128    ...  4033 .. 4096    4097 .. 8192    ...  .. 2^31
struct frame_size_counts {
  static constexpr std::uint32_t line_bytes = 64;
  static constexpr std::size_t line_count = 64;
  static constexpr std::uint32_t page_bytes = line_bytes * line_count;
  static constexpr std::size_t bucket_count = line_count + 19;
  std::array<std::uint64_t, bucket_count> counts{};

  /// Greatest size of a bucket.
  [[nodiscard]] static constexpr std::uint32_t upper_bytes(std::size_t bucket) noexcept {
    return bucket < line_count ? static_cast<std::uint32_t>(bucket + 1) * line_bytes
                               : page_bytes << (bucket - line_count + 1);
  }
  /// Of a size of 1 byte or more.
  [[nodiscard]] static constexpr std::size_t bucket_of(std::size_t bytes) noexcept {
    if (bytes <= page_bytes) {
      return (bytes - 1) / line_bytes;
    }
    const auto doublings = static_cast<std::size_t>(std::bit_width((bytes - 1) / page_bytes));
    return std::min(line_count - 1 + doublings, bucket_count - 1);
  }
};

/// One loop's.
///
/// Progress: wait-free.
/// Thread-safety: add() on the loop's thread, add_to() from any.
/// Cost: a load and a store a frame.
class frame_sizes {
 public:
  void add(std::size_t bytes) noexcept { counts_[frame_size_counts::bucket_of(bytes)].add(); }

  void add_to(frame_size_counts& sum) const noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      sum.counts[i] += counts_[i].get();
    }
  }

 private:
  std::array<tally, frame_size_counts::bucket_count> counts_;
};

}  // namespace ringpool::tools
