// SPDX-License-Identifier: MIT
#include "latency_histogram.hpp"

#include <algorithm>
#include <cmath>

namespace ringpool::tools {

void latency_histogram::merge(const latency_histogram& other) noexcept {
  for (std::size_t i = 0; i < bucket_count; ++i) {
    buckets_[i] += other.buckets_[i];
  }
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

std::uint64_t latency_histogram::percentile(double percent) const noexcept {
  if (count_ == 0) {
    return 0;
  }
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  // Nearest rank: the smallest rank r with r >= share * count. The small slack keeps 99.9 % of 1000
  // at rank 999 although 0.999 has no exact binary form.
  const double exact_rank = share * static_cast<double>(count_);
  const auto rank =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(exact_rank * (1.0 - 1e-12))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += buckets_[i];
    if (seen >= rank) {
      return i + 1 == bucket_count ? max_ : std::clamp(upper_end(i), min_, max_);
    }
  }
  return max_;
}

}  // namespace ringpool::tools
