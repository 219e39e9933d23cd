// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <sys/socket.h>

namespace ringpool::tools {

struct load_target {
  sockaddr_storage address{};
  socklen_t length = 0;
  std::string text;  ///< ADDR:PORT as it was given
};

/// "127.0.0.1:9000", "[::1]:9000" or "localhost:9000".
/// Throws std::invalid_argument with a message that says what was given and what is accepted.
load_target resolve_target(std::string_view text);

}  // namespace ringpool::tools
