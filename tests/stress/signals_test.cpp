// SPDX-License-Identifier: MIT
//
// Signal handlers that allocate and free, delivered to threads inside every kind of call. A thread
// sanitizer delivers signals at calls into the system only, so it sees fewer of these moments.

#include "signals.hpp"

#include <gtest/gtest.h>

#include "broken_pools.hpp"
#include "in_child.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

constexpr std::size_t buffer_bytes = 64;

class signals : public testing::TestWithParam<bool> {
 protected:
  static void expect_sound(std::size_t capacity, std::size_t cache_limit, const signal_plan& plan) {
    pool_options options;
    options.upstream = nullptr;
    options.cache_limit = cache_limit;
    options.use_membarrier = GetParam();
    ring_buffer_pool pool(buffer_bytes, capacity, options);
    verdict log;
    signal_traffic body(pool, plan, log);
    body.run();
    EXPECT_TRUE(log.clean()) << log.text();
    EXPECT_GE(body.handled(), plan.deliveries);
    EXPECT_GT(body.served(), 0U);
  }
};

INSTANTIATE_TEST_SUITE_P(handlers, signals, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& about) {
                           return about.param ? "membarrier" : "fenced";
                         });

TEST_P(signals, interrupt_hits) {
  expect_sound(1024, 128, {.what = hammer::hits, .deliveries = scaled(12'000)});
}
TEST_P(signals, interrupt_refills_and_flushes) {
  expect_sound(1024, 8, {.what = hammer::batches, .batch = 40, .deliveries = scaled(12'000)});
}
TEST_P(signals, interrupt_bulk_calls) {
  expect_sound(1024, 16, {.what = hammer::bulk, .batch = 100, .deliveries = scaled(12'000)});
}
TEST_P(signals, interrupt_raids_and_refusals) {
  expect_sound(8, 128,
               {.threads = 4, .what = hammer::batches, .batch = 5, .deliveries = scaled(8'000)});
  expect_sound(64, 16,
               {.threads = 3, .what = hammer::batches, .batch = 40, .deliveries = scaled(10'000)});
}
TEST_P(signals, interrupt_the_last_buffer) {
  expect_sound(1, 128, {.threads = 2, .what = hammer::hits, .deliveries = scaled(10'000)});
}

TEST(signals_twin, a_cache_without_a_mark_for_calls_under_way_is_caught) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "signals wait for calls into the system there: the window is never met";
  }
  for (int time = 0; time < 3; ++time) {
    const outcome seen = run_in_child(
        [](verdict& log) {
          not_reentrant_pool pool(buffer_bytes, 256);
          signal_traffic<not_reentrant_pool>(
              pool, {.what = hammer::batches, .batch = 6, .deliveries = 10'000'000}, log)
              .run();
        },
        std::chrono::seconds(under_address_sanitizer ? 10 : 2));
    EXPECT_EQ(seen.how, ending::violation) << seen.text;
    EXPECT_NE(seen.text.find("a buffer"), std::string::npos) << seen.text;
  }
}

}  // namespace
}  // namespace ringpool::stress
