// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <system_error>

namespace bench {
namespace {

constexpr unsigned most_loops = 256;

}  // namespace

bool parse_address(const std::string& text, std::string& address, std::uint16_t& port) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || !CLI::ValidIPV4(text.substr(0, colon)).empty()) {
    return false;
  }
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
  address = text.substr(0, colon);
  return error == std::errc() && stop == end;
}

void raise_descriptor_limit() noexcept {
  ::rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::optional<int> read_options(int argc, char** argv, server_options& options) {
  CLI::App app{"Echo frames over TCP, until SIGTERM: a reference for `ringpool serve`."};
  std::string listen = "127.0.0.1:9000";
  app.add_option("--listen", listen, "Where to listen, IPv4; port 0: any free one")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
  app.add_option("--loops", options.loops, "Event loops, one thread each")
      ->check(CLI::Range(1U, most_loops))
      ->capture_default_str();
  app.add_option("--port-file", options.port_file, "Write ADDR:PORT here once it is ready")
      ->type_name("FILE");
  try {
    app.parse(argc, argv);
    if (!parse_address(listen, options.address, options.port)) {
      throw CLI::ValidationError("--listen", "'" + listen + "' is not a numeric ADDR:PORT");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  raise_descriptor_limit();
  return std::nullopt;
}

void announce(const server_options& options, std::uint16_t port) {
  const std::string where = options.address + ":" + std::to_string(port);
  std::cout << "listening on " << where << " with " << options.loops << " loops" << std::endl;
  if (options.port_file.empty()) {
    return;
  }
  const std::string temporary = options.port_file + ".tmp";
  std::ofstream file(temporary);
  file << where << '\n';
  file.close();
  if (!file || std::rename(temporary.c_str(), options.port_file.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write " + options.port_file);
  }
}

}  // namespace bench
