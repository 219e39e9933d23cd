// SPDX-License-Identifier: MIT
#include "metrics/verdict.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ringpool::tools {
namespace {

server_stats well() {
  server_stats stats;
  for (const std::size_t size : {64U, 1024U}) {
    pool_stats& one = stats.classes.emplace_back();
    one.buffer_size = size;
    one.ring_size = 1000;
    one.in_use = 100;
    one.available = 900;
    one.alloc_count = 5000;
    one.free_count = 4900;
  }
  stats.frames = 5000;
  stats.connections_accepted = 10;
  return stats;
}

void hold_all(pool_stats& one) {
  one.in_use = one.ring_size;
  one.available = 0;
}

std::vector<std::string> texts_of(const verdict& said) {
  std::vector<std::string> texts;
  for (const finding& one : said.findings) {
    texts.push_back(std::string(to_string(one.level)) + ": " + one.text);
  }
  return texts;
}

using strings = std::vector<std::string>;

TEST(verdict, a_server_with_buffers_to_spare_is_well) {
  const verdict said = judge(well(), well(), 1.0);
  EXPECT_EQ(said.level, verdict_level::ok);
  EXPECT_EQ(said.text, "all well");
  EXPECT_TRUE(said.findings.empty());
}

TEST(verdict, a_server_on_malloc_is_well_and_says_that_there_is_no_pool) {
  server_stats stats;
  stats.buffers = buffer_kind::malloc;
  EXPECT_EQ(judge(stats, stats, 1.0).text, "all well: buffers come from malloc");
}

TEST(verdict, an_empty_class_that_refuses_is_exhausted_and_worse_than_all_else) {
  const server_stats before = well();
  server_stats now = well();
  now.classes[0].fallback_count = 30;
  hold_all(now.classes[1]);
  now.classes[1].refusal_count = 240;
  const verdict said = judge(before, now, 2.0);
  EXPECT_EQ(said.level, verdict_level::bad);
  EXPECT_EQ(said.text, "class 1024 is exhausted: 120 refusals/s");
  EXPECT_EQ(said.findings.front().buffer_size, 1024U);
  EXPECT_EQ(texts_of(said),
            (strings{"bad: class 1024 is exhausted: 120 refusals/s",
                     "warn: class 64 was full: 15 allocations/s from elastic memory or upstream"}));
}

TEST(verdict, refusals_count_although_a_buffer_is_free_again) {
  server_stats now = well();
  now.classes[0].refusal_count = 1;
  EXPECT_EQ(judge(well(), now, 4.0).text, "class 64 had no buffer: 0.25 refusals/s");
}

TEST(verdict, refusals_by_a_fault_plan_are_none) {
  server_stats now = well();
  now.classes[0].refusal_count = 70;
  now.classes[0].injected_count = 70;
  EXPECT_EQ(judge(well(), now, 1.0).text, "all well");
}

TEST(verdict, large_rates_have_three_digits) {
  server_stats now = well();
  now.classes[0].refusal_count = 231'234;
  EXPECT_EQ(judge(well(), now, 1.0).text, "class 64 had no buffer: 231 k refusals/s");
}

TEST(verdict, of_one_snapshot_alone_the_state_is_judged) {
  server_stats now = well();
  now.classes[0].refusal_count = 1'000'000;
  hold_all(now.classes[0]);
  now.classes[1].in_use = 930;
  now.classes[1].available = 70;
  EXPECT_EQ(texts_of(judge(now, now, 0.0)),
            (strings{"warn: class 64 has no free buffer", "warn: class 1024 is 93 % held"}));
}

TEST(verdict, those_who_wait_while_nothing_is_given_back_are_stuck) {
  server_stats before = well();
  before.classes[0].waiting = 2;
  server_stats now = before;
  now.classes[0].free_count += 1;
  EXPECT_EQ(texts_of(judge(before, now, 1.0)), (strings{"warn: class 64: 2 wait for a buffer"}));
  now.classes[0].free_count = before.classes[0].free_count;
  EXPECT_EQ(texts_of(judge(before, now, 1.0)),
            (strings{"bad: class 64: 2 wait for a buffer, and none is given back"}));
}

TEST(verdict, waits_that_end_without_a_buffer_are_bad) {
  server_stats now = well();
  now.classes[0].wait_timeout_count = 6;
  EXPECT_EQ(texts_of(judge(well(), now, 2.0)),
            (strings{"bad: class 64: 3 waits/s end without a buffer"}));
}

TEST(verdict, misuse_is_bad_for_good) {
  server_stats now = well();
  now.classes[1].misuse_count = 1;
  EXPECT_EQ(texts_of(judge(now, now, 1.0)),
            (strings{"bad: class 1024: 1 misused since the start: freed twice, or not its own"}));
}

TEST(verdict, requests_above_the_largest_class_are_told_from_a_full_one) {
  server_stats now = well();
  now.classes[1].fallback_count = 5;
  now.classes[1].oversize_count = 5;
  EXPECT_EQ(texts_of(judge(well(), now, 1.0)),
            (strings{"warn: 5 requests/s are larger than class 1024"}));
}

TEST(verdict, a_class_whose_requests_a_larger_one_serves_is_full) {
  server_stats now = well();
  now.classes[0].spill_count = 30;
  EXPECT_EQ(texts_of(judge(well(), now, 1.0)),
            (strings{"warn: class 64 was full: 30 allocations/s from larger classes"}));
  hold_all(now.classes[0]);
  EXPECT_EQ(texts_of(judge(well(), now, 1.0)),
            (strings{"warn: class 64 is full: 30 allocations/s from larger classes"}));
}

TEST(verdict, what_goes_wrong_outside_the_pool_is_told) {
  server_stats now = well();
  now.connections_turned_away = 3;
  now.connections_refused = 4;
  now.starved_count = 5;
  now.room_drops = 6;
  now.too_long_errors = 3;
  now.truncated_errors = 4;
  EXPECT_EQ(
      texts_of(judge(well(), now, 1.0)),
      (strings{"bad: 3 connections/s turned away: no file descriptor is left",
               "bad: 4 connections/s refused: no memory is left for them",
               "warn: 5 times/s a connection found no buffer, retries included",
               "warn: 6 frames/s not delivered to members of rooms", "warn: 7 broken frames/s"}));
}

TEST(verdict, counters_that_fell_are_of_a_server_started_anew) {
  server_stats before = well();
  before.classes[0].refusal_count = 50;
  before.frames = 9000;
  EXPECT_TRUE(restarted(before, well()));
  EXPECT_FALSE(restarted(well(), before));
  server_stats now = well();
  now.classes[0].refusal_count = 80;
  EXPECT_EQ(judge(before, now, 1.0).text, "all well");
}

TEST(verdict, goes_through_json_as_it_is) {
  server_stats now = well();
  hold_all(now.classes[1]);
  now.classes[1].refusal_count = 9;
  now.room_drops = 1;
  const verdict said = judge(well(), now, 1.0);
  const verdict read = parse_verdict(nlohmann::json::parse(to_json(said).dump()));
  EXPECT_EQ(read.level, said.level);
  EXPECT_EQ(read.text, said.text);
  EXPECT_EQ(texts_of(read), texts_of(said));
  EXPECT_EQ(read.findings[0].buffer_size, 1024U);
  EXPECT_EQ(read.findings[1].buffer_size, 0U);
}

constexpr std::int64_t second_ns = 1'000'000'000;

server_stats with_refusals(std::uint64_t count) {
  server_stats stats = well();
  stats.classes[0].refusal_count = count;
  return stats;
}

TEST(verdict_keeper, judges_over_a_second_at_least_however_often_it_is_asked) {
  verdict_keeper keeper;
  EXPECT_EQ(keeper.judge_now(with_refusals(0), 0).text, "all well");
  // Ten asks a second; 100 refusals in the first of these seconds and none later.
  std::vector<std::string> said;
  for (std::int64_t tenth = 1; tenth <= 30; ++tenth) {
    const auto refused = static_cast<std::uint64_t>(std::min<std::int64_t>(tenth, 10) * 10);
    said.push_back(keeper.judge_now(with_refusals(refused), tenth * second_ns / 10).text);
  }
  EXPECT_EQ(said[9], "class 64 had no buffer: 100 refusals/s");
  EXPECT_EQ(said[14], "class 64 had no buffer: 67 refusals/s");
  EXPECT_EQ(said[29], "all well");
}

TEST(verdict_keeper, begins_anew_with_a_server_that_does) {
  verdict_keeper keeper;
  server_stats old = with_refusals(0);
  old.frames = 1'000'000;
  static_cast<void>(keeper.judge_now(old, 0));
  EXPECT_EQ(keeper.judge_now(with_refusals(100), 2 * second_ns).text, "all well");
  EXPECT_EQ(keeper.judge_now(with_refusals(110), 3 * second_ns).text,
            "class 64 had no buffer: 10 refusals/s");
}

}  // namespace
}  // namespace ringpool::tools
