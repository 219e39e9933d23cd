// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/async_alloc.hpp"
#include "ringpool/fault_plan.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Two buffers of 64 bytes, four of 256, four of 1024: a request may go on to so many classes, and
/// hold so many buffers of each.
std::unique_ptr<multi_size_ring_pool> make(spill_options spill, pool_options options = {}) {
  options.spill = spill;
  if (options.upstream == std::pmr::new_delete_resource()) {
    options.upstream = nullptr;
  }
  return std::make_unique<multi_size_ring_pool>(
      std::initializer_list<size_class>{{64, 2}, {256, 4}, {1024, 4}}, options);
}

std::vector<buffer> take(multi_size_ring_pool& pool, std::size_t size, std::size_t most = 100) {
  std::vector<buffer> held;
  while (held.size() < most) {
    buffer one = pool.alloc(size, std::nothrow);
    if (!one) {
      break;
    }
    std::memset(one.data(), 0x5A, one.size());
    held.push_back(std::move(one));
  }
  return held;
}

TEST(spill, a_spent_class_is_served_by_the_next_larger_one_within_the_limit) {
  const auto pool = make({.class_count = 1, .buffer_limit = 3});
  {
    const std::vector<buffer> held = take(*pool, 10);
    ASSERT_EQ(held.size(), 5U) << "two of its own and three of the next";
    EXPECT_EQ(held[1].capacity(), 64U);
    EXPECT_EQ(held[2].capacity(), 256U);
    EXPECT_EQ(held[2].size(), 10U);
    EXPECT_EQ(held[2].origin(), buffer_origin::ring);
    const multi_size_stats now = pool->stats();
    EXPECT_EQ(now.classes[0].spill_count, 3U);
    EXPECT_EQ(now.classes[0].alloc_count, 2U);
    EXPECT_EQ(now.classes[0].spill_in_use, 0U);
    EXPECT_EQ(now.classes[0].refusal_count, 1U);
    EXPECT_EQ(now.classes[1].spill_in_use, 3U);
    EXPECT_EQ(now.classes[1].in_use, 3U);
    EXPECT_EQ(now.classes[1].alloc_count, 3U);
    EXPECT_EQ(now.classes[2].in_use, 0U) << "one class further, not two";
    EXPECT_EQ(now.total().spill_count, 3U);
    EXPECT_EQ(now.total().spill_in_use, 3U);
    for (const pool_stats& one : now.classes) {
      test::expect_books_balance(one);
    }
  }
  EXPECT_EQ(pool->stats().classes[1].spill_in_use, 0U);
  test::expect_whole(*pool);
}

TEST(spill, goes_on_to_as_many_classes_as_it_may_each_with_its_own_limit) {
  const auto pool = make({.class_count = 2, .buffer_limit = 2});
  {
    const std::vector<buffer> small = take(*pool, 64);
    ASSERT_EQ(small.size(), 6U);
    EXPECT_EQ(small[4].capacity(), 1024U);
    const std::vector<buffer> middle = take(*pool, 256);
    EXPECT_EQ(middle.size(), 2U) << "the largest class lends two in all, whoever asks";
    EXPECT_EQ(take(*pool, 1024).size(), 2U);
    EXPECT_EQ(pool->stats().classes[2].spill_in_use, 2U);
  }
  test::expect_whole(*pool);
}

TEST(spill, a_buffer_that_comes_back_can_be_lent_again) {
  const auto pool = make({.class_count = 1, .buffer_limit = 1});
  const std::vector<buffer> own = take(*pool, 64, 2);
  for (int round = 0; round < 1000; ++round) {
    buffer one = pool->alloc(64, std::nothrow);
    ASSERT_TRUE(one) << "round " << round;
    EXPECT_FALSE(pool->alloc(64, std::nothrow));
    if (round % 3 == 0) {
      pool->deallocate(one.release());
    } else if (round % 3 == 1) {
      void* const raw = one.release();
      pool->deallocate_bulk({&raw, 1});
    }
  }
  EXPECT_EQ(pool->stats().classes[0].spill_count, 1000U);
}

TEST(spill, try_alloc_and_bulks_are_the_ring_of_one_class_alone) {
  const auto pool = make({.class_count = 2, .buffer_limit = 4});
  const std::vector<buffer> own = take(*pool, 64, 2);
  EXPECT_FALSE(pool->try_alloc(64));
  EXPECT_EQ(pool->try_allocate(64), nullptr);
  void* out[2] = {};
  EXPECT_EQ(pool->allocate_bulk(64, out), 0U);
  EXPECT_EQ(pool->stats().classes[0].spill_count, 0U);
}

