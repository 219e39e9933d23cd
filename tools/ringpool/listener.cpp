// SPDX-License-Identifier: MIT
#include "listener.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

namespace ringpool::tools {
namespace {

struct socket_address {
  ::sockaddr_storage storage{};
  ::socklen_t length = 0;

  [[nodiscard]] ::sockaddr* get() noexcept { return reinterpret_cast<::sockaddr*>(&storage); }
};

template <class Address>
socket_address wrap(const Address& address) noexcept {
  socket_address result;
  std::memcpy(&result.storage, &address, sizeof address);
  result.length = sizeof address;
  return result;
}

/// Length 0 when the address is not numeric.
socket_address to_socket_address(const endpoint& where) noexcept {
  ::sockaddr_in v4{};
  if (::inet_pton(AF_INET, where.address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(where.port);
    return wrap(v4);
  }
  ::sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, where.address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(where.port);
    return wrap(v6);
  }
  return {};
}

std::uint16_t port_of(const socket_address& address) noexcept {
  if (address.storage.ss_family == AF_INET6) {
    ::sockaddr_in6 v6{};
    std::memcpy(&v6, &address.storage, sizeof v6);
    return ntohs(v6.sin6_port);
  }
  ::sockaddr_in v4{};
  std::memcpy(&v4, &address.storage, sizeof v4);
  return ntohs(v4.sin_port);
}

[[noreturn]] void fail(const endpoint& where) {
  throw std::system_error(errno, std::generic_category(), "cannot listen on " + where.to_string());
}

descriptor open_spare() noexcept { return descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

bool endpoint::parse(std::string_view text, endpoint& out) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return false;
  }
  std::string_view address = text.substr(0, colon);
  const bool bracketed = address.size() > 2 && address.front() == '[' && address.back() == ']';
  if (bracketed) {
    address = address.substr(1, address.size() - 2);
  } else if (address.find(':') != std::string_view::npos) {
    return false;
  }
  const char* const end = text.data() + text.size();
  endpoint result{std::string(address), 0};
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, result.port);
  if (error != std::errc() || stop != end || to_socket_address(result).length == 0) {
    return false;
  }
  out = std::move(result);
  return true;
}

std::string endpoint::to_string() const {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

listener::listener(const endpoint& where) : spare_(open_spare()), bound_(where) {
  socket_address address = to_socket_address(where);
  socket_.reset(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_ || !spare_) {
    fail(where);
  }
  const int on = 1;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Linux hands this on to what is accepted.
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::bind(socket_.get(), address.get(), address.length) != 0 ||
      ::listen(socket_.get(), backlog) != 0 ||
      ::getsockname(socket_.get(), address.get(), &address.length) != 0) {
    fail(where);
  }
  bound_.port = port_of(address);
}

accept_result listener::accept() noexcept {
  for (;;) {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      return {accept_status::accepted, fd};
    }
    switch (errno) {
      case EAGAIN: return {accept_status::none, -1};
      case EMFILE:
      case ENFILE: return turn_away();
      case EINTR:
      case ECONNABORTED: continue;
      default: return {accept_status::stuck, -1};
    }
  }
}

accept_result listener::turn_away() noexcept {
  spare_.reset();
  const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  const int error = errno;
  if (fd >= 0) {
    ::close(fd);
  }
  spare_ = open_spare();
  if (fd >= 0) {
    return {accept_status::turned_away, -1};
  }
  return {error == EAGAIN ? accept_status::none : accept_status::stuck, -1};
}

void listener::close() noexcept { socket_.reset(); }

void listener::shut() const noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace ringpool::tools
