// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "forecast.hpp"
#include "progress.hpp"

namespace CLI {
class App;
}

namespace ringpool::tools {

struct advise_options {
  std::string input;  ///< a file, ADDR:PORT of a server, or mix:NAME
  bool packets = false;
  std::uint16_t port = 0;
  std::uint32_t max_frame_bytes = 16384;
  double hold_seconds = 0.0;  ///< 0: as the input says, else the default below
  double rate = 0.0;          ///< allocations a second; 0: not given
  std::string classes = "auto";
  double cover = 1.0;
  double exhaustion = 1e-4;
  double headroom = 1.25;
  std::string today;   ///< SIZE:COUNT[:ELASTIC],...; empty: as below
  std::string config;  ///< a file of `serve --config`; empty too: what `ringpool serve` has
  std::string json_file;
  std::string write_file;
  bool no_replay = false;
  progress_mode progress = progress_mode::automatic;
};

/// Of buffers whose time is unknown, where --hold does not say.
inline constexpr double default_hold_seconds = 0.001;

void add_advise_command(CLI::App& app, advise_options& options);

/// Throws std::invalid_argument, with what was given and what is accepted, for anything but "auto"
/// and 1 to max_class_count.
[[nodiscard]] class_options parse_class_options(const advise_options& options);

/// "64:8192,256:4096:1024": buffer size, capacity, elastic capacity. By rising size. Throws
/// std::invalid_argument likewise.
[[nodiscard]] std::vector<class_setting> parse_class_settings(std::string_view text);

}  // namespace ringpool::tools