TEST(spill, comes_after_elastic_and_before_upstream) {
  test::counting_resource upstream;
  const auto pool =
      make({.class_count = 1, .buffer_limit = 1}, {.elastic_capacity = 1, .upstream = &upstream});
  const std::vector<buffer> held = take(*pool, 64, 5);
  ASSERT_EQ(held.size(), 5U);
  EXPECT_EQ(held[2].origin(), buffer_origin::elastic);
  EXPECT_EQ(held[3].capacity(), 256U);
  EXPECT_EQ(held[4].origin(), buffer_origin::upstream);
  EXPECT_EQ(held[4].capacity(), 64U);
  EXPECT_EQ(pool->stats().classes[1].elastic_alloc_count, 0U) << "a class lends of its ring alone";
}

TEST(spill, a_class_that_lends_none_is_passed_over) {
  multi_size_ring_pool pool({{64, 1}, {256, 4, {.spill_limit = 0}}, {1024, 4}},
                            {.spill = {.class_count = 2, .buffer_limit = 1}, .upstream = nullptr});
  const std::vector<buffer> held = take(pool, 64);
  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(held[1].capacity(), 1024U);
}

TEST(spill, a_lent_buffer_is_zeroed_guarded_and_watched_like_any_other) {
  const auto pool =
      make({.class_count = 1, .buffer_limit = 2}, {.zero_on_free = zeroing::all, .hardened = true});
  const test::misuse_recorder recorder;
  for (int round = 0; round < 3; ++round) {
    const std::vector<buffer> held = take(*pool, 64, 2);
    buffer one = pool->alloc(64);
    for (std::size_t i = 0; i < one.capacity(); ++i) {
      ASSERT_EQ(one.data()[i], std::byte{0});
    }
    one.resize(256);
    std::memset(one.data(), 0xEE, 256);
    std::byte* const data = one.release();
    pool->deallocate(data + 8);
    pool->deallocate(data);
    pool->deallocate(data);
  }
  EXPECT_EQ(recorder.count(misuse_kind::interior_pointer), 3U);
  EXPECT_EQ(recorder.count(misuse_kind::double_free), 3U);
  EXPECT_EQ(pool->stats().classes[1].spill_in_use, 0U) << "given back once each";
  test::expect_whole(*pool);
}

TEST(spill, a_double_free_of_a_lent_buffer_gives_no_budget_back) {
  const auto pool = make({.class_count = 1, .buffer_limit = 1});
  const test::misuse_recorder recorder;
  const std::vector<buffer> own = take(*pool, 64, 2);
  void* const lent = pool->allocate(64);
  pool->deallocate(lent);
  pool->deallocate(lent);
  EXPECT_EQ(recorder.count(misuse_kind::double_free), 1U);
  EXPECT_EQ(pool->stats().classes[1].spill_in_use, 0U);
  void* const again = pool->allocate(64);
  EXPECT_NE(again, nullptr);
  EXPECT_EQ(pool->allocate(64), nullptr);
  pool->deallocate(again);
}

TEST(spill, a_plan_of_faults_counts_a_request_once) {
  fault_plan plan({.nth = 3});
  const auto pool = make({.class_count = 1, .buffer_limit = 2}, {.faults = &plan});
  const std::vector<buffer> own = take(*pool, 64, 2);
  EXPECT_FALSE(pool->alloc(64, std::nothrow)) << "refused on purpose: exhaustion, spill included";
  EXPECT_TRUE(pool->alloc(64, std::nothrow));
  EXPECT_EQ(pool->stats().classes[0].injected_count, 1U);
}

TEST(spill, shared_handles_and_waits_know_the_lender) {
  const auto pool = make({.class_count = 1, .buffer_limit = 4});
  const std::vector<buffer> own = take(*pool, 64, 2);
  {
    const shared_buffer shared = pool->alloc_for(64, milliseconds(0));
    const shared_buffer copy = shared;
    EXPECT_EQ(pool->stats().classes[1].spill_in_use, 1U);
    EXPECT_EQ(copy.capacity(), 256U);
  }
  EXPECT_EQ(pool->stats().classes[1].spill_in_use, 0U);
}

// ---- Waiting ------------------------------------------------------------------------------------

/// Waits for `size` bytes and keeps what it gets.
struct keeper : buffer_waiter {
  explicit keeper(std::size_t size) : buffer_waiter(size, &on_served) {}
  static void on_served(buffer_waiter& waiter, buffer&& got) noexcept {
    static_cast<keeper&>(waiter).got = std::move(got);
  }
  buffer got;
};

