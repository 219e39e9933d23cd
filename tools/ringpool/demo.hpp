// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "progress.hpp"

namespace CLI {
class App;
}

namespace ringpool::tools {

struct demo_options {
  std::uint32_t connections = 2000;
  std::uint32_t rounds = 4;       ///< closed loop, with each server
  std::uint32_t open_rounds = 3;  ///< open loop, with each server
  double round_seconds = 2.5;
  double open_round_seconds = 1.5;
  double rate = 0.0;  ///< of the open loop; 0: a quarter of what the closed loop reached
  std::string json_file;
  progress_mode progress = progress_mode::automatic;
};

void add_demo_command(CLI::App& app, demo_options& options);

/// `ringpool demo`: two servers as child processes, one on the pool and one on malloc, driven by
/// turns with the same load; prints the report on standard output. The exit code: 0 every frame
/// came back intact and the pool held nothing while idle; otherwise as run_load.
int run_demo(const demo_options& options);

}  // namespace ringpool::tools
