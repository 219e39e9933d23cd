// SPDX-License-Identifier: MIT
// In place of uring_*.cpp where liburing was not found.
#include <system_error>

#include "uring_backend.hpp"

namespace ringpool::tools {

std::vector<std::unique_ptr<server_loop>> make_uring_loops(const uring_parts&, unsigned) {
  throw std::system_error(std::make_error_code(std::errc::not_supported),
                          "this build has no io_uring: liburing was not found when it was made");
}

}  // namespace ringpool::tools
