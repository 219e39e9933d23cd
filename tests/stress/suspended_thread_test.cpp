// SPDX-License-Identifier: MIT
//
// Lock-free, by trial: a thread is suspended at hundreds of random moments of its calls, and the
// others do their 10,000 operations each; what the suspended one keeps from them is bounded. A
// trial shows the moments it hits; all of them are for a model checker.

#include <gtest/gtest.h>

#include "broken_pools.hpp"
#include "in_child.hpp"
#include "scale.hpp"
#include "suspension.hpp"

namespace ringpool::stress {
namespace {

constexpr std::size_t buffer_bytes = 64;

class a_suspended_thread : public testing::TestWithParam<bool> {
 protected:
  static constexpr const char* why_not =
      "the sanitizer holds signals back until calls into the system: there is no random moment";

  /// What the victim may keep: `batch` held, its cache, and what one call moves: a cache, or a
  /// batch.
  static std::size_t reach(std::size_t cache_limit, std::size_t batch) {
    return batch + cache_limit + std::max(cache_limit + 1, batch);
  }

  static void expect_others_go_on(std::size_t capacity, std::size_t cache_limit,
                                  suspension_plan plan, std::size_t suspensions) {
    pool_options options;
    options.upstream = nullptr;
    options.cache_limit = cache_limit;
    options.use_membarrier = GetParam();
    ring_buffer_pool pool(buffer_bytes, capacity, options);
    plan.most_out_of_reach = reach(cache_limit, plan.batch);
    verdict log;
    suspension(pool, plan, log).run(scaled(suspensions));
    EXPECT_TRUE(log.clean()) << log.text();
  }
};

INSTANTIATE_TEST_SUITE_P(moments, a_suspended_thread, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& about) {
                           return about.param ? "membarrier" : "fenced";
                         });

TEST_P(a_suspended_thread, inside_hits_stops_nobody) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << why_not;
  }
  expect_others_go_on(1024, 16, {.batch = 1}, 100);
}
TEST_P(a_suspended_thread, inside_refills_and_flushes_stops_nobody) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << why_not;
  }
  expect_others_go_on(1024, 8, {.batch = 40}, 100);
}
TEST_P(a_suspended_thread, inside_bulk_calls_stops_nobody) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << why_not;
  }
  expect_others_go_on(1024, 8, {.batch = 100, .bulk = true}, 60);
}
TEST_P(a_suspended_thread, inside_raids_stops_nobody) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << why_not;
  }
  expect_others_go_on(64, 4, {.batch = 70, .refusals_allowed = true}, 60);
  expect_others_go_on(16, 4, {.batch = 10, .refusals_allowed = true}, 60);
}

TEST(a_suspended_thread_twin, a_pool_behind_a_mutex_is_caught) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "no random moments there";
  }
  for (int time = 0; time < 2; ++time) {
    const outcome seen = run_in_child(
        [](verdict& log) {
          mutex_pool pool(buffer_bytes, 256);
          suspension<mutex_pool>(pool, {.batch = 8, .operations = 100, .most_out_of_reach = 8}, log)
              .run(1'000'000);
        },
        std::chrono::seconds(under_address_sanitizer ? 10 : 2));
    EXPECT_EQ(seen.how, ending::stuck) << seen.text;
  }
}

}  // namespace
}  // namespace ringpool::stress
