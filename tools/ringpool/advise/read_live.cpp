// SPDX-License-Identifier: MIT
#include "readers.hpp"

namespace ringpool::tools {

traffic read_live(const std::string& address) {
  throw read_error(address + ": not a server's address");
}

}  // namespace ringpool::tools
