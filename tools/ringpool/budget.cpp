// SPDX-License-Identifier: MIT
#include "budget.hpp"

#include <algorithm>

namespace ringpool::tools {

void holder_list::add(std::uint64_t bytes, int fd) noexcept {
  if (bytes == 0 || (count_ == most && holders_.back().bytes >= bytes)) {
    return;
  }
  count_ = std::min(count_ + 1, most);
  std::size_t at = count_ - 1;
  for (; at != 0 && holders_[at - 1].bytes < bytes; --at) {
    holders_[at] = holders_[at - 1];
  }
  holders_[at] = {.bytes = bytes, .peer = {}};
  ::socklen_t length = sizeof(::sockaddr_storage);
  if (fd >= 0 &&
      ::getpeername(fd, reinterpret_cast<::sockaddr*>(&holders_[at].peer), &length) != 0) {
    holders_[at].peer = {};
  }
}

}  // namespace ringpool::tools
