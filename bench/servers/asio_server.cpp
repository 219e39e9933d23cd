// SPDX-License-Identifier: MIT
// needs asio/ip/tcp.hpp
//
// The frame echo server as it is ordinarily written on Asio: a context and a thread for each loop,
// a chain of callbacks for each connection, which keeps one buffer for as long as it is open.
//
//   front: accepts --> the loops in turn --> session: header -> payload -> echo -> header ...

#define ASIO_STANDALONE
#define ASIO_NO_DEPRECATED

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <deque>
#include <exception>
#include <iostream>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "options.hpp"

namespace {

using asio::ip::tcp;
// Of one executor's type, not of any: the faster of the two.
using tcp_socket = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;

/// One connection; the handler that waits owns it.
class session : public std::enable_shared_from_this<session> {
 public:
  explicit session(tcp_socket socket)
      : socket_(std::move(socket)), frame_(bench::first_buffer_bytes) {}

  void read_header() {
    asio::async_read(socket_, asio::buffer(frame_.data(), bench::header_bytes),
                     [self = shared_from_this()](const std::error_code& error, std::size_t) {
                       if (!error) {
                         self->read_payload();
                       }
                     });
  }

 private:
  void read_payload() {
    const std::size_t payload = bench::payload_bytes(frame_.data());
    if (payload == 0) {
      return;  // no handler waits: this was the last owner, and the socket is closed
    }
    const std::size_t whole = bench::header_bytes + payload;
    frame_.resize(std::max(frame_.size(), whole));
    asio::async_read(socket_, asio::buffer(frame_.data() + bench::header_bytes, payload),
                     [self = shared_from_this(), whole](const std::error_code& error, std::size_t) {
                       if (!error) {
                         self->write_frame(whole);
                       }
                     });
  }

  void write_frame(std::size_t whole) {
    asio::async_write(socket_, asio::buffer(frame_.data(), whole),
                      [self = shared_from_this()](const std::error_code& error, std::size_t) {
                        if (!error) {
                          self->read_header();
                        }
                      });
  }

  tcp_socket socket_;
  std::vector<std::byte> frame_;  // header and payload
};

/// A context and the thread that runs it.
class loop {
 public:
  loop() : thread_([this] { context_.run(); }) {}
  ~loop() { context_.stop(); }
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  [[nodiscard]] asio::io_context& context() noexcept { return context_; }

 private:
  asio::io_context context_{1};  // one thread runs it: saves locks
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::jthread thread_;  // joined first
};

class server {
 public:
  explicit server(const bench::server_options& options)
      : loops_(options.loops),
        signals_(front_, SIGTERM, SIGINT),
        retry_(front_),
        acceptor_(front_, {asio::ip::make_address(options.address), options.port}) {}

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  /// Until SIGTERM.
  void run() {
    signals_.async_wait([this](const std::error_code&, int) { front_.stop(); });
    accept();
    front_.run();
  }

 private:
  void accept() {
    asio::io_context& home = loops_[next_++ % loops_.size()].context();
    acceptor_.async_accept(home, [this, &home](const std::error_code& error, tcp_socket socket) {
      if (error) {  // such as no descriptor left
        retry_.expires_after(std::chrono::milliseconds(10));
        retry_.async_wait([this](const std::error_code&) { accept(); });
        return;
      }
      start(home, std::move(socket));
      accept();
    });
  }

  static void start(asio::io_context& home, tcp_socket socket) {
    std::error_code ignored;  // the peer may have gone already
    socket.set_option(tcp::no_delay(true), ignored);
    asio::dispatch(home,
                   [one = std::make_shared<session>(std::move(socket))] { one->read_header(); });
  }

  std::deque<loop> loops_;  // ends last: accepted sockets belong to them
  std::size_t next_ = 0;
  asio::io_context front_{1};
  asio::signal_set signals_;
  asio::steady_timer retry_;
  tcp::acceptor acceptor_;
};

}  // namespace

int main(int argc, char** argv) {
  bench::server_options options;
  if (const auto code = bench::read_options(argc, argv, options)) {
    return *code;
  }
  try {
    server echo(options);
    bench::announce(options, echo.port());
    echo.run();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return 1;
  }
}
