// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "buffers.hpp"

namespace ringpool::tools {

/// Counts of durations by powers of two.
///
///   bucket  0             1               2               ...   20            21
///   ns      0 .. 1024     .. 2048         .. 4096               .. 2^30       above
struct service_time_counts {
  static constexpr std::size_t bucket_count = 22;
  std::array<std::uint64_t, bucket_count> counts{};
  std::uint64_t total_ns = 0;

  /// Greatest value of a bucket but the last.
  [[nodiscard]] static constexpr std::uint64_t upper_ns(std::size_t bucket) noexcept {
    return std::uint64_t{1024} << bucket;
  }
  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
    const auto width = static_cast<std::size_t>(std::bit_width((ns - (ns != 0 ? 1 : 0)) >> 10));
    return std::min(width, bucket_count - 1);
  }
};

/// How long frames were in a loop: from the wake-up that brought them to when the answer was
/// written or queued. Looks once in 64 frames or more: at the one handled last.
///
/// Invariant: a look stands for at least sample_every frames.
/// Progress: wait-free.
/// Thread-safety: add_to() from any thread, the rest on the loop's.
/// Cost: a comparison a turn; a clock read and two stores in 64 frames.
class service_timer {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::uint64_t sample_every = 64;

  void woke(clock::time_point now) noexcept { woke_ = now; }

  /// After a turn; `frame_count`: all that were ever handled.
  void handled(std::uint64_t frame_count) noexcept {
    if (frame_count - looked_at_ >= sample_every) [[unlikely]] {
      looked_at_ = frame_count;
      record(clock::now() - woke_);
    }
  }

  void add_to(service_time_counts& sum) const noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      sum.counts[i] += counts_[i].get();
    }
    sum.total_ns += total_ns_.get();
  }

 private:
  void record(clock::duration took) noexcept {
    const std::int64_t ns = std::chrono::nanoseconds(took).count();
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
    counts_[service_time_counts::bucket_of(value)].add();
    total_ns_.add(value);
  }

  clock::time_point woke_;
  std::uint64_t looked_at_ = 0;
  std::array<tally, service_time_counts::bucket_count> counts_;
  tally total_ns_;
};

}  // namespace ringpool::tools
