// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frame_server.hpp"
#include "metrics/verdict.hpp"

namespace ringpool::tools {

/// Quantiles of the time from a frame read to its answer written or queued.
struct service_times {
  double p50_us = 0.0;
  double p99_us = 0.0;
  double p999_us = 0.0;
  std::optional<double> max_us;
};

/// What a server says at /stats.json. Empty: it does not say.
struct live_stats {
  server_stats stats;
  std::string version;
  std::optional<std::int64_t> time_ms;  ///< since 1970
  std::optional<double> uptime_seconds;
  std::optional<service_times> service;
  std::vector<double> service_upper_ns;       ///< of the buckets of a histogram but the last
  std::vector<std::uint64_t> service_counts;  ///< by bucket, since the start
  std::optional<verdict> status;
  bool waits_known = false;  ///< whether the classes tell who waits
};

/// Throws std::invalid_argument, with a message that says what is missing or of another type.
[[nodiscard]] live_stats parse_live_stats(std::string_view json);

/// What the server says, or what its histogram says of the time between two answers.
[[nodiscard]] std::optional<service_times> service_between(const live_stats& before,
                                                           const live_stats& now);

}  // namespace ringpool::tools
