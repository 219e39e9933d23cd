// SPDX-License-Identifier: MIT
// In place of uring_*.cpp where liburing was not found.
#include <system_error>

#include "herd.hpp"
#include "load_socket.hpp"

#include "uring_backend.hpp"

namespace ringpool::tools {

std::vector<std::unique_ptr<server_loop>> make_uring_loops(const uring_parts&, unsigned) {
  throw std::system_error(std::make_error_code(std::errc::not_supported),
                          "this build has no io_uring: liburing was not found when it was made");
}

struct herd::parts {};
herd::herd(const herd_options&) {
  throw load_error("this build has no io_uring: liburing was not found when it was made");
}
herd::~herd() = default;
herd_counts herd::connect(const std::atomic<bool>&, const herd_observer&) { return {}; }
herd_counts herd::lap(const std::atomic<bool>&, const herd_observer&) { return {}; }
herd_counts herd::burst(std::uint32_t, const std::atomic<bool>&, const std::function<void()>&) {
  return {};
}
std::uint64_t herd::connected() const noexcept { return 0; }
std::uint32_t herd::source_addresses() const noexcept { return 0; }

}  // namespace ringpool::tools
