// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "../support/resources.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

struct upstream_pool : testing::Test {
  [[nodiscard]] pool_options options(std::size_t budget = std::size_t{1} << 20,
                                     std::size_t elastic = 0) {
    return {.elastic_capacity = elastic, .upstream = &upstream, .upstream_budget_bytes = budget};
  }
  test::counting_resource upstream;
};

TEST_F(upstream_pool, serves_when_ring_and_elastic_are_spent) {
  ring_buffer_pool pool(64, 2, options(1 << 20, 2));
  {
    std::vector<buffer> held;
    for (int i = 0; i < 6; ++i) {
      held.push_back(pool.alloc(50));
    }
    EXPECT_EQ(held[3].origin(), buffer_origin::elastic);
    EXPECT_EQ(held[4].origin(), buffer_origin::upstream);
    EXPECT_EQ(held[5].capacity(), 50U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(held[5].data()) % cache_line_bytes, 0U);
    const pool_stats now = pool.stats();
    EXPECT_EQ(now.alloc_count, 6U);
    EXPECT_EQ(now.fallback_count, 4U);
    EXPECT_EQ(now.upstream_alloc_count, 2U);
    EXPECT_EQ(now.upstream_in_use_bytes, 100U);
    EXPECT_EQ(now.oversize_count, 0U);
    test::expect_books_balance(now);
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, a_size_above_the_buffer_size_is_oversize_and_fallback) {
  ring_buffer_pool pool(64, 2, options());
  {
    const buffer large = pool.alloc(65);
    EXPECT_EQ(large.origin(), buffer_origin::upstream);
    std::memset(large.data(), 0xAB, large.size());
    void* const larger = pool.allocate(100'000);
    ASSERT_NE(larger, nullptr);
    const pool_stats now = pool.stats();
    EXPECT_EQ(now.oversize_count, 2U);
    EXPECT_EQ(now.fallback_count, 2U);
    EXPECT_EQ(now.upstream_in_use_bytes, 100'065U);
    EXPECT_EQ(now.in_use, 0U);
    pool.deallocate(larger);
    EXPECT_EQ(pool.stats().upstream_in_use_bytes, 65U);
    EXPECT_EQ(pool.stats().free_count, 1U);
  }
  test::expect_whole(pool);
}

TEST_F(upstream_pool, try_alloc_never_goes_there) {
  ring_buffer_pool pool(64, 1, options());
  const buffer held = pool.try_alloc(64);
  EXPECT_FALSE(pool.try_alloc(64));
  EXPECT_FALSE(pool.try_alloc(65));
  EXPECT_EQ(upstream.allocation_count.load(), 0U);
}

TEST_F(upstream_pool, the_budget_is_kept_to_the_byte) {
  ring_buffer_pool pool(64, 1, options(1000));
  void* const ring = pool.allocate(64);
  void* const most = pool.allocate(999);
  ASSERT_NE(most, nullptr);
  EXPECT_EQ(pool.allocate(2), nullptr);
  void* const last = pool.allocate(1);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(pool.stats().upstream_in_use_bytes, 1000U);
  EXPECT_EQ(pool.allocate(1), nullptr);
  EXPECT_THROW((void)pool.alloc(1), std::bad_alloc);
  EXPECT_EQ(pool.stats().refusal_count, 3U);
  pool.deallocate(most);
  EXPECT_EQ(pool.allocate(1000), nullptr) << "999 are free";
  void* const again = pool.allocate(999);
  EXPECT_NE(again, nullptr);
  for (void* const pointer : {again, last, ring}) {
    pool.deallocate(pointer);
  }
  test::expect_whole(pool);
}

TEST_F(upstream_pool, a_budget_of_zero_is_none) {
  ring_buffer_pool pool(64, 1, options(0));
  EXPECT_EQ(pool.allocate(65), nullptr);
  EXPECT_EQ(upstream.allocation_count.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, an_unlimited_budget_does_not_overflow) {
  ring_buffer_pool pool(64, 1, options(~std::size_t{0}));
  void* const one = pool.allocate(1000);
  EXPECT_NE(one, nullptr);
  EXPECT_EQ(pool.allocate(~std::size_t{0}), nullptr);
  EXPECT_EQ(pool.allocate(max_buffer_size + 1), nullptr) << "beyond a handle's 32 bits";
  EXPECT_EQ(pool.stats().upstream_in_use_bytes, 1000U);
  pool.deallocate(one);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, the_budget_holds_when_threads_race_for_it) {
  constexpr std::size_t budget = 10 * 100;
  ring_buffer_pool pool(64, 1, options(budget));
  std::atomic<std::size_t> served{0};
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        if (void* const pointer = pool.allocate(100); pointer != nullptr) {
          EXPECT_LE(pool.stats().upstream_in_use_bytes, budget);
          ++served;
          pool.deallocate(pointer);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(pool.stats().upstream_alloc_count, served.load());
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, an_upstream_that_throws_is_a_refusal_and_costs_no_budget) {
  ring_buffer_pool pool(64, 1, options(1000));
  upstream.refuse = true;
  EXPECT_EQ(pool.allocate(1000), nullptr);
  EXPECT_THROW((void)pool.alloc(1000), std::bad_alloc);
  EXPECT_EQ(pool.stats().upstream_in_use_bytes, 0U);
  EXPECT_EQ(pool.stats().upstream_alloc_count, 0U);
  EXPECT_EQ(pool.stats().oversize_count, 0U);
  EXPECT_EQ(pool.stats().refusal_count, 2U);
  upstream.refuse = false;
  void* const one = pool.allocate(1000);
  EXPECT_NE(one, nullptr);
  pool.deallocate(one);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, without_an_upstream_oversize_is_refused) {
  ring_buffer_pool pool(64, 1, {.upstream = nullptr});
  EXPECT_EQ(pool.allocate(65), nullptr);
  EXPECT_THROW((void)pool.alloc(65), std::bad_alloc);
  EXPECT_EQ(pool.stats().oversize_count, 0U);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, takes_blocks_back_from_any_thread_and_in_any_order) {
  ring_buffer_pool pool(64, 1, options());
  std::vector<void*> held;
  for (std::size_t i = 0; i < 500; ++i) {
    held.push_back(pool.allocate(65 + i));
    ASSERT_NE(held.back(), nullptr);
    std::memset(held.back(), 0xAB, 65 + i);
  }
  std::thread([&] {
    for (std::size_t i = 0; i < held.size(); i += 2) {
      pool.deallocate(held[i]);
    }
  }).join();
  for (std::size_t i = held.size(); i-- > 0;) {
    if (i % 2 == 1) {
      pool.deallocate(held[i]);
    }
  }
  EXPECT_EQ(upstream.deallocation_count.load(), 500U);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(upstream_pool, a_dying_pool_gives_outstanding_blocks_back) {
  {
    ring_buffer_pool pool(64, 1, options());
    EXPECT_NE(pool.allocate(1000), nullptr);
    EXPECT_NE(pool.allocate(70), nullptr);
  }
  EXPECT_EQ(upstream.deallocation_count.load(), 2U);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
}

}  // namespace
}  // namespace ringpool
