// SPDX-License-Identifier: MIT
#include "http_server.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "descriptor.hpp"
#include "http_library.hpp"

namespace ringpool::tools {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int nice_level = 10;
constexpr milliseconds look_again{100};  // whether it is to stop

/// What the workers know of each other.
struct shared_state {
  int source = -1;  // the listener
  std::atomic<bool> stopping{false};
  std::atomic<unsigned> free_workers{0};

  // relaxed, both: a flag and a hint alone
  [[nodiscard]] bool is_stopping() const noexcept {
    return stopping.load(std::memory_order_relaxed);
  }
  /// True when there are connections that no worker is free for.
  [[nodiscard]] bool others_wait() const noexcept {
    ::pollfd one{source, POLLIN, 0};
    return free_workers.load(std::memory_order_relaxed) == 0 && ::poll(&one, 1, 0) > 0;
  }
};

/// A connection, read up to max_request_bytes and within times that are for the whole of it: who
/// sends or reads a byte a second is cut off as well.
class bounded_stream final : public httplib::Stream {
 public:
  bounded_stream(int fd, const shared_state& shared) noexcept
      : fd_(fd), shared_(shared), begin_(clock::now()) {}

  [[nodiscard]] bool is_readable() const override {
    return next_ < filled_ || (filled_ < input_.size() && wait_for(POLLIN, request_end()));
  }
  [[nodiscard]] bool is_writable() const override { return wait_for(POLLOUT, answer_end()); }

  ssize_t read(char* out, std::size_t size) override {
    if (next_ == filled_ && !fill()) {
      return -1;
    }
    const std::size_t count = std::min(size, filled_ - next_);
    std::memcpy(out, input_.data() + next_, count);
    next_ += count;
    return static_cast<ssize_t>(count);
  }

  ssize_t write(const char* data, std::size_t size) override {
    for (;;) {
      const ssize_t sent = ::send(fd_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0 || (errno != EAGAIN && errno != EINTR)) {
        return sent;
      }
      if (!wait_for(POLLOUT, answer_end())) {
        return -1;
      }
    }
  }

  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  [[nodiscard]] socket_t socket() const override { return fd_; }

  /// Lets the peer read its answer before the socket goes: what it sent and nobody read would reset
  /// the connection.
  void finish() noexcept {
    ::shutdown(fd_, SHUT_WR);
    const auto end = std::min(answer_end(), clock::now() + http_server::request_time);
    std::array<char, 4096> dropped;
    for (std::size_t left = 16; left != 0 && wait_for(POLLIN, end); --left) {
      if (::recv(fd_, dropped.data(), dropped.size(), MSG_DONTWAIT) <= 0) {
        return;
      }
    }
  }

 private:
  [[nodiscard]] clock::time_point request_end() const noexcept {
    return begin_ + http_server::request_time;
  }
  [[nodiscard]] clock::time_point answer_end() const noexcept {
    return request_end() + http_server::answer_time;
  }

  [[nodiscard]] bool wait_for(short event, clock::time_point end) const noexcept {
    ::pollfd one{fd_, event, 0};
    while (!shared_.is_stopping()) {
      const auto now = clock::now();
      const auto left = std::chrono::ceil<milliseconds>(end - now);
      if (left.count() <= 0 ||
          (now - begin_ >= http_server::crowded_time && shared_.others_wait())) {
        return false;
      }
      if (::poll(&one, 1, static_cast<int>(std::min(left, look_again).count())) > 0) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] bool fill() noexcept {
    while (filled_ < input_.size() && wait_for(POLLIN, request_end())) {
      const ssize_t got =
          ::recv(fd_, input_.data() + filled_, input_.size() - filled_, MSG_DONTWAIT);
      if (got > 0) {
        filled_ += static_cast<std::size_t>(got);
        return true;
      }
      if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        return false;
      }
    }
    return false;
  }

  int fd_;
  const shared_state& shared_;
  clock::time_point begin_;
  std::array<char, http_server::max_request_bytes> input_;
  std::size_t filled_ = 0;
  std::size_t next_ = 0;
};

/// The library's parser of requests and writer of answers, on our own sockets and threads: its
/// acceptor queues connections without limit, and its streams have a time for each read alone.
class request_handler final : public httplib::Server {
 public:
  explicit request_handler(answers& source) {
    set_default_headers({{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
    set_payload_max_length(http_server::max_request_bytes);
    set_pre_routing_handler([&source](const httplib::Request& request, httplib::Response& reply) {
      const http_answer told =
          source.answer(request.method, request.path, request.get_header_value("Accept"));
      reply.status = told.status;
      if (told.status == 405) {
        reply.set_header("Allow", "GET, HEAD");
      }
      reply.set_content(told.body, told.type);
      return HandlerResponse::Handled;
    });
  }

  void serve(bounded_stream& peer) {
    bool closed = false;
    // Ranges would make one small request an answer many times as large.
    process_request(peer, true, closed, [](httplib::Request& request) { request.ranges.clear(); });
    peer.finish();
  }
};

}  // namespace

struct http_server::parts {
  parts(const endpoint& where, sources from) : source(where), told(std::move(from)), handler(told) {
    if (::listen(source.fd(), backlog) != 0) {  // shorter than that of the server itself
      throw std::system_error(errno, std::generic_category(),
                              "cannot listen on " + where.to_string());
    }
    shared.source = source.fd();
  }

  void work() noexcept {
    ::setpriority(PRIO_PROCESS, static_cast<::id_t>(::gettid()), nice_level);
    shared.free_workers.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint, here and below
    while (!shared.is_stopping()) {
      ::pollfd one{source.fd(), POLLIN, 0};
      if (::poll(&one, 1, -1) > 0) {
        serve_next();
      }
    }
  }

  void serve_next() noexcept {
    const descriptor peer(next_peer());
    if (peer) {
      shared.free_workers.fetch_sub(1, std::memory_order_relaxed);
      try {
        bounded_stream stream(peer.get(), shared);
        handler.serve(stream);
      } catch (const std::exception&) {  // no memory: this one gets no answer
      }
      shared.free_workers.fetch_add(1, std::memory_order_relaxed);
    }
  }

  /// -1: none.
  [[nodiscard]] int next_peer() noexcept {
    accept_result taken{};
    {
      const std::lock_guard lock(accept_mutex);
      taken = source.accept();
    }
    if (taken.status == accept_status::stuck) {
      std::this_thread::sleep_for(look_again);  // no descriptor is left, or it is to stop
    }
    return taken.status == accept_status::accepted ? taken.fd : -1;
  }

  listener source;
  answers told;
  request_handler handler;
  std::mutex accept_mutex;
  shared_state shared;
  std::vector<std::thread> threads;
};

http_server::http_server(const endpoint& where, sources from)
    : parts_(std::make_unique<parts>(where, std::move(from))) {
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the threads that were there
  try {
    for (unsigned i = 0; i < thread_count; ++i) {
      parts_->threads.emplace_back([this] { parts_->work(); });
    }
  } catch (const std::system_error& error) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    stop();
    throw std::system_error(error.code(), "cannot start a thread for --metrics");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

http_server::~http_server() { stop(); }

void http_server::stop() noexcept {
  parts_->shared.stopping.store(true, std::memory_order_relaxed);  // relaxed: a flag alone
  parts_->source.shut();
  for (std::thread& one : parts_->threads) {
    one.join();
  }
  parts_->threads.clear();
}

std::string http_server::address() const { return parts_->source.bound().to_string(); }

}  // namespace ringpool::tools
