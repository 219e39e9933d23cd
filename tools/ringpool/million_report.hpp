// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "child_server.hpp"
#include "herd.hpp"
#include "load_tally.hpp"
#include "machine_memory.hpp"
#include "million.hpp"
#include "report.hpp"

namespace ringpool::tools {

/// One round on the server with the idle connections, and one on the server without.
struct million_round {
  load_tally with_idle;
  load_tally without;
};

struct million_result {
  million_options options;
  std::uint32_t source_addresses = 0;
  std::uint64_t descriptor_limit = 0;
  machine_memory before;         ///< the servers run, nothing is connected
  machine_memory connected;      ///< every connection made, nothing in flight
  std::uint64_t own_before = 0;  ///< bytes of this process
  std::uint64_t own_connected = 0;
  server_snapshot fresh;  ///< the server of the idle connections, before the first
  server_snapshot idle;   ///< and with all of them
  herd_counts first_lap;  ///< made and exchanged
  herd_counts last_lap;   ///< exchanged again, at the end
  std::vector<million_round> rounds;

  std::uint32_t burst_connections = 0;
  herd_counts burst;
  std::uint64_t burst_before = 0;  ///< resident bytes of the server
  std::uint64_t burst_peak = 0;
  std::uint64_t burst_after = 0;
  double burst_settled_seconds = 0.0;  ///< until it was at most twice what it was before

  double seconds = 0.0;
  bool interrupted = false;

  [[nodiscard]] double user_bytes_per_connection() const noexcept;
  [[nodiscard]] double kernel_bytes_per_pair() const noexcept;
};

/// What is promised, what was measured, and whether that is kept.
struct million_promise {
  std::string what;
  std::string target;
  std::string measured;
  bool kept = false;
};
[[nodiscard]] std::vector<million_promise> judge(const million_result& result);

/// Median of the rounds' ratios, with idle connections / without, of a percentile of the latency.
struct ratio_spread {
  double median = 0.0;
  double least = 0.0;
  double most = 0.0;
};
[[nodiscard]] ratio_spread latency_ratio(const std::vector<million_round>& rounds, double percent);

/// For a person, at most 100 columns wide.
[[nodiscard]] std::string million_report_text(const million_result& result, const palette& colours);
[[nodiscard]] nlohmann::json million_report_json(const million_result& result);

}  // namespace ringpool::tools
