// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ringpool/census.hpp>
#include <thread>
#include <vector>

#include "metrics/answers.hpp"
#include "metrics/server_metrics.hpp"
#include "metrics/service_time.hpp"
#include "serve.hpp"

namespace ringpool::tools {
namespace {

TEST(service_time, a_bucket_ends_with_its_upper_bound) {
  using counts = service_time_counts;
  EXPECT_EQ(counts::bucket_of(0), 0U);
  EXPECT_EQ(counts::bucket_of(1), 0U);
  for (std::size_t i = 0; i + 1 < counts::bucket_count; ++i) {
    EXPECT_EQ(counts::bucket_of(counts::upper_ns(i)), i);
    EXPECT_EQ(counts::bucket_of(counts::upper_ns(i) + 1), i + 1);
  }
  EXPECT_EQ(counts::bucket_of(UINT64_MAX), counts::bucket_count - 1);
}

TEST(service_time, one_frame_in_64_or_more_is_looked_at) {
  service_timer timer;
  timer.woke(service_timer::clock::now());
  for (std::uint64_t frames = 1; frames <= 640; ++frames) {
    timer.handled(frames);
  }
  timer.handled(10'000);  // many in one turn are one look
  timer.handled(10'001);
  service_time_counts seen;
  timer.add_to(seen);
  std::uint64_t looks = 0;
  for (const std::uint64_t count : seen.counts) {
    looks += count;
  }
  EXPECT_EQ(looks, 11U);
  EXPECT_GT(seen.total_ns, 0U);
}

TEST(server_metrics, a_server_on_malloc_tells_no_pool) {
  server_stats stats;
  stats.buffers = buffer_kind::malloc;
  const std::string text = metrics_of(stats, metrics_format::prometheus);
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("pool=")));
  EXPECT_THAT(text, testing::HasSubstr("buffers=\"malloc\"} 1\n"));
}

TEST(answers, the_statistics_tell_what_is_wrong) {
  server_stats stats;
  pool_stats& one = stats.classes.emplace_back();
  one.buffer_size = 1024;
  one.ring_size = one.in_use = 4;
  answers source({.stats = [&] { return stats; }, .holders = {}});
  const std::string body = source.answer("GET", "/stats.json", "").body;
  EXPECT_THAT(body, testing::HasSubstr("\"text\": \"class 1024 has no free buffer\""));
  EXPECT_THAT(body, testing::HasSubstr("\"level\": \"warn\""));
}

census class_census(std::size_t buffer_size, std::uint64_t held_count = 0) {
  census result;
  result.buffer_size = buffer_size;
  result.held_count = held_count;
  return result;
}

TEST(answers, who_holds_buffers_is_told_where_it_is_known) {
  std::vector<census> known;
  answers source({.stats = {}, .holders = [&] { return known; }});
  const http_answer off = source.answer("GET", "/outstanding", "");
  EXPECT_EQ(off.status, 404);
  EXPECT_THAT(off.body, testing::HasSubstr("--sample-interval"));

  std::this_thread::sleep_for(answers::freshness);
  known.push_back(class_census(64, 3));
  const http_answer on = source.answer("GET", "/outstanding", "");
  EXPECT_EQ(on.status, 200);
  EXPECT_EQ(on.body, "class 64: 3 held, 0 of them sampled\n");
}

TEST(statistics, holders_are_the_five_largest_of_a_class) {
  std::vector<census> known{class_census(512, 100), class_census(1024)};
  known[0].sample_count = 7;
  for (std::uint64_t i = 0; i < 6; ++i) {
    holder& one = known[0].holders.emplace_back();
    one.frames = {&known};
    one.owner = "room";
    one.owner_id = i;
    one.held_count = 20 - i;
    one.oldest_ms = 40;
  }
  known[0].holders[1].frames = {&known, &known};
  const auto told =
      nlohmann::json::parse(to_json(server_stats{}, {.holders = &known})).at("holders");
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].at("buffer_size"), 512);
  EXPECT_EQ(told[0].at("held"), 100);
  EXPECT_EQ(told[0].at("sampled"), 7);
  ASSERT_EQ(told[0].at("largest").size(), 5U);
  const auto& first = told[0]["largest"][0];
  EXPECT_EQ(first.at("site"), symbol_of(&known));
  EXPECT_EQ(first.at("owner"), "room");
  EXPECT_EQ(first.at("count"), 20);
  EXPECT_EQ(first.at("oldest_ms"), 40);
  EXPECT_FALSE(first.contains("callers"));
  EXPECT_EQ(told[0]["largest"][1].at("callers").size(), 1U);
  EXPECT_TRUE(told[1].at("largest").empty());
  EXPECT_FALSE(nlohmann::json::parse(to_json(server_stats{})).contains("holders"));
}

TEST(answers, many_who_ask_are_one_look_at_the_server) {
  std::atomic<int> looks{0};
  std::atomic<int> counts{0};
  answers source({.stats =
                      [&] {
                        looks.fetch_add(1, std::memory_order_relaxed);
                        return server_stats{};
                      },
                  .holders =
                      [&] {
                        counts.fetch_add(1, std::memory_order_relaxed);
                        return std::vector<census>{class_census(64)};
                      }});
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> crowd;
  for (int i = 0; i < 4; ++i) {
    crowd.emplace_back([&] {
      for (int ask = 0; ask < 50; ++ask) {
        EXPECT_EQ(source.answer("GET", "/metrics", "").status, 200);
        EXPECT_EQ(source.answer("GET", "/stats.json", "").status, 200);
        EXPECT_EQ(source.answer("GET", "/outstanding", "").status, 200);
      }
    });
  }
  for (std::thread& one : crowd) {
    one.join();
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(looks.load(), 1 + took / answers::freshness);
  EXPECT_LE(counts.load(), 1 + took / answers::freshness);
}

}  // namespace
}  // namespace ringpool::tools
