// SPDX-License-Identifier: MIT
#include "ringpool/adapters/asio.hpp"

#include <gtest/gtest.h>

#include <asio/bind_allocator.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/strand.hpp>
#include <asio/write.hpp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "../support/books.hpp"
#include "../support/sanitizers.hpp"

#if defined(ASIO_HAS_CO_AWAIT)  // not with clang 14 and libstdc++
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#endif

namespace {
constinit thread_local std::size_t heap_blocks = 0;  ///< that this thread took
}  // namespace

#if !RINGPOOL_TEST_ASAN && !RINGPOOL_TEST_TSAN
// With g++ Asio takes its blocks there, with clang by operator new.
extern "C" void* __libc_memalign(std::size_t, std::size_t);
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  ++heap_blocks;
  return __libc_memalign(alignment, bytes);
}
#endif

// noinline: g++ 12 would see a free() of what came from new, and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++heap_blocks;
  void* const taken = std::malloc(bytes);
  return taken != nullptr ? taken : throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  ++heap_blocks;
  void* taken = nullptr;
  (void)::posix_memalign(&taken, static_cast<std::size_t>(alignment), bytes);
  return taken != nullptr ? taken : throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t /*bytes*/) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::align_val_t /*alignment*/) noexcept {
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t /*bytes*/,
                                       std::align_val_t /*alignment*/) noexcept {
  std::free(block);
}

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

TEST_F(adapters_asio, every_handle_is_a_sequence_of_buffers) {
  using ::asio::const_buffer;
  using ::asio::is_const_buffer_sequence;
  using ::asio::is_mutable_buffer_sequence;
  using ::asio::mutable_buffer;
  static_assert(is_mutable_buffer_sequence<asio::chain_buffers<mutable_buffer>>::value);
  static_assert(is_const_buffer_sequence<asio::chain_buffers<const_buffer>>::value);
  static_assert(!is_mutable_buffer_sequence<asio::chain_buffers<const_buffer>>::value);
  ring_buffer_pool pool(64, 4, ring_alone);
  account payer({.limit_bytes = 64});
  {
    const buffer one = pool.alloc(10);
    const mutable_buffer bytes = asio::bytes_of(one);
    EXPECT_EQ(bytes.data(), one.data());
    EXPECT_EQ(bytes.size(), 10U);
    const charged_buffer charged = payer.alloc(pool, 20);
    EXPECT_EQ(asio::bytes_of(charged).data(), charged.data());
    shared_buffer shared = pool.alloc(30);
    EXPECT_EQ(asio::bytes_of(shared).size(), 30U);
    EXPECT_EQ(asio::writable_bytes_of(shared).size(), 30U);
    const shared_buffer other = shared;
    EXPECT_EQ(asio::writable_bytes_of(shared).size(), 0U) << "somebody may be reading it";
    EXPECT_EQ(asio::bytes_of(buffer()).size(), 0U);
    EXPECT_EQ(::asio::buffer_size(asio::bytes_of(buffer_chain())), 0U);
  }
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_chain_is_received_into_and_sent_piece_by_piece) {
  ring_buffer_pool pool(512, 16, ring_alone);
  std::string text(512 * 6 + 100, ' ');  // more pieces than lie in the chain itself
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>('a' + i % 23);
  }
  {
    buffer_chain chain = alloc_chain(pool, text.size());
    ASSERT_EQ(chain.piece_count(), 7U);
    ::asio::write(far, ::asio::buffer(text));
    EXPECT_EQ(::asio::read(near, asio::writable_bytes_of(chain)), text.size());
    ::asio::async_write(near, asio::bytes_of(chain),
                        [&](std::error_code error, std::size_t) { seen = error; });
    context.run();
    EXPECT_FALSE(seen);
    std::string back(text.size(), '\0');
    ::asio::read(far, ::asio::buffer(back));
    EXPECT_EQ(back, text);

    std::size_t bytes = 0;
    for (auto at = chain.end(); at != chain.begin();) {
      bytes += (--at)->size();
    }
    EXPECT_EQ(bytes, text.size());
    const buffer_chain reader = chain.share();
    EXPECT_EQ(::asio::buffer_size(asio::writable_bytes_of(chain)), 0U);
    EXPECT_EQ(::asio::buffer_size(asio::bytes_of(chain)), text.size());
  }
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_wait_takes_its_memory_from_the_handlers_allocator) {
  ring_buffer_pool pool(64, 1, ring_alone);
  multi_size_ring_pool memory({{256, 4}}, ring_alone);
  buffer held = pool.alloc(1);
  asio::async_alloc(pool, 20, ::asio::bind_allocator(asio::handler_allocator(memory), noting()));
  EXPECT_EQ(memory.stats().total().in_use, 1U);
  held.reset();
  EXPECT_EQ(memory.stats().total().in_use, 2U) << "it goes through the executor";
  context.run();
  EXPECT_EQ(last.size(), 20U);
  last.reset();
  test::expect_whole(pool);
  test::expect_whole(memory);
}

TEST_F(adapters_asio, a_wait_completes_on_the_strand_of_its_handler) {
  ring_buffer_pool pool(64, 1, ring_alone);
  buffer held = pool.alloc(1);
  auto strand = ::asio::make_strand(context);
  bool inside = false;
  asio::async_alloc(pool, 1, ::asio::bind_executor(strand, [&](std::error_code, const buffer& got) {
                      inside = got && strand.running_in_this_thread();
                    }));
  held.reset();
  context.run();
  EXPECT_TRUE(inside);
  test::expect_whole(pool);
}

