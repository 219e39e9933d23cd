// SPDX-License-Identifier: MIT
#include "million_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "demo_report.hpp"
#include "load_report.hpp"

namespace ringpool::tools {
namespace {

constexpr double page_a_connection = 4096.0;

std::uint64_t faults_of(const million_result& result) noexcept {
  std::uint64_t sum = result.first_lap.faults() + result.last_lap.faults() + result.burst.faults();
  for (const million_round& one : result.rounds) {
    for (const load_tally& tally : {one.with_idle, one.without}) {
      sum += tally.faults();
    }
  }
  return sum;
}

double setup_target_seconds(std::uint32_t connections) noexcept {
  return connections <= 1'000'000 ? 90.0 : connections <= 2'000'000 ? 150.0 : 225.0;
}

std::string ratio_text(const ratio_spread& ratio) {
  return fmt::format("{:.2f} ({:.2f} to {:.2f})", ratio.median, ratio.least, ratio.most);
}

million_promise latency_promise(const million_result& result, const char* name, double percent,
                                double target) {
  const ratio_spread ratio = latency_ratio(result.rounds, percent);
  return {fmt::format("{} with the idle ones / without", name), fmt::format("<= {:.2f}", target),
          ratio_text(ratio), ratio.median <= target};
}

std::uint64_t median_of(const std::vector<million_round>& rounds, bool with_idle, double percent) {
  std::vector<std::uint64_t> values;
  for (const million_round& one : rounds) {
    values.push_back((with_idle ? one.with_idle : one.without).latency.percentile(percent));
  }
  return median(values);
}

std::string latency_lines(const million_result& result, const palette& colours) {
  text_table table({"latency, median of rounds", "p50", "p99", "p99.9"});
  for (const bool with_idle : {false, true}) {
    std::vector<std::string> cells{with_idle ? "beside the idle connections" : "without them"};
    for (const double percent : {50.0, 99.0, 99.9}) {
      cells.push_back(format_nanoseconds(median_of(result.rounds, with_idle, percent)));
    }
    table.add_row(cells);
  }
  return table.render(colours);
}

}  // namespace

double million_result::user_bytes_per_connection() const noexcept {
  return static_cast<double>(idle.private_dirty_bytes) /
         static_cast<double>(std::max<std::uint64_t>(1, idle.connections_open));
}

/// All that the machine has less, but for what the two processes have more.
double million_result::kernel_bytes_per_pair() const noexcept {
  const auto taken =
      static_cast<double>(before.available) - static_cast<double>(connected.available);
  const double of_processes = static_cast<double>(idle.private_dirty_bytes) -
                              static_cast<double>(fresh.private_dirty_bytes) +
                              static_cast<double>(own_connected) - static_cast<double>(own_before);
  return (taken - of_processes) /
         static_cast<double>(std::max<std::uint64_t>(1, idle.connections_open));
}

ratio_spread latency_ratio(const std::vector<million_round>& rounds, double percent) {
  std::vector<double> ratios;
  for (const million_round& one : rounds) {
    const auto without = static_cast<double>(one.without.latency.percentile(percent));
    ratios.push_back(
        without == 0.0 ? 0.0
                       : static_cast<double>(one.with_idle.latency.percentile(percent)) / without);
  }
  if (ratios.empty()) {
    return {};
  }
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  return {median(ratios), *least, *most};
}

std::vector<million_promise> judge(const million_result& result) {
  std::vector<million_promise> promises;
  const double setup = setup_target_seconds(result.options.connections);
  const std::uint64_t faults = faults_of(result);
  promises.push_back({"set up, each with a verified frame", fmt::format("<= {:.0f} s", setup),
                      fmt::format("{:.1f} s", result.first_lap.seconds),
                      result.first_lap.seconds <= setup});
  promises.push_back({"frames lost or corrupted", "0", format_count(faults), faults == 0});
  promises.push_back({"pool buffers held by idle connections", "0",
                      format_count(result.idle.buffers_in_use), result.idle.buffers_in_use == 0});
  const double user = result.user_bytes_per_connection();
  promises.push_back({"user memory a connection, all told", "<= 48 bytes",
                      fmt::format("{:.1f} bytes", user), user <= 48.0});
  promises.push_back({"less than 4 KiB a connection by", ">= 60 times",
                      fmt::format("{:.0f} times", page_a_connection / user),
                      page_a_connection / user >= 60.0});
  promises.push_back(latency_promise(result, "p50", 50.0, 1.10));
  promises.push_back(latency_promise(result, "p99.9", 99.9, 1.5));
  if (result.burst_connections != 0) {
    promises.push_back(
        {fmt::format("resident after a burst on {}", format_count(result.burst_connections)),
         "<= 2.0 times",
         fmt::format(
             "{:.2f} times in {:.1f} s, peak {:.1f}",
             static_cast<double>(result.burst_after) / static_cast<double>(result.burst_before),
             result.burst_settled_seconds,
             static_cast<double>(result.burst_peak) / static_cast<double>(result.burst_before)),
         result.burst_after <= 2 * result.burst_before && result.burst_settled_seconds <= 5.0});
  }
  return promises;
}

std::string million_report_text(const million_result& result, const palette& colours) {
  std::string text = colours.title(fmt::format(
      "ringpool million  {} idle and {} active connections, both ends on this machine\n",
      format_count(result.options.connections), format_count(result.options.active)));
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("  {:<10}{}\n", name, value);
  };
  const double pairs =
      static_cast<double>(std::max<std::uint64_t>(1, result.idle.connections_open));
  line("server", fmt::format("one process, {} loops, {} rings, idle-mode {}; descriptor limit {}",
                             result.options.loops, result.idle.rings, result.options.idle_mode,
                             format_count(result.descriptor_limit)));
  line("set up",
       fmt::format("{:.1f} s, {} a second, from {} source addresses", result.first_lap.seconds,
                   format_rate(pairs / result.first_lap.seconds), result.source_addresses));
  line("user",
       fmt::format("{} private in the server: {:.1f} bytes a connection ({:.1f} more than empty)",
                   format_bytes(static_cast<double>(result.idle.private_dirty_bytes)),
                   result.user_bytes_per_connection(),
                   (static_cast<double>(result.idle.private_dirty_bytes) -
                    static_cast<double>(result.fresh.private_dirty_bytes)) /
                       pairs));
  line("kernel",
       fmt::format(
           "{:.0f} bytes a pair of ends, {:.0f} of them slab; {} of {} still available",
           result.kernel_bytes_per_pair(),
           (static_cast<double>(result.connected.slab) - static_cast<double>(result.before.slab)) /
               pairs,
           format_bytes(static_cast<double>(result.connected.available)),
           format_bytes(static_cast<double>(result.connected.total))));
  line("again", fmt::format("every connection exchanged a further frame in {:.1f} s",
                            result.last_lap.seconds));
  line("rounds", fmt::format("{} pairs of {} s at {}", result.rounds.size(), result.options.seconds,
                             format_rate(result.options.rate)));
  text += '\n' + latency_lines(result, colours) + '\n';
  text_table table({"promise", "target", "measured", ""});
  for (const million_promise& one : judge(result)) {
    table.add_row({one.what, one.target, one.measured,
                   one.kept ? colours.good("pass") : colours.bad("short")});
  }
  return text + table.render(colours) +
         fmt::format("\n  {} in all\n", format_seconds(result.seconds));
}

