// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

namespace ringpool::tools {

/// No statistics could be had; the message says why, and names the address.
class stats_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Asks a server's HTTP port for its statistics.
///
/// Progress:      fetch() blocks, for some seconds at most.
/// Thread-safety: none.
class stats_client {
 public:
  /// "127.0.0.1:9100", "[::1]:9100" or "localhost:9100". Throws std::invalid_argument with a
  /// message that says what was given and what is accepted.
  explicit stats_client(std::string address);
  ~stats_client();
  stats_client(const stats_client&) = delete;
  stats_client& operator=(const stats_client&) = delete;

  /// The text of /stats.json. Throws stats_error.
  [[nodiscard]] std::string fetch();
  [[nodiscard]] const std::string& address() const noexcept { return address_; }

 private:
  struct parts;
  std::string address_;
  std::unique_ptr<parts> parts_;
};

}  // namespace ringpool::tools
