// SPDX-License-Identifier: MIT
#include "ringpool/ring_buffer_pool.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"

namespace ringpool {
namespace {

constexpr std::size_t capacities[] = {1, 2, 4, 64, 4096};

/// Options without anything behind the ring.
pool_options ring_alone() { return {.upstream = nullptr}; }

TEST(ring_buffer_pool, try_alloc_returns_empty_when_every_buffer_is_held) {
  for (const std::size_t capacity : capacities) {
    ring_buffer_pool pool(64, capacity, ring_alone());
    std::vector<buffer> held;
    for (std::size_t i = 0; i < capacity; ++i) {
      held.push_back(pool.try_alloc(64));
      ASSERT_TRUE(held.back()) << i << " of " << capacity;
    }
    EXPECT_FALSE(pool.try_alloc(64));
    EXPECT_FALSE(pool.try_alloc(1));
    held.pop_back();
    EXPECT_TRUE(pool.try_alloc(64));
    held.clear();
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool, try_allocate_returns_nullptr_when_every_buffer_is_held) {
  for (const std::size_t capacity : capacities) {
    ring_buffer_pool pool(100, capacity, ring_alone());
    const std::vector<void*> held = test::take_all(pool, 100, capacity);
    EXPECT_EQ(held.size(), capacity);
    EXPECT_EQ(pool.try_allocate(100), nullptr);
    test::give_all(pool, held);
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool, alloc_throws_and_allocate_returns_nullptr_when_all_are_spent) {
  ring_buffer_pool pool(64, 2, ring_alone());
  {
    const buffer a = pool.alloc(64);
    const buffer b = pool.alloc(64);
    EXPECT_THROW((void)pool.alloc(64), std::bad_alloc);
    EXPECT_EQ(pool.allocate(64), nullptr);
    EXPECT_EQ(pool.stats().refusal_count, 2U);
  }
  EXPECT_TRUE(pool.alloc(64));
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, a_handle_has_the_size_asked_for_and_the_pools_capacity) {
  ring_buffer_pool pool(1000, 4);
  for (const std::size_t size : {1U, 999U, 1000U}) {
    const buffer one = pool.alloc(size);
    EXPECT_EQ(one.size(), size);
    EXPECT_EQ(one.capacity(), 1000U);
    EXPECT_EQ(one.origin(), buffer_origin::ring);
    std::memset(one.data(), 0xAB, one.capacity());
  }
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, buffers_are_cache_line_aligned_and_do_not_overlap) {
  for (const std::size_t size : {1U, 63U, 64U, 65U, 100U, 1000U, 1500U, 4096U, 9000U}) {
    ring_buffer_pool pool(size, 64, ring_alone());
    const std::vector<void*> held = test::take_all(pool, size, 64);
    for (std::size_t i = 0; i < held.size(); ++i) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(held[i]) % cache_line_bytes, 0U);
      std::memset(held[i], static_cast<int>(i), size);
    }
    for (std::size_t i = 0; i < held.size(); ++i) {
      const auto* const bytes = static_cast<const std::byte*>(held[i]);
      EXPECT_EQ(bytes[0], std::byte(i));
      EXPECT_EQ(bytes[size - 1], std::byte(i));
    }
    test::give_all(pool, held);
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool, a_size_of_zero_is_a_valid_handle_that_uses_no_buffer) {
  ring_buffer_pool pool(64, 1, ring_alone());
  {
    const buffer all = pool.alloc(64);
    const buffer none = pool.alloc(0);
    const buffer another = pool.try_alloc(0);
    EXPECT_TRUE(none);
    EXPECT_TRUE(another);
    EXPECT_EQ(none.size(), 0U);
    EXPECT_EQ(none.span().size(), 0U);
    EXPECT_EQ(pool.stats().in_use, 1U);
    EXPECT_EQ(pool.stats().alloc_count, 1U);
    EXPECT_EQ(pool.stats().refusal_count, 0U);
  }
  EXPECT_EQ(pool.stats().free_count, 1U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, allocate_zero_is_a_pointer_that_deallocate_takes) {
  for (const bool hardened : {false, true}) {
    ring_buffer_pool pool(64, 1, {.elastic_capacity = 1, .hardened = hardened});
    void* const none = pool.allocate(0);
    void* const another = pool.try_allocate(0);
    ASSERT_NE(none, nullptr);
    ASSERT_NE(another, nullptr);
    const test::misuse_recorder recorder;
    pool.deallocate(none);
    pool.deallocate_bulk(std::vector<void*>{another, none});
    EXPECT_EQ(recorder.count(), 0U);
    EXPECT_EQ(pool.stats().alloc_count, 0U);
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool, deallocating_nullptr_does_nothing) {
  ring_buffer_pool pool(64, 2);
  const test::misuse_recorder recorder;
  pool.deallocate(nullptr);
  pool.deallocate_bulk(std::vector<void*>{nullptr, nullptr});
  pool.free(buffer{});
  EXPECT_EQ(recorder.count(), 0U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, free_is_the_same_as_letting_the_handle_die) {
  ring_buffer_pool pool(64, 1, ring_alone());
  buffer one = pool.alloc(64);
  pool.free(std::move(one));
  EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): the promise under test
  EXPECT_EQ(pool.stats().free_count, 1U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, try_alloc_refuses_a_size_above_the_buffer_size) {
  ring_buffer_pool pool(64, 4);
  EXPECT_FALSE(pool.try_alloc(65));
  EXPECT_EQ(pool.try_allocate(65), nullptr);
  EXPECT_EQ(pool.try_allocate(~std::size_t{0}), nullptr);
  EXPECT_EQ(pool.stats().refusal_count, 3U);
  EXPECT_EQ(pool.stats().oversize_count, 0U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, takes_buffers_back_from_any_thread) {
  ring_buffer_pool pool(64, 256, ring_alone());
  for (int round = 0; round < 4; ++round) {
    const std::vector<void*> held = test::take_all(pool, 64, 256);
    ASSERT_EQ(held.size(), 256U);
    std::thread([&] { test::give_all(pool, held); }).join();
  }
  std::vector<void*> elsewhere;
  std::thread([&] { elsewhere = test::take_all(pool, 64, 256); }).join();
  EXPECT_EQ(elsewhere.size(), 256U) << "nothing is stranded with this thread or dead ones";
  test::give_all(pool, elsewhere);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, a_bulk_fills_from_the_front_and_says_how_many) {
  ring_buffer_pool pool(64, 8, ring_alone());
  std::vector<void*> out(12, nullptr);
  EXPECT_EQ(pool.allocate_bulk(std::span(out).first(5)), 5U);
  EXPECT_EQ(pool.allocate_bulk(std::span(out).subspan(5)), 3U) << "partly filled";
  EXPECT_EQ(out[8], nullptr);
  EXPECT_EQ(std::set<void*>(out.begin(), out.begin() + 8).size(), 8U);
  EXPECT_EQ(pool.allocate_bulk(std::span(out).subspan(8)), 0U);
  EXPECT_EQ(pool.stats().alloc_count, 8U);
  EXPECT_EQ(pool.stats().in_use, 8U);
  pool.deallocate_bulk(std::span<void* const>(out).first(8));
  EXPECT_EQ(pool.stats().free_count, 8U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, a_bulk_of_the_whole_pool_goes_out_and_back) {
  for (const std::size_t capacity : capacities) {
    for (const bool hardened : {false, true}) {
      ring_buffer_pool pool(64, capacity, {.upstream = nullptr, .hardened = hardened});
      std::vector<void*> out(capacity + 1, nullptr);
      EXPECT_EQ(pool.allocate_bulk(out), capacity);
      out.pop_back();
      pool.deallocate_bulk(out);
      EXPECT_EQ(pool.allocate_bulk({}), 0U);
      pool.deallocate_bulk({});
      test::expect_whole(pool);
    }
  }
}

TEST(ring_buffer_pool, a_bulk_never_goes_beyond_the_ring) {
  ring_buffer_pool pool(64, 4, {.elastic_capacity = 4});
  std::vector<void*> out(10, nullptr);
  EXPECT_EQ(pool.allocate_bulk(out), 4U);
  EXPECT_EQ(pool.stats().fallback_count, 0U);
  pool.deallocate_bulk(std::span<void* const>(out).first(4));
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, a_bulk_free_takes_pointers_of_every_origin) {
  ring_buffer_pool pool(64, 2, {.elastic_capacity = 2});
  std::vector<void*> out;
  for (int i = 0; i < 5; ++i) {
    out.push_back(pool.allocate(64));
  }
  out.push_back(pool.allocate(1000));
  out.push_back(pool.allocate(0));
  out.push_back(nullptr);
  const pool_stats now = pool.stats();
  EXPECT_EQ(now.in_use, 2U);
  EXPECT_EQ(now.elastic_in_use, 2U);
  EXPECT_EQ(now.upstream_in_use_bytes, 1064U);
  const test::misuse_recorder recorder;
  pool.deallocate_bulk(out);
  EXPECT_EQ(recorder.count(), 0U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, statistics_say_what_happened) {
  ring_buffer_pool pool(64, 8, ring_alone());
  EXPECT_EQ(pool.stats().buffer_size, 64U);
  EXPECT_EQ(pool.stats().ring_size, 8U);
  EXPECT_EQ(pool.stats().available, 8U);
  EXPECT_EQ(pool.stats().peak_in_use, 0U);
  std::vector<buffer> held;
  for (std::uint64_t i = 1; i <= 8; ++i) {
    held.push_back(pool.alloc(10));
    const pool_stats now = pool.stats();
    EXPECT_EQ(now.alloc_count, i);
    EXPECT_EQ(now.in_use, i);
    EXPECT_EQ(now.available, 8 - i);
    EXPECT_EQ(now.free_count, 0U);
    EXPECT_GE(now.peak_in_use, i);
    EXPECT_EQ(now.utilization(), static_cast<double>(i) / 8);
    test::expect_books_balance(now);
  }
  for (std::uint64_t i = 1; i <= 8; ++i) {
    held.pop_back();
    EXPECT_EQ(pool.stats().free_count, i);
    EXPECT_EQ(pool.stats().available, i);
    test::expect_books_balance(pool.stats());
  }
  EXPECT_EQ(pool.stats().peak_in_use, 8U);
  EXPECT_EQ(pool.stats().fallback_count, 0U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, counts_stay_exact_over_many_calls) {
  ring_buffer_pool pool(64, 128, ring_alone());
  std::mt19937 random(5);
  std::vector<void*> held;
  std::uint64_t allocs = 0;
  std::uint64_t frees = 0;
  for (int i = 0; i < 100'000; ++i) {
    if (random() % 2 == 0) {
      if (void* const pointer = pool.try_allocate(64); pointer != nullptr) {
        held.push_back(pointer);
        ++allocs;
      } else {
        ASSERT_EQ(held.size(), 128U);
      }
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      pool.deallocate(held.back());
      held.pop_back();
      ++frees;
    }
    if (i % 1000 == 0) {
      const pool_stats now = pool.stats();
      ASSERT_EQ(now.alloc_count, allocs);
      ASSERT_EQ(now.free_count, frees);
      ASSERT_EQ(now.in_use, held.size());
    }
  }
  test::give_all(pool, held);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, hands_out_the_hottest_buffer_first) {
  ring_buffer_pool pool(64, 1024);
  void* const hot = pool.allocate(64);
  pool.deallocate(hot);
  for (int i = 0; i < 1000; ++i) {
    void* const again = pool.allocate(64);
    ASSERT_EQ(again, hot);
    pool.deallocate(again);
  }
  EXPECT_LT(pool.stats().peak_in_use, 1024U) << "the rest was never touched";
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, owns_its_own_addresses_and_no_others) {
  ring_buffer_pool pool(64, 4, {.elastic_capacity = 2});
  ring_buffer_pool other(64, 4);
  int here = 0;
  const std::vector<void*> held = test::take_all(pool, 64, 4);
  for (void* const pointer : held) {
    EXPECT_TRUE(pool.owns(pointer));
    EXPECT_TRUE(pool.owns(static_cast<std::byte*>(pointer) + 63));
    EXPECT_FALSE(other.owns(pointer));
  }
  void* const elastic = pool.allocate(64);
  EXPECT_TRUE(pool.owns(elastic));
  EXPECT_FALSE(pool.owns(&here));
  EXPECT_FALSE(pool.owns(nullptr));
  pool.deallocate(elastic);
  test::give_all(pool, held);
  test::expect_whole(pool);
  test::expect_whole(other);
}

TEST(ring_buffer_pool, works_the_same_without_caches_and_without_membarrier) {
  for (const std::size_t cache_limit : {std::size_t{0}, std::size_t{1}, index_cache::max_items}) {
    for (const bool use_membarrier : {true, false}) {
      ring_buffer_pool pool(
          64, 256,
          {.upstream = nullptr, .cache_limit = cache_limit, .use_membarrier = use_membarrier});
      for (int round = 0; round < 3; ++round) {
        std::thread([&] { test::give_all(pool, test::take_all(pool, 64, 200)); }).join();
        test::give_all(pool, test::take_all(pool, 64, 100));
      }
      if (cache_limit == 0) {
        EXPECT_EQ(pool.stats().cached, 0U);
      }
      test::expect_whole(pool);
    }
  }
}

TEST(ring_buffer_pool, caches_never_hold_more_than_half_of_it) {
  ring_buffer_pool pool(64, 64, ring_alone());
  test::give_all(pool, test::take_all(pool, 64, 64));
  EXPECT_LE(pool.stats().cached, 32U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool, keeps_what_is_in_a_buffer_while_it_is_held) {
  ring_buffer_pool pool(256, 32, ring_alone());
  std::vector<buffer> held;
  for (int i = 0; i < 32; ++i) {
    held.push_back(pool.alloc(256));
    std::memset(held.back().data(), i + 1, 256);
  }
  for (int round = 0; round < 500; ++round) {
    const std::size_t i = static_cast<std::size_t>(round) % held.size();
    held[i] = buffer{};
    held[i] = pool.alloc(256);
    std::memset(held[i].data(), static_cast<int>(i) + 1, 256);
    for (std::size_t j = 0; j < held.size(); ++j) {
      ASSERT_EQ(held[j].data()[0], std::byte(j + 1));
      ASSERT_EQ(held[j].data()[255], std::byte(j + 1));
    }
  }
  held.clear();
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
