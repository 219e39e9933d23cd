// SPDX-License-Identifier: MIT
#include "ringpool/buffer_waiter.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

using namespace std::chrono_literals;

constexpr pool_options no_upstream{.upstream = nullptr};

/// Keeps what it gets, and writes itself into a log.
struct recording_waiter : buffer_waiter {
  explicit recording_waiter(std::size_t size, std::vector<recording_waiter*>* log = nullptr)
      : buffer_waiter(size, &on_served), log_(log) {}

  static void on_served(buffer_waiter& waiter, buffer&& got) noexcept {
    auto& self = static_cast<recording_waiter&>(waiter);
    self.got = std::move(got);
    ++self.calls;
    if (self.log_ != nullptr) {
      self.log_->push_back(&self);
    }
  }

  buffer got;
  int calls = 0;

 private:
  std::vector<recording_waiter*>* log_;
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wshadow"
/// Its parameters have the names that a waiter has inside: to derive from one shadows none of them.
struct waiter_of_common_names : buffer_waiter {
  waiter_of_common_names(std::size_t size, callback call, int data, int slot, int now, int next,
                         int previous, int weight, bool fits)
      : buffer_waiter(size, call),
        sum(data + slot + now + next + previous + weight + (fits ? 1 : 0)) {}
  int sum;
};
#pragma GCC diagnostic pop

void wait_until_waiting(const ring_buffer_pool& pool, std::uint64_t count) {
  while (pool.stats().waiting != count) {
    std::this_thread::yield();
  }
}

TEST(buffer_waiter, has_no_names_that_a_derived_class_would_shadow) {
  const waiter_of_common_names waiter(
      7, [](buffer_waiter&, buffer&&) noexcept {}, 1, 1, 1, 1, 1, 1, true);
  EXPECT_EQ(waiter.size(), 7U);
  EXPECT_EQ(waiter.sum, 7);
  EXPECT_EQ(sizeof(buffer_waiter), 80U);
}

TEST(buffer_waiter, is_served_inside_enqueue_where_there_is_a_buffer) {
  ring_buffer_pool pool(64, 2, no_upstream);
  recording_waiter waiter(10);
  EXPECT_TRUE(pool.enqueue(waiter));
  EXPECT_EQ(waiter.calls, 1);
  EXPECT_EQ(waiter.got.size(), 10U);
  EXPECT_FALSE(waiter.cancel());
  waiter.got.reset();
  test::expect_whole(pool);
}

TEST(buffer_waiter, is_served_by_the_free_that_it_waits_for) {
  ring_buffer_pool pool(64, 1, no_upstream);
  buffer held = pool.alloc(1);
  recording_waiter waiter(10);
  EXPECT_TRUE(pool.enqueue(waiter));
  EXPECT_EQ(waiter.calls, 0);
  EXPECT_EQ(pool.stats().waiting, 1U);
  held.reset();
  EXPECT_EQ(waiter.calls, 1);
  EXPECT_TRUE(waiter.got);
  EXPECT_EQ(pool.stats().waiting, 0U);
  waiter.got.reset();
  test::expect_whole(pool);
}

TEST(buffer_waiter, waiters_are_served_in_the_order_of_their_arrival) {
  ring_buffer_pool pool(64, 4, no_upstream);
  std::vector<buffer> held(4);
  for (buffer& one : held) {
    one = pool.alloc(1);
  }
  std::vector<recording_waiter*> log;
  recording_waiter first(1, &log);
  recording_waiter second(64, &log);
  recording_waiter third(30, &log);
  for (recording_waiter* one : {&first, &second, &third}) {
    EXPECT_TRUE(pool.enqueue(*one));
  }
  held.clear();
  EXPECT_EQ(log, (std::vector<recording_waiter*>{&first, &second, &third}));
  for (recording_waiter* one : log) {
    one->got.reset();
  }
  test::expect_whole(pool);
}

TEST(buffer_waiter, what_stays_in_the_cache_of_another_thread_is_found_before_the_wait) {
  ring_buffer_pool pool(64, 2, no_upstream);
  std::thread([&] { (void)pool.alloc(1); }).join();
  const buffer held = pool.alloc(1);
  recording_waiter waiter(1);
  EXPECT_TRUE(pool.enqueue(waiter));
  EXPECT_EQ(waiter.calls, 1);
}

TEST(buffer_waiter, a_cancelled_one_gets_nothing_and_the_next_gets_it) {
  ring_buffer_pool pool(64, 1, no_upstream);
  buffer held = pool.alloc(1);
  recording_waiter first(1);
  recording_waiter second(1);
  EXPECT_TRUE(pool.enqueue(first));
  EXPECT_TRUE(pool.enqueue(second));
  EXPECT_TRUE(first.cancel());
  EXPECT_FALSE(first.cancel());
  held.reset();
  EXPECT_EQ(first.calls, 0);
  EXPECT_EQ(second.calls, 1);
  EXPECT_FALSE(second.cancel());
  EXPECT_TRUE(pool.enqueue(first));
  second.got.reset();
  EXPECT_EQ(first.calls, 1);
  first.got.reset();
  test::expect_whole(pool);
}

TEST(buffer_waiter, is_used_again_after_its_callback) {
  ring_buffer_pool pool(64, 1, no_upstream);
  recording_waiter waiter(1);
  for (int round = 1; round <= 3; ++round) {
    EXPECT_TRUE(pool.enqueue(waiter));
    EXPECT_EQ(waiter.calls, round);
    waiter.got.reset();
  }
  EXPECT_EQ(pool.stats().wait_count, 3U);
  test::expect_whole(pool);
}

/// Gives its buffer back at once: as deep as there are waiters, were that a recursion.
struct passing_waiter : buffer_waiter {
  passing_waiter() : buffer_waiter(1, &pass_on) {}
  static void pass_on(buffer_waiter& /*waiter*/, buffer&& got) noexcept {
    EXPECT_EQ(++depth, 1);
    got.reset();
    --depth;
    ++served;
  }
  static inline int depth = 0;
  static inline int served = 0;
};

TEST(buffer_waiter, what_a_callback_frees_serves_the_next_without_recursion) {
  ring_buffer_pool pool(64, 1, no_upstream);
  buffer held = pool.alloc(1);
  std::vector<passing_waiter> waiters(10'000);
  for (passing_waiter& one : waiters) {
    EXPECT_TRUE(pool.enqueue(one));
  }
  held.reset();
  EXPECT_EQ(passing_waiter::served, 10'000);
  test::expect_whole(pool);
}

TEST(buffer_waiter, a_size_that_can_never_be_served_does_not_wait) {
  ring_buffer_pool pool(64, 1, no_upstream);
  recording_waiter waiter(65);
  EXPECT_FALSE(pool.enqueue(waiter));
  EXPECT_FALSE(pool.alloc_for(65, 1h));
  EXPECT_EQ(pool.stats().waiting, 0U);
}

TEST(buffer_waiter, the_oldest_that_fits_gets_what_upstream_has_left) {
  test::counting_resource upstream;
  ring_buffer_pool pool(64, 1, {.upstream = &upstream, .upstream_budget_bytes = 100});
  const buffer ring = pool.alloc(64);
  void* const most = pool.allocate(90);
  recording_waiter large(95);
  recording_waiter small(20);
  EXPECT_TRUE(pool.enqueue(large));
  EXPECT_TRUE(pool.enqueue(small));
  EXPECT_EQ(small.calls + large.calls, 0);
  pool.deallocate(most);
  EXPECT_EQ(large.calls, 1);
  EXPECT_EQ(small.calls, 0);
  large.got.reset();
  EXPECT_EQ(small.calls, 1);
}

TEST(buffer_waiter, an_elastic_buffer_given_back_serves_a_waiter) {
  ring_buffer_pool pool(64, 1, {.elastic_capacity = 1, .upstream = nullptr});
  const buffer ring = pool.alloc(1);
  buffer elastic = pool.alloc(1);
  recording_waiter waiter(1);
  EXPECT_TRUE(pool.enqueue(waiter));
  EXPECT_EQ(waiter.calls, 0);
  elastic.reset();
  EXPECT_EQ(waiter.got.origin(), buffer_origin::elastic);
}

TEST(buffer_waiter, a_bulk_given_back_serves_as_many_as_it_can) {
  ring_buffer_pool pool(64, 4, no_upstream);
  std::vector<void*> held = test::take_all(pool, 1, 4);
  std::vector<recording_waiter*> log;
  recording_waiter first(1, &log);
  recording_waiter second(1, &log);
  EXPECT_TRUE(pool.enqueue(first));
  EXPECT_TRUE(pool.enqueue(second));
  pool.deallocate_bulk(held);
  EXPECT_EQ(log.size(), 2U);
  first.got.reset();
  second.got.reset();
  test::expect_whole(pool);
}

TEST(buffer_waiter, classes_of_a_set_have_waiters_of_their_own_and_share_upstream) {
  test::counting_resource upstream;
  multi_size_ring_pool pool({{64, 1}, {256, 1}},
                            {.upstream = &upstream, .upstream_budget_bytes = 64});
  buffer small = pool.alloc(64);
  buffer large = pool.alloc(256);
  void* const block = pool.allocate(64);
  recording_waiter for_small(60);
  recording_waiter for_large(200);
  EXPECT_TRUE(pool.enqueue(for_large));
  EXPECT_TRUE(pool.enqueue(for_small));
  pool.deallocate(block);  // too small for the older one
  EXPECT_EQ(for_small.calls, 1);
  EXPECT_EQ(for_small.got.origin(), buffer_origin::upstream);
  small.reset();
  EXPECT_EQ(for_large.calls, 0);
  large.reset();
  EXPECT_EQ(for_large.calls, 1);
  for_small.got.reset();
  for_large.got.reset();
  test::expect_whole(pool);
}

TEST(buffer_waiter, hardened_and_fenced_pools_serve_too) {
  for (const pool_options& options :
       {pool_options{.upstream = nullptr, .hardened = true},
        pool_options{.upstream = nullptr, .use_membarrier = false},
        pool_options{.upstream = nullptr, .zero_on_free = zeroing::all},
        pool_options{.upstream = nullptr, .cache_limit = 0}}) {
    ring_buffer_pool pool(64, 2, options);
    buffer one = pool.alloc(1);
    const buffer other = pool.alloc(1);
    recording_waiter waiter(1);
    EXPECT_TRUE(pool.enqueue(waiter));
    one.reset();
    EXPECT_EQ(waiter.calls, 1);
  }
}

TEST(alloc_for, a_buffer_that_is_free_needs_no_wait) {
  ring_buffer_pool pool(64, 1, no_upstream);
  EXPECT_EQ(pool.alloc_for(20, 0ns).size(), 20U);
  EXPECT_TRUE(pool.alloc_for(0, 0ns));
  EXPECT_TRUE(pool.alloc_for(1, std::chrono::nanoseconds::max()));
  EXPECT_EQ(pool.stats().wait_count, 0U);
  test::expect_whole(pool);
}

TEST(alloc_for, ends_empty_at_the_deadline) {
  ring_buffer_pool pool(64, 1, no_upstream);
  buffer held = pool.alloc(1);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(pool.alloc_for(1, 20ms));
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 20ms);
  EXPECT_LT(took, 10s);
  EXPECT_FALSE(pool.alloc_until(1, start));
  EXPECT_FALSE(pool.alloc_for(1, -1h));
  const pool_stats now = pool.stats();
  EXPECT_EQ(now.waiting, 0U);
  EXPECT_EQ(now.wait_count, 3U);
  EXPECT_EQ(now.wait_timeout_count, 3U);
  EXPECT_EQ(now.refusal_count, 3U);
  EXPECT_GE(now.wait_total_ns, 20'000'000U);
  held.reset();
  test::expect_whole(pool);
}

TEST(alloc_for, is_woken_by_a_free_on_another_thread) {
  ring_buffer_pool pool(64, 1, no_upstream);
  buffer held = pool.alloc(1);
  std::thread sleeper([&] { EXPECT_TRUE(pool.alloc_for(1, 1h)); });
  wait_until_waiting(pool, 1);
  std::this_thread::sleep_for(10ms);
  held.reset();
  sleeper.join();
  EXPECT_GE(pool.stats().wait_total_ns, 10'000'000U);
  EXPECT_EQ(pool.stats().refusal_count, 0U);
  test::expect_whole(pool);
}

TEST(alloc_for, does_not_pass_those_who_wait) {
  ring_buffer_pool pool(64, 2, no_upstream);
  buffer one = pool.alloc(1);
  buffer other = pool.alloc(1);
  std::vector<std::thread> sleepers;
  std::atomic<int> order{0};
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back([&, i] {
      const buffer got = pool.alloc_for(1, 1h);
      EXPECT_EQ(order.fetch_add(1, std::memory_order_relaxed), i);
    });
    wait_until_waiting(pool, static_cast<std::uint64_t>(i) + 1);
  }
  one.reset();
  for (std::thread& sleeper : sleepers) {
    sleeper.join();
  }
  other.reset();
  test::expect_whole(pool);
}

TEST(alloc_for, pools_of_a_set_wait_too) {
  multi_size_ring_pool pool({{64, 1}, {256, 1}}, no_upstream);
  const buffer held = pool.alloc(60);
  EXPECT_FALSE(pool.alloc_for(60, 5ms));
  EXPECT_TRUE(pool.alloc_for(200, 5ms));
  EXPECT_FALSE(pool.alloc_for(300, 1h));
  EXPECT_EQ(pool.stats().total().wait_timeout_count, 1U);
}

TEST(buffer_waiter, the_fast_path_is_back_when_nobody_waits) {
  ring_buffer_pool pool(64, 64, no_upstream);
  std::vector<void*> held = test::take_all(pool, 1, 64);
  recording_waiter waiter(1);
  EXPECT_TRUE(pool.enqueue(waiter));
  test::give_all(pool, held);
  waiter.got.reset();
  pool.deallocate(pool.allocate(1));
  EXPECT_NE(pool.stats().cached, 0U);
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
