// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ringpool/metrics.hpp"

namespace ringpool::detail {

/// How a value is written: counts as they are, nanoseconds as seconds.
enum class metric_scale : std::uint8_t { one, nanoseconds };

/// What one family, or one part of it, is in the statistics of a class.
struct class_series {
  std::size_t family;  ///< in pool_metric_families()
  std::uint64_t (*value)(const pool_stats& stats) noexcept;
  std::string_view part;  ///< a further label with its value, such as `origin="ring"`
  metric_scale scale;
};

/// All that is told of each class.
[[nodiscard]] std::span<const class_series> all_class_series() noexcept;

/// The family of what is told of a whole set: its bytes from upstream.
[[nodiscard]] std::size_t set_family() noexcept;

}  // namespace ringpool::detail
