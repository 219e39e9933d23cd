// SPDX-License-Identifier: MIT
#include "ringpool/async_alloc.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <stop_token>
#include <thread>
#include <utility>

#include "../support/books.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

#if defined(__cpp_impl_coroutine)

#include <coroutine>

// Not an unnamed one: where this file is part of a larger one, g++ 12 minds that the frames of
// coroutines have no linkage.
namespace ringpool::async_alloc_test {

constexpr pool_options ring_alone{.upstream = nullptr};

/// Runs at once, and ends by itself.
struct async_task {
  struct promise_type {
    async_task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

template <class Pool>
async_task take(Pool& pool, std::size_t size, buffer& into, int& ended,
                async_options options = {}) {
  into = co_await pool.async_alloc(size, std::move(options));
  ++ended;
}

TEST(async_alloc, goes_on_at_once_where_there_is_a_buffer) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer got;
  int ended = 0;
  take(pool, 20, got, ended);
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(got.size(), 20U);
  EXPECT_EQ(pool.stats().wait_count, 0U);
  got.reset();
  test::expect_whole(pool);
}

TEST(async_alloc, goes_on_with_the_buffer_that_is_given_back_first_come_first_served) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  buffer first;
  buffer second;
  int ended = 0;
  take(pool, 20, first, ended);
  take(pool, 30, second, ended);
  EXPECT_EQ(pool.stats().waiting, 2U);
  held.reset();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(first.size(), 20U);
  first.reset();
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(second.size(), 30U);
  second.reset();
  test::expect_whole(pool);
}

TEST(async_alloc, a_stop_ends_the_wait_with_nothing) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  buffer got;
  int ended = 0;
  std::stop_source stop;
  take(pool, 20, got, ended, {.stop = stop.get_token()});
  EXPECT_EQ(ended, 0);
  stop.request_stop();
  EXPECT_EQ(ended, 1);
  EXPECT_FALSE(got);
  take(pool, 20, got, ended, {.stop = stop.get_token()});
  EXPECT_EQ(ended, 2);
  EXPECT_FALSE(got);
  EXPECT_EQ(pool.stats().waiting, 0U);
  held.reset();
  test::expect_whole(pool);
}

TEST(async_alloc, stops_that_race_with_frees_lose_no_buffer) {
  ring_buffer_pool pool(64, 1, ring_alone);
  for (int round = 0; round < 2000; ++round) {
    buffer held = pool.alloc(1);
    buffer got;
    int ended = 0;
    std::stop_source stop;
    take(pool, 1, got, ended, {.stop = stop.get_token()});
    std::thread stopper([&] { stop.request_stop(); });
    held.reset();
    stopper.join();
    EXPECT_EQ(ended, 1);
  }
  test::expect_whole(pool);
}

TEST(async_alloc, a_hook_resumes_where_it_likes) {
  struct call {
    void (*resume)(void*) noexcept;
    void* coroutine;
  };
  std::deque<call> queue;
  const resume_hook hook{
      [](void* context, void (*resume)(void*) noexcept, void* coroutine) noexcept {
        static_cast<std::deque<call>*>(context)->push_back({resume, coroutine});
      },
      &queue};
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  buffer got;
  int ended = 0;
  take(pool, 1, got, ended, {.resume = hook});
  held.reset();
  EXPECT_EQ(ended, 0);
  ASSERT_EQ(queue.size(), 1U);
  queue.front().resume(queue.front().coroutine);
  EXPECT_EQ(ended, 1);
  EXPECT_TRUE(got);
}

async_task take_and_end(ring_buffer_pool& pool, int& ended) {
  const buffer got = co_await pool.async_alloc(1);
  ++ended;
}

TEST(async_alloc, a_coroutine_that_is_destroyed_waits_no_more) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  int ended = 0;
  const async_task waiting = take_and_end(pool, ended);
  EXPECT_EQ(pool.stats().waiting, 1U);
  waiting.handle.destroy();
  EXPECT_EQ(pool.stats().waiting, 0U);
  held.reset();
  EXPECT_EQ(ended, 0);
  test::expect_whole(pool);
}

TEST(async_alloc, many_coroutines_pass_one_buffer_on) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  int ended = 0;
  for (int i = 0; i < 10'000; ++i) {
    take_and_end(pool, ended);
  }
  EXPECT_EQ(pool.stats().waiting, 10'000U);
  held.reset();
  EXPECT_EQ(ended, 10'000);
  test::expect_whole(pool);
}

TEST(async_alloc, a_set_serves_by_class) {
  multi_size_ring_pool pool({{64, 1}, {256, 1}}, ring_alone);
  buffer held = pool.alloc(64);
  buffer small;
  buffer large;
  buffer none;
  int ended = 0;
  take(pool, 64, small, ended);
  take(pool, 256, large, ended);
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(large.size(), 256U);
  held.reset();
  EXPECT_EQ(ended, 2);
  take(pool, 300, none, ended);
  EXPECT_EQ(ended, 3);
  EXPECT_FALSE(none);
}

}  // namespace ringpool::async_alloc_test

#endif