nlohmann::json million_report_json(const million_result& result) {
  nlohmann::json rounds = nlohmann::json::array();
  for (const million_round& one : result.rounds) {
    rounds.push_back({{"with_idle_ns", histogram_json(one.with_idle.latency)},
                      {"without_ns", histogram_json(one.without.latency)}});
  }
  nlohmann::json promises = nlohmann::json::array();
  for (const million_promise& one : judge(result)) {
    promises.push_back({{"what", one.what},
                        {"target", one.target},
                        {"measured", one.measured},
                        {"kept", one.kept}});
  }
  return {{"connections", result.options.connections},
          {"active", result.options.active},
          {"loops", result.options.loops},
          {"idle_mode", result.options.idle_mode},
          {"rings", result.idle.rings},
          {"source_addresses", result.source_addresses},
          {"descriptor_limit", result.descriptor_limit},
          {"setup_seconds", result.first_lap.seconds},
          {"user_bytes_per_connection", result.user_bytes_per_connection()},
          {"kernel_bytes_per_pair", result.kernel_bytes_per_pair()},
          {"private_dirty_bytes", result.idle.private_dirty_bytes},
          {"available_bytes", result.connected.available},
          {"buffers_in_use", result.idle.buffers_in_use},
          {"kernel_buffers", result.idle.kernel_buffers},
          {"last_lap_seconds", result.last_lap.seconds},
          {"faults", faults_of(result)},
          {"burst",
           {{"connections", result.burst_connections},
            {"resident_before_bytes", result.burst_before},
            {"resident_peak_bytes", result.burst_peak},
            {"resident_after_bytes", result.burst_after},
            {"settled_seconds", result.burst_settled_seconds}}},
          {"rounds", rounds},
          {"promises", promises},
          {"seconds", result.seconds}};
}

}  // namespace ringpool::tools
