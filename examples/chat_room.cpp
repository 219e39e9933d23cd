// SPDX-License-Identifier: MIT
// needs ringpool::asio
//
// A chat room on Asio's coroutines: what one client says lies in one buffer and is sent from there
// to all, however many they are. It talks to itself here, and ends.

#include <array>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <ringpool/adapters/asio.hpp>
#include <ringpool/ringpool.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

using asio::awaitable, asio::use_awaitable, asio::ip::tcp;

constexpr std::uint32_t max_message_bytes = 1000;
constexpr std::size_t max_behind_bytes = 16384;

/// One frame, header and all, in a buffer of its length. No buffer before there is a frame. Where
/// all are spent the client waits for one, and TCP tells it to slow down.
awaitable<ringpool::buffer> read_frame(tcp::socket& from, ringpool::multi_size_ring_pool& pool) {
  ringpool::frame_header header;
  co_await asio::async_read(from, asio::buffer(header), use_awaitable);
  ringpool::frame_cursor cursor(max_message_bytes);
  std::span<const std::byte> bytes(header);
  if (!cursor.read_header(bytes)) {
    throw std::system_error(make_error_code(cursor.error()));
  }
  const std::size_t size = header.size() + static_cast<std::size_t>(cursor.length());
  ringpool::buffer frame = co_await ringpool::asio::async_alloc(pool, size, use_awaitable);
  std::memcpy(frame.data(), header.data(), header.size());
  co_await asio::async_read(from, ringpool::asio::bytes_of(frame) + header.size(), use_awaitable);
  co_return frame;
}

/// One client. The frames for it are a chain of handles, and all that wait are sent at once.
struct member : std::enable_shared_from_this<member> {
  member(tcp::socket connected, ringpool::multi_size_ring_pool& pool)
      : socket(std::move(connected)), waiting(pool) {}

  void send(ringpool::shared_buffer frame) {
    if (waiting.size() > max_behind_bytes || !waiting.append(std::move(frame))) {
      socket.close();  // too slow: what it keeps from the pool is for the others
    } else if (!std::exchange(sending, true)) {
      asio::co_spawn(socket.get_executor(), send_all(shared_from_this()), asio::detached);
    }
  }

  static awaitable<void> send_all(std::shared_ptr<member> self) {
    try {
      while (self->waiting) {
        const ringpool::buffer_chain frames = std::move(self->waiting);
        co_await asio::async_write(self->socket, ringpool::asio::bytes_of(frames), use_awaitable);
      }
      self->sending = false;
    } catch (const std::system_error&) {  // it has gone, as its reader finds too
      self->waiting.clear();
    }
  }

  tcp::socket socket;
  ringpool::buffer_chain waiting;
  bool sending = false;
};

using members = std::set<std::shared_ptr<member>>;

awaitable<void> serve(std::shared_ptr<member> one, members& room,
                      ringpool::multi_size_ring_pool& pool) {
  try {
    for (;;) {
      const ringpool::shared_buffer frame = co_await read_frame(one->socket, pool);
      for (const std::shared_ptr<member>& each : room) {
        each->send(frame);  // one more owner, no copy; the last gives the buffer back
      }
    }
  } catch (const std::system_error&) {  // it left, or sent no frame
    room.erase(one);
  }
}

awaitable<void> accept(tcp::acceptor& acceptor, std::size_t count, members& room,
                       ringpool::multi_size_ring_pool& pool) {
  while (count-- != 0) {
    auto one = std::make_shared<member>(co_await acceptor.async_accept(use_awaitable), pool);
    room.insert(one);
    asio::co_spawn(acceptor.get_executor(), serve(one, room, pool), asio::detached);
  }
}

// ---- Clients to try it --------------------------------------------------------------------------

constexpr std::size_t clients = 8, messages = 50;

std::string message(std::size_t name, std::size_t number) {
  return std::to_string(name) + ": message " + std::to_string(number);
}

awaitable<void> talk(tcp::socket& room, std::size_t name) {
  for (std::size_t i = 0; i < messages; ++i) {
    const std::string text = message(name, i);
    std::array<std::byte, 64> frame;
    const std::size_t size = ringpool::encode_frame(frame, std::as_bytes(std::span(text)));
    co_await asio::async_write(room, asio::buffer(frame, size), use_awaitable);
  }
}

awaitable<void> hear(tcp::socket& room, std::vector<std::string>& heard) {
  ringpool::multi_size_ring_pool pool({{64, 1}, {1024, 1}});
  while (heard.size() < clients * messages) {
    const ringpool::buffer frame = co_await read_frame(room, pool);
    heard.emplace_back(reinterpret_cast<const char*>(frame.data()) + 4, frame.size() - 4);
  }
  room.close();
}

int main() {
  ringpool::multi_size_ring_pool pool({{64, 256}, {1024, 64}}, {.upstream = nullptr});
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  members room;
  asio::co_spawn(context, accept(acceptor, clients, room, pool), asio::detached);
  std::vector<tcp::socket> sockets;
  for (std::size_t i = 0; i < clients; ++i) {
    sockets.emplace_back(context).connect(acceptor.local_endpoint());
  }
  while (room.size() < clients) {
    context.run_one();
  }
  std::vector<std::vector<std::string>> heard(clients);
  for (std::size_t i = 0; i < clients; ++i) {
    asio::co_spawn(context, talk(sockets[i], i), asio::detached);
    asio::co_spawn(context, hear(sockets[i], heard[i]), asio::detached);
  }
  context.run();

  // Everybody heard the same, and of each client every message once, in its order.
  bool right = true;
  std::vector<std::size_t> next(clients);
  for (const std::string& text : heard[0]) {
    const std::size_t name = std::stoul(text);
    right = right && text == message(name, next[name]++);
  }
  for (const std::vector<std::string>& one : heard) {
    right = right && one.size() == clients * messages && one == heard[0];
  }
  const ringpool::pool_stats now = pool.stats().total();
  std::printf("%zu clients heard %zu messages each, %s; at most %lu buffers in use, %lu held now\n",
              clients, heard[0].size(), right ? "all in one order" : "WRONG", now.peak_in_use,
              now.in_use);
  return right && now.in_use == 0 ? 0 : 1;
}
