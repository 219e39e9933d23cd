// SPDX-License-Identifier: MIT
// needs ringpool::asio
//
// An echo server on Asio's coroutines in which an idle connection holds no buffer: 100 connections
// and 2 buffers. It talks to itself here, and ends.

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cstdio>
#include <exception>
#include <ringpool/adapters/asio.hpp>
#include <ringpool/ringpool.hpp>
#include <system_error>
#include <utility>

using asio::ip::tcp;

asio::awaitable<void> serve(tcp::socket socket, ringpool::ring_buffer_pool& pool) {
  try {
    for (;;) {
      const ringpool::buffer frame =
          co_await ringpool::asio::async_read_pooled(socket, pool, asio::use_awaitable);
      co_await asio::async_write(socket, ringpool::asio::bytes_of(frame), asio::use_awaitable);
    }
  } catch (const std::system_error&) {  // the peer has gone
  }
}

asio::awaitable<void> ask(tcp::endpoint where, int& answered) {
  tcp::socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect(where, asio::use_awaitable);
  char text[] = "ping";
  co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
  co_await asio::async_read(socket, asio::buffer(text), asio::use_awaitable);
  ++answered;
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, ringpool::ring_buffer_pool& pool, int count) {
  for (int i = 0; i < count; ++i) {
    tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), pool), asio::detached);
  }
}

int main() {
  constexpr int connections = 100;
  ringpool::ring_buffer_pool pool(4096, 2, {.upstream = nullptr});
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  int answered = 0;
  asio::co_spawn(context, accept(acceptor, pool, connections), asio::detached);
  for (int i = 0; i < connections; ++i) {
    asio::co_spawn(context, ask(acceptor.local_endpoint(), answered), asio::detached);
  }
  context.run();
  const ringpool::pool_stats now = pool.stats();
  std::printf("%d answered, at most %lu of %lu buffers in use, %lu waits\n", answered,
              now.peak_in_use, now.ring_size, now.wait_count);
  return answered == connections && now.in_use == 0 ? 0 : 1;
}
