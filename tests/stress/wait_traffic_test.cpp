// SPDX-License-Identifier: MIT
//
// Threads that wait for buffers: nobody sleeps while one is free, deadlines and cancellation lose
// none. In a process of its own, where a thread that never wakes is found out.

#include "wait_traffic.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "../support/resources.hpp"
#include "in_child.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

template <class Pool>
void run_waiting(Pool& pool, const wait_plan& plan, verdict& log) {
  wait_traffic<Pool> body(pool, plan, log);
  body.run();
}

void expect_sound(const std::function<void(verdict&)>& body) {
  const outcome seen = run_in_child(body, std::chrono::seconds(60));
  EXPECT_EQ(static_cast<int>(seen.how), static_cast<int>(ending::sound)) << seen.text;
}

wait_plan of_threads(unsigned threads, std::size_t meetings = 2'000) {
  return {.threads = threads, .meetings = scaled(meetings)};
}

TEST(wait_traffic, of_one_buffer) {
  expect_sound([](verdict& log) {
    ring_buffer_pool pool(64, 1, {.upstream = nullptr});
    run_waiting(pool, of_threads(4), log);
  });
}

TEST(wait_traffic, of_a_few_buffers_in_caches) {
  expect_sound([](verdict& log) {
    ring_buffer_pool pool(64, 4, {.upstream = nullptr});
    run_waiting(pool, of_threads(6), log);
  });
}

TEST(wait_traffic, where_membarrier_is_refused) {
  expect_sound([](verdict& log) {
    ring_buffer_pool pool(64, 2, {.upstream = nullptr, .use_membarrier = false});
    run_waiting(pool, of_threads(4), log);
  });
}

TEST(wait_traffic, of_ring_and_elastic_buffers_of_a_hardened_pool) {
  expect_sound([](verdict& log) {
    ring_buffer_pool pool(64, 1, {.elastic_capacity = 1, .upstream = nullptr, .hardened = true});
    run_waiting(pool, of_threads(4), log);
  });
}

TEST(wait_traffic, of_upstream_within_a_budget) {
  expect_sound([](verdict& log) {
    test::zeroed_resource upstream;
    multi_size_ring_pool pool({{64, 1}, {256, 1}},
                              {.upstream = &upstream, .upstream_budget_bytes = 64});
    run_waiting(pool, of_threads(4), log);
  });
}

TEST(wait_traffic, deadlines_and_cancellation_are_met) {
  ring_buffer_pool pool(64, 1, {.upstream = nullptr});
  verdict log;
  wait_traffic<ring_buffer_pool> body(pool, of_threads(4, 500), log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GT(body.timeouts(), 0U);
  EXPECT_GT(body.cancelled(), 0U);
  EXPECT_GT(pool.stats().wait_timeout_count, 0U);
}

// ---- Twins --------------------------------------------------------------------------------------

template <wait_bug Seeded>
outcome run_broken() {
  return run_in_child(
      [](verdict& log) {
        mutex_waiting_pool<Seeded> pool(64, 2);
        wait_traffic<mutex_waiting_pool<Seeded>> body(
            pool, {.threads = 4, .meetings = scaled(400), .rounds = 8}, log);
        body.run();
      },
      std::chrono::seconds(Seeded == wait_bug::none ? 30 : 4));
}

TEST(wait_traffic_twin, the_pool_under_the_bugs_is_sound) {
  const outcome seen = run_broken<wait_bug::none>();
  EXPECT_EQ(static_cast<int>(seen.how), static_cast<int>(ending::sound)) << seen.text;
}

TEST(wait_traffic_twin, a_second_look_left_out_is_caught) {
  outcome seen = run_broken<wait_bug::no_second_look>();
  for (int again = 0; again < 50 && seen.how == ending::sound; ++again) {  // a matter of chance
    seen = run_broken<wait_bug::no_second_look>();
  }
  EXPECT_EQ(static_cast<int>(seen.how), static_cast<int>(ending::stuck)) << seen.text;
}

TEST(wait_traffic_twin, a_buffer_that_comes_at_the_deadline_and_is_kept_is_caught) {
  outcome seen = run_broken<wait_bug::keeps_late_buffer>();
  for (int again = 0; again < 50 && seen.how == ending::sound; ++again) {
    seen = run_broken<wait_bug::keeps_late_buffer>();
  }
  EXPECT_TRUE(seen.how == ending::violation || seen.how == ending::stuck) << seen.text;
}

}  // namespace
}  // namespace ringpool::stress
