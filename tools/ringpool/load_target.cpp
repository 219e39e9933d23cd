// SPDX-License-Identifier: MIT
#include "load_target.hpp"

#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>

#include <netdb.h>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

[[noreturn]] void reject_target(std::string_view text, std::string_view why) {
  throw std::invalid_argument(
      fmt::format("'{}' is no address to connect to: {}; accepted: ADDR:PORT, e.g. 127.0.0.1:9000 "
                  "or [::1]:9000",
                  text, why));
}

}  // namespace

load_target resolve_target(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    reject_target(text, "the port is missing");
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number == 0) {
    reject_target(text, fmt::format("port '{}' is not a number from 1 to 65535", port));
  }
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) {
    reject_target(text, "the address is missing");
  }

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failure =
      ::getaddrinfo(std::string(host).c_str(), std::string(port).c_str(), &hints, &list);
  if (failure != 0) {
    reject_target(text, ::gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  load_target target;
  std::memcpy(&target.address, list->ai_addr, list->ai_addrlen);
  target.length = list->ai_addrlen;
  target.text = text;
  return target;
}

}  // namespace ringpool::tools