TEST_F(adapters_asio, a_cancellation_of_any_type_is_heard_until_the_wait_is_over) {
  ring_buffer_pool pool(64, 1, ring_alone);
  for (const auto type : {::asio::cancellation_type::terminal, ::asio::cancellation_type::partial,
                          ::asio::cancellation_type::total}) {
    buffer held = pool.alloc(1);
    ::asio::cancellation_signal signal;
    asio::async_alloc(pool, 1, ::asio::bind_cancellation_slot(signal.slot(), noting()));
    signal.emit(::asio::cancellation_type::none);
    EXPECT_EQ(pool.stats().waiting, 1U);
    signal.emit(type);
    EXPECT_EQ(pool.stats().waiting, 0U);
    signal.emit(type);  // too late: nothing
    context.run();
    context.restart();
    EXPECT_EQ(seen, ::asio::error::operation_aborted);
    EXPECT_FALSE(signal.slot().has_handler());
  }
  EXPECT_EQ(calls, 3);
  test::expect_whole(pool);
}

TEST_F(adapters_asio, the_allocator_serves_from_upstream_where_the_pool_cannot) {
  multi_size_ring_pool memory({{64, 1}, {256, 1}}, ring_alone);
  std::byte room[4096];
  std::pmr::monotonic_buffer_resource upstream(room, sizeof room, std::pmr::null_memory_resource());
  const asio::handler_allocator from(memory, &upstream);
  std::byte* const first = from.allocate(200);
  std::byte* const spent = from.allocate(200);
  std::byte* const large = from.allocate(300);
  EXPECT_TRUE(memory.owns(first));
  EXPECT_FALSE(memory.owns(spent));
  EXPECT_FALSE(memory.owns(large));
  from.deallocate(large, 300);
  from.deallocate(spent, 200);
  from.deallocate(first, 200);
  from.deallocate(from.allocate(0), 0);
  struct alignas(128) wide {
    std::byte bytes[128];
  };
  asio::handler_allocator<wide, multi_size_ring_pool> rebound(from);
  wide* const aligned = rebound.allocate(1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 128, 0U);
  EXPECT_FALSE(memory.owns(aligned));
  rebound.deallocate(aligned, 1);
  EXPECT_TRUE(rebound == from);
  EXPECT_FALSE(asio::handler_allocator(memory) == from);
  EXPECT_THROW((void)from.allocate(8192), std::bad_alloc);
  test::expect_whole(memory);
}

/// Its executor is no any_io_executor, which takes a block of its own for each completion.
using direct_stream =
    ::asio::basic_stream_socket<::asio::local::stream_protocol, ::asio::io_context::executor_type>;

/// Echoes what comes, with callbacks: a read, then a write, then the next read.
template <class Allocator>
class echo_loop {
 public:
  echo_loop(direct_stream& socket, ring_buffer_pool& pool, Allocator memory)
      : socket_(socket), pool_(pool), memory_(memory) {}
  void read() {
    asio::async_read_pooled(
        socket_, pool_, ::asio::bind_allocator(memory_, [this](std::error_code error, buffer got) {
          if (!error) {
            held_ = std::move(got);
            write();
          }
        }));
  }

 private:
  void write() {
    ::asio::async_write(socket_, asio::bytes_of(held_),
                        ::asio::bind_allocator(memory_, [this](std::error_code, std::size_t) {
                          held_.reset();
                          read();
                        }));
  }

  direct_stream& socket_;
  ring_buffer_pool& pool_;
  Allocator memory_;
  buffer held_;
};

/// Heap blocks in 100 echoes, each of which waits for the one buffer, after 10 others.
template <class Allocator>
std::size_t heap_blocks_of_echoes(::asio::io_context& context, ring_buffer_pool& pool,
                                  Allocator memory) {
  direct_stream near(context);
  direct_stream far(context);
  ::asio::local::connect_pair(near, far);
  echo_loop<Allocator> loop(near, pool, memory);
  loop.read();
  std::size_t before = 0;
  for (int i = 0; i < 110; ++i) {
    if (i == 10) {
      before = heap_blocks;
    }
    char text[4] = {};
    buffer held = pool.alloc(1);
    ::asio::write(far, ::asio::buffer("ping", 4));
    while (pool.stats().waiting == 0) {
      context.run_one();
    }
    held.reset();
    while (far.available() < 4) {
      context.run_one();
    }
    ::asio::read(far, ::asio::buffer(text));
    context.poll();
  }
  const std::size_t taken = heap_blocks - before;
  far.close();
  context.run();
  return taken;
}

TEST_F(adapters_asio, a_steady_echo_takes_nothing_from_the_heap) {
  ring_buffer_pool pool(64, 1, ring_alone);
  multi_size_ring_pool memory({{128, 16}, {512, 16}}, ring_alone);
  EXPECT_EQ(heap_blocks_of_echoes(context, pool, asio::handler_allocator(memory)), 0U);
  EXPECT_EQ(memory.stats().total().refusal_count, 0U);
  test::expect_whole(memory);
  test::expect_whole(pool);
}

TEST_F(adapters_asio, twin_a_steady_echo_on_the_standards_allocator_does) {
  ring_buffer_pool pool(64, 1, ring_alone);
  EXPECT_GE(heap_blocks_of_echoes(context, pool, std::allocator<std::byte>()), 100U);
  test::expect_whole(pool);
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
