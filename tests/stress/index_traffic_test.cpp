// SPDX-License-Identifier: MIT
#include "index_traffic.hpp"

#include <gtest/gtest.h>

#include "scale.hpp"

namespace ringpool::stress {
namespace {

using ring = ring_bag<detail::std_atomics>;
using cache = cache_bag<detail::production>;

template <class Bag>
std::size_t expect_sound(Bag& bag, const index_plan& plan) {
  verdict log;
  index_traffic<Bag> body(bag, plan, log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  return body.refusals();
}

TEST(index_ring_traffic, nobody_is_refused_within_capacity) {
  for (const unsigned threads : {2U, 4U, 16U}) {
    for (const unsigned hold : {1U, 4U, 16U}) {
      ring bag(std::size_t{threads} * hold);
      expect_sound(bag, {.threads = threads, .rounds = scaled(200'000) / threads, .hold = hold});
    }
  }
}

TEST(index_ring_traffic, a_ring_smaller_than_the_demand_stays_whole) {
  for (const std::size_t capacity : {1U, 2U, 3U, 5U, 8U}) {
    ring bag(capacity);
    const std::size_t refusals = expect_sound(bag, {.threads = 12,
                                                    .rounds = scaled(20'000),
                                                    .hold = 10,
                                                    .batch = 8,
                                                    .refusals_allowed = true});
    EXPECT_GT(refusals, 0U);
  }
}

TEST(index_ring_traffic, more_threads_than_entries) {
  ring bag(2);
  expect_sound(bag, {.threads = 64, .rounds = scaled(2'000), .hold = 2, .refusals_allowed = true});
}

TEST(index_ring_traffic, cycles_that_carry_into_high_bits) {
  for (const unsigned bit : {16U, 31U, 32U, 48U}) {
    ring bag(4, (std::uint64_t{1} << bit) - 1000);
    expect_sound(bag, {.threads = 4, .rounds = scaled(20'000), .hold = 1, .batch = 1});
  }
}

class index_cache_traffic : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static bool fenced() { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(caches, index_cache_traffic, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& about) {
                           return about.param ? "fenced" : "membarrier";
                         });

TEST_P(index_cache_traffic, refills_flushes_and_raids_keep_every_index) {
  for (const std::size_t capacity : {4U, 64U, 1024U}) {
    for (const std::size_t limit : {1U, 4U, 128U}) {
      cache bag(capacity, limit, fenced());
      expect_sound(bag, {.threads = 6,
                         .rounds = scaled(10'000),
                         .hold = 48,
                         .batch = 16,
                         .refusals_allowed = true});
    }
  }
}

TEST_P(index_cache_traffic, drains_race_with_owners) {
  cache bag(256, 32, fenced());
  expect_sound(bag, {.threads = 4,
                     .rounds = scaled(200'000),
                     .hold = 40,
                     .batch = 4,
                     .refusals_allowed = true,
                     .drains = true});
}

// Refused only if every buffer is held or inside another's unfinished call: where the body sees
// that nobody else was in a call, every index must be held.
TEST_P(index_cache_traffic, a_refusal_with_nobody_else_in_a_call_is_true) {
  std::size_t judged = 0;
  for (const std::size_t limit : {0U, 1U, 4U}) {
    cache bag(16, limit, fenced());
    verdict log;
    index_traffic body(bag,
                       {.threads = 3,
                        .rounds = scaled(60'000),
                        .hold = 20,
                        .batch = 2,
                        .refusals_allowed = true,
                        .judges_refusals = true},
                       log);
    body.run();
    EXPECT_TRUE(log.clean()) << log.text();
    judged += body.judged_refusals();
  }
  EXPECT_GT(judged, 0U);
}

TEST(index_ring_traffic, a_refusal_with_nobody_else_in_a_call_is_true) {
  ring bag(8);
  verdict log;
  index_traffic body(bag,
                     {.threads = 3,
                      .rounds = scaled(60'000),
                      .hold = 12,
                      .batch = 2,
                      .refusals_allowed = true,
                      .judges_refusals = true},
                     log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GT(body.judged_refusals(), 0U);
}

}  // namespace
}  // namespace ringpool::stress
