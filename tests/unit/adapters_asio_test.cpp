// SPDX-License-Identifier: MIT
#include "ringpool/adapters/asio.hpp"

#include <gtest/gtest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "../support/books.hpp"

#if defined(ASIO_HAS_CO_AWAIT)  // not with clang 14 and libstdc++
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#endif

namespace ringpool {
namespace {

using stream = ::asio::local::stream_protocol::socket;
constexpr pool_options ring_alone{.upstream = nullptr};

struct adapters_asio : testing::Test {
  adapters_asio() { ::asio::local::connect_pair(near, far); }

  /// A handler that notes how it was called, on the context.
  auto noting() {
    return ::asio::bind_executor(context, [this](std::error_code error, buffer got) {
      seen = error;
      last = std::move(got);
      ++calls;
    });
  }

  ::asio::io_context context;
  stream near{context};
  stream far{context};
  std::error_code seen;
  buffer last;
  int calls = 0;
};

TEST_F(adapters_asio, a_buffer_that_is_there_comes_by_the_executor_and_not_at_once) {
  ring_buffer_pool pool(64, 1, ring_alone);
  asio::async_alloc(pool, 20, noting());
  EXPECT_EQ(calls, 0);
  context.run();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(seen);
  EXPECT_EQ(last.size(), 20U);
  last.reset();
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_wait_keeps_the_context_at_work_until_it_is_served) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  asio::async_alloc(pool, 20, noting());
  context.poll();
  EXPECT_FALSE(context.stopped());
  EXPECT_EQ(calls, 0);
  held.reset();
  context.run();
  EXPECT_EQ(calls, 1);
  last.reset();
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_cancelled_wait_is_aborted_and_the_next_gets_the_buffer) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  ::asio::cancellation_signal signal;
  std::error_code first;
  asio::async_alloc(pool, 1,
                    ::asio::bind_cancellation_slot(
                        signal.slot(), ::asio::bind_executor(
                                           context, [&](std::error_code error, const buffer& got) {
                                             first = error;
                                             EXPECT_FALSE(got);
                                           })));
  asio::async_alloc(pool, 1, noting());
  signal.emit(::asio::cancellation_type::total);
  held.reset();
  context.run();
  EXPECT_EQ(first, ::asio::error::operation_aborted);
  EXPECT_TRUE(last);
  last.reset();
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_size_that_can_never_be_had_is_an_error) {
  ring_buffer_pool pool(64, 1, ring_alone);
  asio::async_alloc(pool, 65, noting());
  context.run();
  EXPECT_EQ(seen, ::asio::error::no_memory);
}

TEST_F(adapters_asio, a_read_holds_no_buffer_until_something_comes) {
  ring_buffer_pool pool(64, 1, ring_alone);
  asio::async_read_pooled(near, pool, noting());
  context.poll();
  EXPECT_EQ(pool.stats().in_use, 0U);
  ::asio::write(far, ::asio::buffer("hello", 5));
  context.run();
  EXPECT_FALSE(seen);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(last.data()), last.size()), "hello");
  last.reset();
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_read_waits_for_a_buffer_and_tells_the_end) {
  multi_size_ring_pool pool({{64, 1}, {256, 1}}, ring_alone);
  buffer held = pool.alloc(256);
  ::asio::write(far, ::asio::buffer("x", 1));
  asio::async_read_pooled(near, pool, noting());
  context.poll();
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(pool.stats().total().waiting, 1U);
  held.reset();
  context.run();
  EXPECT_EQ(last.size(), 1U);
  last.reset();
  far.close();
  context.restart();
  asio::async_read_pooled(near, pool, noting());
  context.run();
  EXPECT_EQ(seen, ::asio::error::eof);
  EXPECT_FALSE(last);
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_cancelled_read_that_waits_for_a_buffer_is_aborted) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  ::asio::cancellation_signal signal;
  ::asio::write(far, ::asio::buffer("x", 1));
  asio::async_read_pooled(near, pool, ::asio::bind_cancellation_slot(signal.slot(), noting()));
  context.poll();
  EXPECT_EQ(pool.stats().waiting, 1U);
  signal.emit(::asio::cancellation_type::total);
  context.run();
  EXPECT_EQ(seen, ::asio::error::operation_aborted);
  held.reset();
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_shared_buffer_is_sent_to_many) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer one = pool.alloc(3);
  std::memcpy(one.data(), "abc", 3);
  const shared_buffer all(std::move(one));
  ::asio::write(near, asio::bytes_of(all));
  ::asio::write(far, asio::bytes_of(all));
  EXPECT_EQ(near.available(), 3U);
  EXPECT_EQ(far.available(), 3U);
}

#if defined(ASIO_HAS_CO_AWAIT)

::asio::awaitable<void> echo(stream& socket, ring_buffer_pool& pool, int& echoed) {
  try {
    for (;;) {
      const buffer got = co_await asio::async_read_pooled(socket, pool, ::asio::use_awaitable);
      co_await ::asio::async_write(socket, asio::bytes_of(got), ::asio::use_awaitable);
      ++echoed;
    }
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), ::asio::error::eof);
  }
}

TEST_F(adapters_asio, coroutines_echo_through_one_buffer) {
  ring_buffer_pool pool(64, 1, ring_alone);
  int echoed = 0;
  stream second(context);
  stream peer(context);
  ::asio::local::connect_pair(second, peer);
  ::asio::co_spawn(context, echo(near, pool, echoed), ::asio::detached);
  ::asio::co_spawn(context, echo(second, pool, echoed), ::asio::detached);
  ::asio::write(far, ::asio::buffer("one", 3));
  ::asio::write(peer, ::asio::buffer("two", 3));
  while (echoed < 2) {
    context.run_one();
  }
  char text[3] = {};
  ::asio::read(peer, ::asio::buffer(text));
  EXPECT_EQ(std::string(text, 3), "two");
  ::asio::read(far, ::asio::buffer(text));
  EXPECT_EQ(std::string(text, 3), "one");
  far.close();
  peer.close();
  context.run();
  test::expect_whole(pool);
}

#endif

}  // namespace
}  // namespace ringpool
