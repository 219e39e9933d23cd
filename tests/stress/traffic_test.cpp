// SPDX-License-Identifier: MIT
//
// One body (traffic.hpp), many pools: every path of a buffer under load, with ownership stamps,
// payload checksums, and the books at the end.
//
// What no stress on real hardware can show, and a model checker must: a missing membarrier or
// store-load fence, a missing acquire or release where the processor keeps that order anyway. The
// windows are a few cycles wide and, on x86-64, most of them do not exist. Nothing here passes or
// fails by them.

#include "traffic.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "../support/resources.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

pool_options without_upstream() {
  pool_options options;
  options.upstream = nullptr;
  return options;
}

std::uint64_t alloc_count(const ring_buffer_pool& pool) { return pool.stats().alloc_count; }
std::uint64_t alloc_count(const multi_size_ring_pool& pool) {
  return pool.stats().total().alloc_count;
}

template <class Pool>
std::size_t expect_sound(Pool& pool, const traffic_plan& plan) {
  verdict log;
  traffic<Pool> body(pool, plan, log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GE(alloc_count(pool), plan.threads * plan.takes) << "the traffic did not take place";
  return body.refusals();
}

class traffic_on : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static pool_options options() {
    pool_options made = without_upstream();
    made.use_membarrier = GetParam();
    return made;
  }
};

INSTANTIATE_TEST_SUITE_P(pools, traffic_on, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& about) {
                           return about.param ? "membarrier" : "fenced";
                         });

TEST_P(traffic_on, hits) {
  ring_buffer_pool pool(128, 4096, options());
  expect_sound(pool, {.threads = 4,
                      .takes = scaled(400'000),
                      .hold = 8,
                      .sizes = {48, 128},
                      .bulk = false,
                      .hand_over = false});
}

TEST_P(traffic_on, refills_and_flushes) {
  pool_options small_caches = options();
  small_caches.cache_limit = 4;
  ring_buffer_pool pool(128, 2048, small_caches);
  expect_sound(
      pool,
      {.threads = 4, .takes = scaled(300'000), .hold = 256, .sizes = {100}, .hand_over = false});
}

TEST_P(traffic_on, hand_over_between_threads) {
  ring_buffer_pool pool(256, 4096, options());
  expect_sound(pool, {.threads = 4, .takes = scaled(300'000), .hold = 64, .sizes = {64, 100, 256}});
}

TEST_P(traffic_on, raids_of_a_tiny_pool_by_many_threads) {
  for (const std::size_t capacity : {1U, 2U, 4U, 16U, 64U}) {
    ring_buffer_pool pool(64, capacity, options());
    const std::size_t refusals = expect_sound(pool, {.threads = 16,
                                                     .takes = scaled(1'500),
                                                     .hold = 12,
                                                     .sizes = {64},
                                                     .refusals_allowed = true});
    EXPECT_GT(refusals, 0U) << "of " << capacity << ": the pool was never exhausted";
  }
}

TEST_P(traffic_on, births_and_deaths_under_load) {
  ring_buffer_pool pool(128, 512, options());
  expect_sound(pool, {.threads = 8,
                      .takes = scaled(40'000),
                      .hold = 48,
                      .sizes = {64, 128},
                      .refusals_allowed = true,
                      .lives = 50});
}

TEST_P(traffic_on, elastic_buffers_while_they_are_trimmed) {
  pool_options elastic = options();
  elastic.elastic_capacity = 2048;
  elastic.elastic_decay = std::chrono::milliseconds(1);
  ring_buffer_pool pool(1024, 16, elastic);
  expect_sound(pool, {.threads = 4,
                      .takes = scaled(60'000),
                      .hold = 64,
                      .sizes = {64, 1024},
                      .whole_chain = true,
                      .refusals_allowed = true,
                      .trims = true});
}

TEST_P(traffic_on, upstream_within_its_budget) {
  test::zeroed_resource upstream;
  pool_options whole_chain = options();
  whole_chain.upstream = &upstream;
  whole_chain.upstream_budget_bytes = 64 * 100;
  whole_chain.elastic_capacity = 5;
  ring_buffer_pool pool(64, 8, whole_chain);
  expect_sound(pool, {.threads = 4,
                      .takes = scaled(60'000),
                      .hold = 48,
                      .sizes = {64, 200},
                      .whole_chain = true,
                      .refusals_allowed = true});
}

TEST_P(traffic_on, several_sizes) {
  multi_size_ring_pool pool({{64, 1024}, {256, 512}, {1000, 256}, {4096, 64}}, options());
  expect_sound(pool, {.threads = 4,
                      .takes = scaled(150'000),
                      .hold = 64,
                      .sizes = {33, 64, 65, 250, 900, 4096},
                      .refusals_allowed = true});
}

TEST_P(traffic_on, a_hardened_pool) {
  pool_options hardened = options();
  hardened.hardened = true;
  ring_buffer_pool pool(128, 1024, hardened);
  expect_sound(pool, {.threads = 4, .takes = scaled(100'000), .hold = 64, .sizes = {64, 128}});
}

TEST_P(traffic_on, a_zeroing_pool) {
  pool_options zeroing_all = options();
  zeroing_all.zero_on_free = zeroing::all;
  ring_buffer_pool pool(128, 1024, zeroing_all);
  expect_sound(pool, {.threads = 4, .takes = scaled(100'000), .hold = 64, .sizes = {64, 128}});
}

// With T threads that hold at most h buffers each, and a capacity of T * h, nobody is refused as
// long as a call keeps only the buffer it asks for: so without caches.
TEST_P(traffic_on, nobody_is_refused_within_capacity_without_caches) {
  pool_options no_caches = options();
  no_caches.cache_limit = 0;
  ring_buffer_pool pool(64, 128, no_caches);
  expect_sound(pool,
               {.threads = 8, .takes = scaled(60'000), .hold = 16, .sizes = {64}, .bulk = false});
}

}  // namespace
}  // namespace ringpool::stress
