// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ringpool::tools {

///   value  0 .. 127           128 .. 255   256 .. 511   512 .. 1023   ...
///   width  1                  1            2            4             doubles with every row
///          [128 buckets]      [128]        [128]        [128]
///
/// Counts of durations in nanoseconds, in log-linear buckets as HdrHistogram keeps them: every
/// power of two is cut into 128 equal parts, so that a bucket is never wider than 1/128 (0.8 %) of
/// the values in it. A percentile is the upper end of its bucket, and never more than the greatest
/// value recorded: it errs to the slow side.
///
/// Invariant:     count() = sum of all buckets; min() and max() are exact.
/// Progress:      wait-free; nothing is allocated.
/// Thread-safety: none; one histogram per thread, merged afterwards.
/// Cost:          36 KiB; record() touches one bucket and four words.
class latency_histogram {
 public:
  static constexpr unsigned sub_bucket_bits = 7;
  static constexpr unsigned value_bits = 42;  ///< 73 minutes; what is longer: the last bucket
  static constexpr std::size_t sub_buckets = std::size_t{1} << sub_bucket_bits;
  static constexpr std::size_t bucket_count = (value_bits - sub_bucket_bits + 1) * sub_buckets;
  static constexpr std::uint64_t largest_tracked = (std::uint64_t{1} << value_bits) - 1;

  void record(std::uint64_t nanoseconds) noexcept {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    sum_ += static_cast<double>(nanoseconds);
    if (nanoseconds < min_) {
      min_ = nanoseconds;
    }
    if (nanoseconds > max_) {
      max_ = nanoseconds;
    }
  }

  void merge(const latency_histogram& other) noexcept;
  void clear() noexcept { *this = latency_histogram{}; }

  /// The value below or at which `percent` % of the recorded ones lie; 0 when nothing was recorded.
  /// `percent` outside 0 .. 100 is taken as the nearer end.
  [[nodiscard]] std::uint64_t percentile(double percent) const noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept {
    return count_ == 0 ? 0.0 : sum_ / static_cast<double>(count_);
  }

  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value > largest_tracked) {
      value = largest_tracked;
    }
    if (value < sub_buckets) {
      return static_cast<std::size_t>(value);
    }
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - sub_bucket_bits - 1;
    return (shift + 1) * sub_buckets + static_cast<std::size_t>(value >> shift) - sub_buckets;
  }

  /// The greatest value that falls into bucket `index`.
  [[nodiscard]] static constexpr std::uint64_t upper_end(std::size_t index) noexcept {
    if (index < sub_buckets) {
      return index;
    }
    const std::size_t shift = index / sub_buckets - 1;
    const std::uint64_t lower = static_cast<std::uint64_t>(sub_buckets + index % sub_buckets)
                                << shift;
    return lower + (std::uint64_t{1} << shift) - 1;
  }

 private:
  std::array<std::uint64_t, bucket_count> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
  double sum_ = 0.0;
};

static_assert(latency_histogram::bucket_of(latency_histogram::largest_tracked) + 1 ==
              latency_histogram::bucket_count);

}  // namespace ringpool::tools
