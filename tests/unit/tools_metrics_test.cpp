// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "metrics/answers.hpp"
#include "metrics/server_metrics.hpp"
#include "metrics/service_time.hpp"

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

TEST(answers, many_who_ask_are_one_look_at_the_server) {
  std::atomic<int> looks{0};
  answers source([&] {
    looks.fetch_add(1, std::memory_order_relaxed);
    return server_stats{};
  });
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> crowd;
  for (int i = 0; i < 4; ++i) {
    crowd.emplace_back([&] {
      for (int ask = 0; ask < 50; ++ask) {
        EXPECT_EQ(source.answer("GET", "/metrics", "").status, 200);
        EXPECT_EQ(source.answer("GET", "/stats.json", "").status, 200);
      }
    });
  }
  for (std::thread& one : crowd) {
    one.join();
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(looks.load(), 1 + took / answers::freshness);
}

}  // namespace
}  // namespace ringpool::tools
