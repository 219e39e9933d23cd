// SPDX-License-Identifier: MIT
#include "size_histogram.hpp"

#include <algorithm>

namespace ringpool::tools {

size_histogram::size_histogram(const traffic& from)
    : weighs_time_(std::all_of(from.samples.begin(), from.samples.end(),
                               [](const traffic_sample& sample) { return sample.held_ns >= 0; })) {
  bins_.reserve(from.samples.size());
  for (const traffic_sample& sample : from.samples) {
    const auto held = static_cast<double>(std::max<std::int64_t>(sample.held_ns, 1));
    bins_.push_back({.bytes = sample.bytes,
                     .allocations = static_cast<double>(sample.weight),
                     .presence = sample.weight * (weighs_time_ ? held : 1.0)});
    allocations_ += sample.weight;
  }
  std::sort(bins_.begin(), bins_.end(),
            [](const size_bin& a, const size_bin& b) { return a.bytes < b.bytes; });
  std::size_t last = 0;  // bins of one size are joined in place
  for (std::size_t i = 1; i < bins_.size(); ++i) {
    if (bins_[i].bytes == bins_[last].bytes) {
      bins_[last].allocations += bins_[i].allocations;
      bins_[last].presence += bins_[i].presence;
    } else {
      bins_[++last] = bins_[i];
    }
  }
  bins_.resize(std::min(bins_.size(), last + 1));
  bins_.shrink_to_fit();
}

std::uint32_t size_histogram::quantile_bytes(double share) const noexcept {
  // Sums of whole numbers are exact, shares are not: a billionth is no allocation's.
  const double wanted = allocations_ * (share - 1e-9);
  double seen = 0.0;
  for (const size_bin& bin : bins_) {
    seen += bin.allocations;
    if (seen >= wanted) {
      return bin.bytes;
    }
  }
  return bins_.empty() ? 0 : max_bytes();
}

class_waste waste_of(const size_histogram& histogram,
                     std::span<const std::uint32_t> sizes) noexcept {
  class_waste result;
  std::size_t fit = 0;
  for (const size_bin& bin : histogram.bins()) {
    while (fit < sizes.size() && sizes[fit] < bin.bytes) {
      ++fit;
    }
    if (fit == sizes.size()) {
      result.oversize_allocations += bin.allocations;
      continue;
    }
    result.asked_bytes += bin.presence * bin.bytes;
    result.buffer_bytes += bin.presence * static_cast<double>(stride_of(sizes[fit]));
  }
  return result;
}

}  // namespace ringpool::tools
