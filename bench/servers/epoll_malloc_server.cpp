// SPDX-License-Identifier: MIT
// The frame echo server on plain epoll, level-triggered, and malloc. Each loop is a thread with a
// listening socket of its own (SO_REUSEPORT); see malloc_connection.hpp for what it does with
// bytes.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <exception>
#include <iostream>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "malloc_connection.hpp"

namespace {

using bench::malloc_connection;
using bench::outcome;
using ringpool::tools::descriptor;

constexpr std::size_t events_per_wait = 256;

int checked(int result, const char* what) {
  return result >= 0 ? result : throw std::system_error(errno, std::generic_category(), what);
}

descriptor listen_on(const bench::server_options& options, std::uint16_t port) {
  descriptor socket(
      checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  for (const int option : {SO_REUSEADDR, SO_REUSEPORT}) {
    checked(::setsockopt(socket.get(), SOL_SOCKET, option, &on, sizeof on), "setsockopt");
  }
  ::sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  ::inet_pton(AF_INET, options.address.c_str(), &where.sin_addr);
  checked(::bind(socket.get(), reinterpret_cast<::sockaddr*>(&where), sizeof where), "cannot bind");
  checked(::listen(socket.get(), SOMAXCONN), "cannot listen");
  return socket;
}

class loop {
 public:
  loop(descriptor listener, int stop_fd)
      : listener_(std::move(listener)), epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")) {
    watch(EPOLL_CTL_ADD, listener_.get(), EPOLLIN, &listener_);
    watch(EPOLL_CTL_ADD, stop_fd, EPOLLIN, nullptr);
  }

  /// Until the stop descriptor is readable, which it then stays.
  void run() {
    std::array<::epoll_event, events_per_wait> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_wait, -1);
      for (int i = 0; i < count; ++i) {
        void* const who = events[static_cast<std::size_t>(i)].data.ptr;
        if (who == nullptr) {
          return;
        }
        if (who == &listener_) {
          accept();
        } else {
          go_on(*static_cast<malloc_connection*>(who));
        }
      }
    }
  }

  [[nodiscard]] std::uint16_t port() const {
    ::sockaddr_in bound{};
    ::socklen_t length = sizeof bound;
    checked(::getsockname(listener_.get(), reinterpret_cast<::sockaddr*>(&bound), &length), "port");
    return ntohs(bound.sin_port);
  }

 private:
  void watch(int operation, int fd, std::uint32_t events, void* who) {
    ::epoll_event interest{};
    interest.events = events;
    interest.data.ptr = who;
    checked(::epoll_ctl(epoll_.get(), operation, fd, &interest), "epoll_ctl");
  }

  void accept() {
    descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE) {  // until a connection ends
        accepting_ = false;
        watch(EPOLL_CTL_MOD, listener_.get(), 0, &listener_);
      }
      return;
    }
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int fd = socket.get();
    malloc_connection& peer = connections_.try_emplace(fd, std::move(socket)).first->second;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, &peer);
  }

  void go_on(malloc_connection& peer) {
    const outcome next = peer.go_on();
    if (next == outcome::close) {
      connections_.erase(peer.fd());
      if (!accepting_) {
        accepting_ = true;
        watch(EPOLL_CTL_MOD, listener_.get(), EPOLLIN, &listener_);
      }
    } else if (next != peer.waits_for) {
      peer.waits_for = next;
      watch(EPOLL_CTL_MOD, peer.fd(), next == outcome::read ? EPOLLIN : EPOLLOUT, &peer);
    }
  }

  descriptor listener_;
  descriptor epoll_;
  std::unordered_map<int, malloc_connection> connections_;
  bool accepting_ = true;
};

/// Makes every loop return, so that its thread can be joined.
struct stop_at_end {
  int fd;
  ~stop_at_end() { ::eventfd_write(fd, 1); }
};

void serve(const bench::server_options& options) {
  ::sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // in all threads
  const descriptor stop(checked(::eventfd(0, EFD_CLOEXEC), "eventfd"));
  std::deque<loop> loops;
  std::uint16_t port = options.port;
  for (unsigned left = options.loops; left != 0; --left) {
    port = loops.emplace_back(listen_on(options, port), stop.get()).port();
  }
  std::vector<std::jthread> threads;
  const stop_at_end ends{stop.get()};
  for (loop& one : loops) {
    threads.emplace_back([&one] { one.run(); });
  }
  bench::announce(options, port);
  int number = 0;
  ::sigwait(&signals, &number);
}

}  // namespace

int main(int argc, char** argv) {
  bench::server_options options;
  if (const auto code = bench::read_options(argc, argv, options)) {
    return *code;
  }
  try {
    serve(options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return 1;
  }
}
