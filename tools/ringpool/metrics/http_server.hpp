// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "answers.hpp"
#include "listener.hpp"

namespace ringpool::tools {

/// A few threads that answer one small HTTP request a connection. Scrapers that are slow, many or
/// hostile hold up each other, never the server: its loops share nothing with these threads but
/// counts, and go first where processors are short (nice 10).
///
/// Invariant: connections = threads at most; those that wait are in the kernel, `backlog` at most.
/// Progress: a connection ends after request_time + answer_time, and after crowded_time for one
/// that
///   is waited for while others wait for a thread; the destructor waits for less than a second.
/// Thread-safety: construction and destruction on one thread; `answers` is called on its own.
/// Cost: `thread_count` threads that sleep; max_request_bytes and an answer for each.
class http_server {
 public:
  static constexpr unsigned thread_count = 4;
  static constexpr int backlog = 16;
  static constexpr std::size_t max_request_bytes = 8192;  ///< all of it, head and body
  static constexpr std::chrono::milliseconds request_time{2000};
  static constexpr std::chrono::milliseconds answer_time{5000};
  static constexpr std::chrono::milliseconds crowded_time{200};  ///< while others wait

  /// Throws std::system_error when it cannot listen.
  http_server(const endpoint& where, sources from);
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Where it listens, ADDR:PORT.
  [[nodiscard]] std::string address() const;

 private:
  void stop() noexcept;

  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace ringpool::tools
