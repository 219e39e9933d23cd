// SPDX-License-Identifier: MIT
#include "million_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace ringpool::tools {
namespace {

load_tally tally_of(std::uint64_t latency_ns) {
  load_tally tally;
  for (int i = 0; i < 1000; ++i) {
    tally.latency.record(latency_ns);
  }
  return tally;
}

/// A million connections for 28 bytes each, as fast as without.
million_result good_million() {
  million_result result;
  result.options.connections = 1'000'000;
  result.idle.connections_open = 1'000'000;
  result.idle.private_dirty_bytes = 28'000'000;
  result.fresh.private_dirty_bytes = 12'000'000;
  result.before.available = 20'000'000'000;
  result.connected.available = 13'000'000'000;
  result.first_lap = {.exchanged = 1'000'000, .seconds = 50.0};
  result.last_lap = {.exchanged = 1'000'000, .seconds = 10.0};
  for (int i = 0; i < 10; ++i) {
    result.rounds.push_back({tally_of(50'000), tally_of(50'000)});
  }
  result.burst_connections = 100'000;
  result.burst = {.exchanged = 100'000, .seconds = 3.0};
  result.burst_before = 30'000'000;
  result.burst_peak = 80'000'000;
  result.burst_after = 32'000'000;
  result.burst_settled_seconds = 2.0;
  return result;
}

/// The promises that are not kept, each followed by a semicolon.
std::string broken(const million_result& result) {
  std::string names;
  for (const million_promise& one : judge(result)) {
    names += one.kept ? "" : one.what + ";";
  }
  return names;
}

TEST(million_report, a_good_run_keeps_every_promise) {
  EXPECT_EQ(broken(good_million()), "");
  EXPECT_EQ(judge(good_million()).size(), 8U);
}

TEST(million_report, each_promise_can_be_broken) {
  million_result result = good_million();
  result.first_lap.seconds = 91.0;
  EXPECT_EQ(broken(result), "set up, each with a verified frame;");

  result = good_million();
  result.last_lap.lost = 1;
  EXPECT_EQ(broken(result), "frames lost or corrupted;");

  result = good_million();
  result.rounds[3].with_idle.corrupted = 1;
  EXPECT_EQ(broken(result), "frames lost or corrupted;");

  result = good_million();
  result.idle.buffers_in_use = 1;
  EXPECT_EQ(broken(result), "pool buffers held by idle connections;");

  result = good_million();
  result.idle.private_dirty_bytes = 49'000'000;
  EXPECT_EQ(broken(result), "user memory a connection, all told;");

  result = good_million();
  result.idle.private_dirty_bytes = 70'000'000;
  EXPECT_EQ(broken(result), "user memory a connection, all told;less than 4 KiB a connection by;");

  result = good_million();
  for (million_round& one : result.rounds) {
    one.with_idle = tally_of(56'000);
  }
  EXPECT_EQ(broken(result), "p50 with the idle ones / without;");

  result = good_million();
  result.burst_after = 61'000'000;
  EXPECT_NE(broken(result).find("after a burst on 100,000"), std::string::npos);

  result = good_million();
  result.burst_settled_seconds = 5.5;
  EXPECT_NE(broken(result).find("after a burst on 100,000"), std::string::npos);
}

TEST(million_report, more_connections_may_take_longer) {
  million_result result = good_million();
  result.options.connections = 2'000'000;
  result.first_lap.seconds = 149.0;
  EXPECT_EQ(broken(result), "");
  result.first_lap.seconds = 151.0;
  EXPECT_NE(broken(result), "");
}

TEST(million_report, ratios_are_of_the_same_round) {
  million_result result = good_million();
  result.rounds.resize(3);
  result.rounds[0] = {tally_of(100), tally_of(50)};
  result.rounds[1] = {tally_of(30), tally_of(30)};
  result.rounds[2] = {tally_of(80), tally_of(100)};
  const ratio_spread ratio = latency_ratio(result.rounds, 50.0);
  EXPECT_DOUBLE_EQ(ratio.median, 1.0);
  EXPECT_DOUBLE_EQ(ratio.most, 2.0);
  EXPECT_DOUBLE_EQ(ratio.least, 0.8);
  EXPECT_DOUBLE_EQ(latency_ratio({}, 50.0).median, 0.0);
}

TEST(million_report, memory_of_the_kernel_is_what_is_gone_but_for_the_processes) {
  million_result result = good_million();
  result.own_before = 1'000'000;
  result.own_connected = 5'000'000;
  EXPECT_DOUBLE_EQ(result.kernel_bytes_per_pair(), 7000.0 - 16.0 - 4.0);
  EXPECT_DOUBLE_EQ(result.user_bytes_per_connection(), 28.0);
}

TEST(million_report, text_and_json_tell_the_promises) {
  million_result result = good_million();
  result.last_lap.lost = 7;
  const std::string text = million_report_text(result, palette(false));
  EXPECT_NE(text.find("frames lost or corrupted"), std::string::npos);
  EXPECT_NE(text.find("short"), std::string::npos);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    EXPECT_LE(display_width(text.substr(at, end - at)), 100U) << text.substr(at, end - at);
    at = end + 1;
  }
  const nlohmann::json report = million_report_json(result);
  EXPECT_EQ(report.at("promises").size(), 8U);
  EXPECT_EQ(report.at("faults"), 7);
  EXPECT_EQ(report.at("rounds").size(), 10U);
}

}  // namespace
}  // namespace ringpool::tools