TEST(spill, a_free_in_the_larger_class_serves_who_waits_for_the_smaller_one) {
  const auto pool = make({.class_count = 1, .buffer_limit = 2});
  const std::vector<buffer> small = take(*pool, 64, 2);
  std::vector<buffer> large = take(*pool, 256, 4);
  ASSERT_EQ(large.size(), 4U);
  keeper first(64);
  keeper second(64);
  ASSERT_TRUE(pool->enqueue(first));
  ASSERT_TRUE(pool->enqueue(second));
  EXPECT_FALSE(first.got);
  large.pop_back();
  EXPECT_TRUE(first.got);
  EXPECT_EQ(first.got.capacity(), 256U);
  EXPECT_FALSE(second.got);
  large.pop_back();
  EXPECT_TRUE(second.got);
  large.pop_back();
  EXPECT_EQ(pool->stats().classes[1].spill_in_use, 2U);
  EXPECT_EQ(pool->stats().classes[0].spill_count, 2U);
}

TEST(spill, a_lent_buffer_that_comes_back_serves_who_waits_for_the_budget) {
  const auto pool = make({.class_count = 1, .buffer_limit = 1});
  const std::vector<buffer> small = take(*pool, 64, 2);
  buffer lent = pool->alloc(64);
  keeper waiter(64);
  ASSERT_TRUE(pool->enqueue(waiter));
  EXPECT_FALSE(waiter.got) << "three buffers are free, and the limit is met";
  lent.reset();
  EXPECT_TRUE(waiter.got);
}

TEST(spill, a_class_serves_its_own_waiters_before_those_of_smaller_ones) {
  const auto pool = make({.class_count = 1, .buffer_limit = 4});
  const std::vector<buffer> small = take(*pool, 64, 2);
  std::vector<buffer> large = take(*pool, 256, 4);
  std::vector<buffer> largest = take(*pool, 1024, 4);
  keeper borrower(64);
  keeper owner(256);
  ASSERT_TRUE(pool->enqueue(borrower));
  ASSERT_TRUE(pool->enqueue(owner));
  large.pop_back();
  EXPECT_TRUE(owner.got) << "though the other came first";
  EXPECT_FALSE(borrower.got);
  owner.got.reset();
  EXPECT_TRUE(borrower.got);
}

TEST(spill, waiters_that_are_gone_leave_the_caches_of_all_classes_open) {
  const auto pool = make({.class_count = 2, .buffer_limit = 4});
  const std::vector<buffer> small = take(*pool, 64, 2);
  std::vector<buffer> middle = take(*pool, 256);
  std::vector<buffer> large = take(*pool, 1024);
  for (int round = 0; round < 200; ++round) {
    keeper one(64);
    keeper other(256);
    ASSERT_TRUE(pool->enqueue(one));
    ASSERT_TRUE(pool->enqueue(other));
    EXPECT_TRUE(one.cancel());
    EXPECT_TRUE(other.cancel());
  }
  middle.clear();
  large.clear();
  for (const pool_stats& one : pool->stats().classes) {
    EXPECT_EQ(one.waiting, 0U);
  }
  multi_size_ring_pool roomy({{64, 64}, {256, 64}},
                             {.spill = {.class_count = 1, .buffer_limit = 8}, .upstream = nullptr});
  std::vector<buffer> all = take(roomy, 64, 64);
  std::vector<buffer> lent = take(roomy, 64);
  std::vector<buffer> own = take(roomy, 256);
  keeper waiter(64);
  ASSERT_TRUE(roomy.enqueue(waiter));
  EXPECT_TRUE(waiter.cancel());
  lent.clear();
  own.clear();
  buffer(roomy.alloc(256)).reset();
  EXPECT_GT(roomy.stats().classes[1].cached, 0U) << "a gate was left closed";
}

TEST(spill, a_thread_asleep_is_woken_by_a_free_in_the_larger_class) {
  const auto pool = make({.class_count = 1, .buffer_limit = 1});
  const std::vector<buffer> small = take(*pool, 64, 2);
  std::vector<buffer> large = take(*pool, 256, 4);
  std::optional<buffer> got;
  std::thread sleeper([&] { got = pool->alloc_for(64, seconds(20)); });
  while (pool->stats().classes[0].waiting == 0) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  const auto start = std::chrono::steady_clock::now();
  large.pop_back();
  sleeper.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  ASSERT_TRUE(got.has_value());
  EXPECT_TRUE(*got);
}

}  // namespace
}  // namespace ringpool
