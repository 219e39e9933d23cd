// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "../support/misuse_recorder.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool {
namespace {

constexpr pool_options only_ring{.upstream = nullptr};

struct counting_waiter : buffer_waiter {
  counting_waiter() : buffer_waiter(1, &on_end) {}
  static void on_end(buffer_waiter& waiter, buffer&& got) noexcept {
    auto& self = static_cast<counting_waiter&>(waiter);
    ++(got ? self.served : self.ended);
  }
  int served = 0;
  int ended = 0;
};

TEST(waiters, a_pool_destroyed_while_somebody_waits_is_reported_and_the_waits_end_empty) {
  const test::misuse_recorder recorder;
  std::optional<ring_buffer_pool> pool(std::in_place, 64, 1, only_ring);
  void* const held = pool->allocate(1);
  counting_waiter first;
  counting_waiter second;
  EXPECT_TRUE(pool->enqueue(first));
  EXPECT_TRUE(pool->enqueue(second));
  pool->deallocate(held);
  EXPECT_EQ(first.served + second.served, 2);  // the callback gives it back: the second had it too
  void* const again = pool->allocate(1);
  EXPECT_NE(again, nullptr);
  EXPECT_TRUE(pool->enqueue(first));
  EXPECT_TRUE(pool->enqueue(second));
  pool.reset();
  ASSERT_EQ(recorder.count(), 1U);
  EXPECT_EQ(recorder.last().kind, misuse_kind::waiting_at_destruction);
  EXPECT_EQ(recorder.last().outstanding_count, 2U);
  EXPECT_EQ(first.ended + second.ended, 2);
}

TEST(waiters, a_thread_that_sleeps_in_a_pool_that_dies_wakes_with_nothing) {
  const test::misuse_recorder recorder;
  std::optional<multi_size_ring_pool> pool(
      std::in_place, std::initializer_list<size_class>{{64, 1}, {256, 1}}, only_ring);
  EXPECT_NE(pool->allocate(256), nullptr);
  std::thread sleeper([&] { EXPECT_FALSE(pool->alloc_for(200, std::chrono::hours(1))); });
  while (pool->stats().total().waiting == 0) {
    std::this_thread::yield();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  pool.reset();
  sleeper.join();
  EXPECT_EQ(recorder.count(misuse_kind::waiting_at_destruction), 1U);
}

TEST(waiters, nothing_is_reported_when_all_were_cancelled) {
  const test::misuse_recorder recorder;
  {
    ring_buffer_pool pool(64, 1, only_ring);
    const buffer held = pool.alloc(1);
    counting_waiter waiter;
    EXPECT_TRUE(pool.enqueue(waiter));
    EXPECT_TRUE(waiter.cancel());
  }
  EXPECT_EQ(recorder.count(), 0U);
}

}  // namespace
}  // namespace ringpool
