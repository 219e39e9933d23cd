// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "herd_counts.hpp"
#include "load_options.hpp"
#include "load_tally.hpp"
#include "report.hpp"

namespace ringpool::tools {

struct load_result {
  load_tally tally;
  double connect_seconds = 0.0;
  std::uint32_t idle_connections = 0;
  herd_counts idle_before;  ///< their frames before the load
  herd_counts idle_after;
  bool interrupted = false;
};

/// For a person, at most 100 columns wide.
std::string load_report_text(const load_setup& setup, const load_phase& phase,
                             const load_result& result, const palette& colours);

/// For a program: everything the text says and more.
nlohmann::json load_report_json(const load_setup& setup, const load_phase& phase,
                                const load_result& result);

/// {"count", "min", "mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"}, in nanoseconds.
nlohmann::json histogram_json(const latency_histogram& histogram);

/// Throws load_error when it cannot be written.
void write_report(const std::string& file, const nlohmann::json& report);

/// 0 clean, 1 faults, 130 interrupted without faults.
int load_exit_code(const load_result& result) noexcept;

}  // namespace ringpool::tools
