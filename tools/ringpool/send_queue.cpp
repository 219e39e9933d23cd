// SPDX-License-Identifier: MIT
#include "send_queue.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ringpool::tools {
namespace {

constexpr std::size_t frames_per_call = 64;

}  // namespace

send_result flush(send_queue& queue, int fd) noexcept {
  std::size_t total = 0;
  while (!queue.empty()) {
    std::array<::iovec, 2 * frames_per_call> parts;
    const auto next = queue.gather(parts);
    ::msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = next.part_count;
    const ::ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) {
        continue;
      }
      const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
      return {full ? send_status::blocked : send_status::failed, total};
    }
    const auto sent_bytes = static_cast<std::size_t>(sent);
    total += sent_bytes;
    queue.drop_sent(sent_bytes);
    if (sent_bytes < next.bytes) {
      return {send_status::blocked, total};  // the kernel will say when there is room again
    }
  }
  return {send_status::drained, total};
}

}  // namespace ringpool::tools
