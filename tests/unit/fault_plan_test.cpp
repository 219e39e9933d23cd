// SPDX-License-Identifier: MIT
#include "ringpool/fault_plan.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

/// Which of the next `count` allocations fail; each buffer is given back at once.
template <class Pool>
std::vector<int> failures(Pool& pool, int count, std::size_t size = 64) {
  std::vector<int> failed;
  for (int number = 1; number <= count; ++number) {
    if (!pool.alloc(size, std::nothrow)) {
      failed.push_back(number);
    }
  }
  return failed;
}

TEST(fault_plan, nth_fails_that_allocation_alone) {
  fault_plan plan({.nth = 3});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  EXPECT_EQ(failures(pool, 10), std::vector<int>{3});
  EXPECT_EQ(plan.asked_count(), 10U);
  EXPECT_EQ(plan.injected_count(), 1U);
  test::expect_whole(pool);
}

TEST(fault_plan, every_fails_each_multiple) {
  fault_plan plan({.nth = 2, .every = 4});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  EXPECT_EQ(failures(pool, 12), (std::vector<int>{2, 4, 8, 12}));
  EXPECT_EQ(pool.stats().available, 8U);  // a count: the plan goes on failing
}

TEST(fault_plan, an_empty_rule_fails_nothing) {
  fault_plan plan({});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  EXPECT_TRUE(failures(pool, 1000).empty());
  EXPECT_EQ(pool.stats().injected_count, 0U);
  EXPECT_EQ(pool.stats().refusal_count, 0U);
}

TEST(fault_plan, a_seed_fails_the_same_allocations_again) {
  std::vector<int> seen[3];
  for (int i = 0; i < 3; ++i) {
    fault_plan plan({.probability = 0.25, .seed = i == 2 ? 8U : 7U});
    ring_buffer_pool pool(64, 8, {.faults = &plan});
    seen[i] = failures(pool, 4000);
    EXPECT_NEAR(static_cast<double>(seen[i].size()), 1000.0, 150.0);
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_NE(seen[0], seen[2]);
}

TEST(fault_plan, probability_one_fails_all_and_zero_none) {
  fault_plan all({.probability = 1.0});
  fault_plan none({.probability = 0.0});
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(all.should_fail(64));
    EXPECT_FALSE(none.should_fail(64));
  }
}

TEST(fault_plan, a_refusal_looks_like_exhaustion_in_every_form) {
  fault_plan plan({.every = 1});
  ring_buffer_pool pool(64, 8, {.elastic_capacity = 8, .faults = &plan});
  std::array<void*, 4> out{};
  EXPECT_THROW((void)pool.alloc(64), std::bad_alloc);
  EXPECT_FALSE(pool.alloc(64, std::nothrow));
  EXPECT_FALSE(pool.try_alloc(64));
  EXPECT_EQ(pool.allocate(64), nullptr);
  EXPECT_EQ(pool.allocate(1000), nullptr) << "upstream is not asked";
  EXPECT_EQ(pool.try_allocate(64), nullptr);
  EXPECT_EQ(pool.allocate_bulk(out), 0U);
  EXPECT_EQ(out, (std::array<void*, 4>{}));
  EXPECT_EQ(pool.stats().refusal_count, 7U);
  EXPECT_EQ(pool.stats().injected_count, 7U);
  EXPECT_EQ(pool.stats().alloc_count, 0U);
  EXPECT_EQ(pool.stats().available, 8U);  // a count: the plan goes on failing
}

TEST(fault_plan, a_request_of_no_bytes_is_no_allocation) {
  fault_plan plan({.every = 1});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  EXPECT_TRUE(pool.alloc(0));
  EXPECT_EQ(plan.asked_count(), 0U);
}

TEST(fault_plan, a_bulk_ends_before_the_buffer_that_fails) {
  fault_plan plan({.nth = 4});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  std::array<void*, 8> out{};
  EXPECT_EQ(pool.allocate_bulk(out), 3U);
  pool.deallocate_bulk({out.data(), 3});
  EXPECT_EQ(pool.allocate_bulk(out), 8U);
  pool.deallocate_bulk(out);
  test::expect_whole(pool);
}

TEST(fault_plan, true_exhaustion_is_not_counted_as_injected) {
  fault_plan plan({.nth = 1});
  ring_buffer_pool pool(64, 1, {.upstream = nullptr, .faults = &plan});
  EXPECT_FALSE(pool.try_alloc(64));
  const buffer held = pool.try_alloc(64);
  EXPECT_TRUE(held);
  EXPECT_FALSE(pool.try_alloc(64));
  EXPECT_EQ(pool.stats().refusal_count, 2U);
  EXPECT_EQ(pool.stats().injected_count, 1U);
}

TEST(fault_plan, buffer_size_chooses_a_class_of_a_set) {
  fault_plan plan({.every = 2, .buffer_size = 512});
  multi_size_ring_pool pool({{64, 8}, {512, 8}}, {.faults = &plan});
  EXPECT_TRUE(failures(pool, 6, 64).empty());
  EXPECT_EQ(failures(pool, 6, 300), (std::vector<int>{2, 4, 6}));
  EXPECT_EQ(pool.stats().classes[0].injected_count, 0U);
  EXPECT_EQ(pool.stats().total().injected_count, 3U);
}

TEST(fault_plan, thread_chooses_a_thread) {
  fault_plan plan({.every = 1, .thread = std::this_thread::get_id()});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  std::thread([&] { EXPECT_TRUE(failures(pool, 5).empty()); }).join();
  EXPECT_EQ(failures(pool, 5).size(), 5U);
  EXPECT_EQ(plan.asked_count(), 5U);
}

TEST(fault_plan, threads_share_the_numbers) {
  fault_plan plan({.every = 10});
  ring_buffer_pool pool(64, 8, {.faults = &plan});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { (void)failures(pool, 5000); });
  }
  for (std::thread& one : threads) {
    one.join();
  }
  EXPECT_EQ(plan.asked_count(), 20'000U);
  EXPECT_EQ(pool.stats().injected_count, 2000U);
  test::expect_whole(pool);
}

TEST(fault_plan, a_hardened_pool_may_have_a_plan) {
  fault_plan plan({.nth = 2});
  ring_buffer_pool pool(64, 8, {.hardened = true, .faults = &plan});
  EXPECT_EQ(failures(pool, 4), std::vector<int>{2});
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
