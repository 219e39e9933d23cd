// SPDX-License-Identifier: MIT
#include "stats_client.hpp"

#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "http_library.hpp"
#include "load_target.hpp"

namespace ringpool::tools {
namespace {

constexpr std::chrono::seconds connect_limit{2};
constexpr std::chrono::seconds read_limit{2};
constexpr std::chrono::seconds whole_limit{4};
constexpr std::size_t longest_answer_bytes = std::size_t{4} << 20U;

// "[::1]:9100" to "::1" and 9100; resolve_target() has seen that it is of that form.
std::pair<std::string, int> host_and_port(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  return {std::string(host), std::stoi(std::string(address.substr(colon + 1)))};
}

std::string why(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection: return "nothing listens there, or nothing answers";
    case httplib::Error::ConnectionTimeout: return "nothing answers there";
    case httplib::Error::Canceled: return "its answer is too long or too slow";
    case httplib::Error::Read:
    case httplib::Error::Write:
      return "no HTTP answer came; the address of serve --metrics is wanted, not that of --listen";
    default: return httplib::to_string(error);
  }
}

}  // namespace

struct stats_client::parts {
  explicit parts(const std::pair<std::string, int>& where) : http(where.first, where.second) {
    http.set_connection_timeout(connect_limit);
    http.set_read_timeout(read_limit);
    http.set_write_timeout(read_limit);
    http.set_keep_alive(true);
  }

  httplib::Client http;
};

stats_client::stats_client(std::string address) : address_(std::move(address)) {
  static_cast<void>(resolve_target(address_));
  parts_ = std::make_unique<parts>(host_and_port(address_));
}

stats_client::~stats_client() = default;

std::string stats_client::fetch() {
  const auto end = std::chrono::steady_clock::now() + whole_limit;
  std::string body;
  const httplib::Result answer =
      parts_->http.Get("/stats.json", [&](const char* data, std::size_t size) {
        body.append(data, size);
        return body.size() <= longest_answer_bytes && std::chrono::steady_clock::now() < end;
      });
  if (!answer) {
    throw stats_error(fmt::format("no statistics from {}: {}", address_, why(answer.error())));
  }
  if (answer->status != 200) {
    throw stats_error(
        fmt::format("no statistics from {}: HTTP {} for /stats.json; is it ringpool's?", address_,
                    answer->status));
  }
  return body;
}

}  // namespace ringpool::tools
