// SPDX-License-Identifier: MIT
#include "demo_report.hpp"

#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ringpool::tools {
namespace {

load_tally round_of(std::uint64_t frames, std::uint64_t latency_ns) {
  load_tally tally;
  tally.sent_frames = tally.echoed_frames = tally.measured_frames = frames;
  tally.sent_bytes = tally.echoed_bytes = tally.measured_bytes = frames * 170;
  tally.measured_seconds = 1.0;
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    tally.latency.record(latency_ns * i / 500);
  }
  return tally;
}

server_snapshot snapshot_of(std::uint64_t big) {
  server_snapshot snapshot;
  snapshot.frames = snapshot.bytes = snapshot.resident_bytes = big;
  for (const std::uint64_t size : {64U, 256U, 1024U, 4096U, 16384U}) {
    snapshot.classes.push_back({.buffer_size = size,
                                .ring_size = 1048576,
                                .alloc_count = big,
                                .free_count = big,
                                .fallback_count = big,
                                .peak_in_use = 1048576});
  }
  return snapshot;
}

demo_result good_result() {
  demo_result result;
  result.connections = 2000;
  result.mix = "game";
  result.mix_mean_bytes = 166.4;
  result.cores = 2;
  result.open_rate = 50'000;
  for (demo_side& side : result.sides) {
    side.name = &side == &result.sides[0] ? "pool" : "malloc";
    for (const std::uint64_t speed : {3U, 1U, 2U}) {
      side.closed.push_back(round_of(speed * 100'000, speed * 1'000'000));
    }
    side.open.push_back(round_of(50'000, 90'000));
    side.fresh = side.loaded = side.idle = side.last = snapshot_of(123'456'789'012);
  }
  return result;
}

TEST(demo_report, median_takes_the_middle_and_the_lower_of_two) {
  EXPECT_EQ(median(std::vector<double>{}), 0.0);
  EXPECT_EQ(median(std::vector<double>{3, 1, 2}), 2.0);
  EXPECT_EQ(median(std::vector<double>{4, 1, 3, 2}), 2.0);
}

TEST(demo_report, every_line_is_at_most_100_wide_even_with_large_figures) {
  for (const bool coloured : {false, true}) {
    std::istringstream in(demo_report_text(good_result(), palette(coloured)));
    for (std::string line; std::getline(in, line);) {
      EXPECT_LE(display_width(line), 100U) << line;
    }
  }
}

TEST(demo_report, shows_medians_over_the_rounds_and_the_range) {
  const std::string text = demo_report_text(good_result(), palette(false));
  EXPECT_NE(text.find("200 k/s"), std::string::npos) << text;
  EXPECT_NE(text.find("100 k/s .. 300 k/s"), std::string::npos);
  // 2.00 ms, the p50 of the middle round, as the upper end of its bucket.
  EXPECT_NE(
      text.find(format_nanoseconds(good_result().sides[0].closed[2].latency.percentile(50.0))),
      std::string::npos);
  EXPECT_NE(text.find("6.00 ms"), std::string::npos);  // the greatest of all rounds
  EXPECT_NE(text.find("All is well"), std::string::npos);
  EXPECT_EQ(text.find("FAILED"), std::string::npos);
}

void expect_failure(const demo_result& result, const char* says) {
  const std::string text = demo_report_text(result, palette(false));
  ASSERT_EQ(demo_failures(result).size(), 1U);
  EXPECT_NE(demo_failures(result)[0].find(says), std::string::npos) << demo_failures(result)[0];
  EXPECT_NE(text.find("FAILED: "), std::string::npos);
  EXPECT_EQ(text.find("All is well"), std::string::npos);
}

TEST(demo_report, one_lost_or_corrupted_frame_on_either_side_is_a_failure) {
  for (std::size_t side = 0; side < 2; ++side) {
    demo_result result = good_result();
    result.sides[side].open[0].lost = 1;
    expect_failure(result, "1 frames lost");
    result = good_result();
    result.sides[side].closed[2].corrupted = 1;
    expect_failure(result, "1 corrupted");
    result = good_result();
    result.sides[side].closed[0].foreign = 1;
    expect_failure(result, "1 faults of other kinds");
  }
}

TEST(demo_report, buffers_held_while_idle_are_a_failure) {
  demo_result result = good_result();
  result.sides[0].idle.buffers_in_use = 3;
  expect_failure(result, "3 buffers were held");
}

TEST(demo_report, heap_allocations_are_a_failure_of_the_pool_alone) {
  demo_result result = good_result();
  result.sides[1].idle.heap_allocations = 1000;
  EXPECT_TRUE(demo_failures(result).empty());
  result.sides[0].idle.heap_allocations = 1;
  expect_failure(result, "1 heap allocations");
}

TEST(demo_report, a_demo_without_traffic_is_a_failure) {
  demo_result result = good_result();
  result.sides[0].closed.clear();
  result.sides[0].open.clear();
  expect_failure(result, "not one frame");
}

TEST(demo_report, json_tells_both_sides) {
  const nlohmann::json report = demo_report_json(good_result());
  EXPECT_EQ(report.at("sides").at("pool").at("closed").size(), 3U);
  EXPECT_EQ(report.at("sides").at("malloc").at("server").at("idle").at("classes").size(), 5U);
  EXPECT_TRUE(report.at("failures").empty());
}

TEST(server_stats, are_read_from_what_the_server_writes) {
  const nlohmann::json stats = nlohmann::json::parse(R"({
      "frames": 10, "bytes": 1000, "buffers_in_use": 2, "heap_allocations_on_data_path": 0,
      "private_dirty_bytes": 4096, "rings": 3, "kernel_buffers": 12,
      "connections": {"open": 5, "idle": 4, "starved": 1},
      "classes": [{"buffer_size": 64, "ring_size": 128, "alloc_count": 7, "free_count": 5,
                   "fallback_count": 1, "peak_in_use": 4, "in_use": 2, "cached": 3}]})");
  const server_snapshot snapshot = parse_server_stats(stats);
  EXPECT_EQ(snapshot.frames, 10U);
  EXPECT_EQ(snapshot.buffers_in_use, 2U);
  EXPECT_EQ(snapshot.connections_idle, 4U);
  EXPECT_EQ(snapshot.kernel_buffers, 12U);
  ASSERT_EQ(snapshot.classes.size(), 1U);
  EXPECT_EQ(snapshot.classes[0].free_count, 5U);
  for (const char* const key : {"frames", "buffers_in_use", "heap_allocations_on_data_path",
                                "classes", "connections", "rings"}) {
    nlohmann::json incomplete = stats;
    incomplete.erase(key);
    EXPECT_THROW(parse_server_stats(incomplete), nlohmann::json::exception) << key;
  }
}

}  // namespace
}  // namespace ringpool::tools
