// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "descriptor.hpp"

namespace ringpool::tools {

/// A numeric address and a port: "127.0.0.1:9000", "[::1]:0".
struct endpoint {
  std::string address;
  std::uint16_t port = 0;

  /// False when `text` is no such thing.
  [[nodiscard]] static bool parse(std::string_view text, endpoint& out);
  [[nodiscard]] std::string to_string() const;
};

enum class accept_status : std::uint8_t {
  accepted,
  turned_away,  ///< no descriptor was left: accepted and closed at once
  none,         ///< nobody is waiting
  stuck,        ///< somebody is waiting and cannot even be turned away: try again later
};

struct accept_result {
  accept_status status;
  int fd;  ///< of `accepted`; non-blocking, TCP_NODELAY
};

/// A listening socket. Where descriptors run out it closes a spare one, takes the waiting
/// connection with it and closes that, so that the peer learns of it at once and a level-triggered
/// loop does not spin on a backlog it cannot take.
///
/// Invariant: holds the spare descriptor, except after `stuck`.
/// Progress: no call waits.
/// Thread-safety: one thread.
/// Cost: one system call a connection.
class listener {
 public:
  /// Connections that wait in the kernel; it lowers this to net.core.somaxconn.
  static constexpr int backlog = 4096;

  explicit listener(const endpoint& where);  // throws std::system_error

  [[nodiscard]] accept_result accept() noexcept;
  /// Connections that wait in the kernel are reset.
  void close() noexcept;
  /// Likewise, and fd() stays as it is, for those who use it on other threads.
  void shut() const noexcept;

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] const endpoint& bound() const noexcept { return bound_; }

 private:
  [[nodiscard]] accept_result turn_away() noexcept;

  descriptor socket_;
  descriptor spare_;
  endpoint bound_;
};

}  // namespace ringpool::tools
