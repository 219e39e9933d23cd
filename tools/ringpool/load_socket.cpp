// SPDX-License-Identifier: MIT
#include "load_socket.hpp"

#include <cerrno>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

constexpr std::uint64_t usual_descriptors = 64;  // standard streams, epoll, files, libraries

template <class Value>
void set_option(int fd, int level, int name, const Value& value) noexcept {
  // Each option set here only tunes; a socket without it still works.
  static_cast<void>(::setsockopt(fd, level, name, &value, sizeof value));
}

}  // namespace

started_connection start_connect(const load_target& target) noexcept {
  descriptor fd(::socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    return {descriptor{}, errno};
  }
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  // Closed by a reset, a connection leaves no TIME_WAIT entry: runs one after the other with
  // thousands of connections each would use up the local ports. Nothing is lost by it, since a load
  // closes after its drain.
  set_option(fd.get(), SOL_SOCKET, SO_LINGER, ::linger{.l_onoff = 1, .l_linger = 0});
  const auto* const address = reinterpret_cast<const sockaddr*>(&target.address);
  if (::connect(fd.get(), address, target.length) != 0 && errno != EINPROGRESS) {
    return {descriptor{}, errno};
  }
  return {std::move(fd), 0};
}

int finished_connect_error(int fd) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void reserve_descriptors(std::uint64_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return;
  }
  const std::uint64_t needed = count + usual_descriptors;
  if (limit.rlim_cur >= needed) {
    return;
  }
  if (limit.rlim_max < needed) {
    throw load_error(
        fmt::format("{} connections need {} file descriptors, and the limit is {}; "
                    "ask for fewer, or raise the limit (ulimit -Hn)",
                    count, needed, limit.rlim_max));
  }
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    throw load_error(
        fmt::format("cannot raise the limit of file descriptors to {}", limit.rlim_max));
  }
}

std::uint64_t descriptors_available(std::uint64_t spare) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return 0;
  }
  const std::uint64_t reserved = spare + usual_descriptors;
  return limit.rlim_max > reserved ? limit.rlim_max - reserved : 0;
}

}  // namespace ringpool::tools
