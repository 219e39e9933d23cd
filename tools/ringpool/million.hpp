// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "progress.hpp"

namespace CLI {
class App;
}

namespace ringpool::tools {

inline constexpr int exit_skipped = 77;  ///< the machine has not the memory for it

struct million_options {
  std::uint32_t connections = 1'000'000;
  std::uint32_t active = 1000;
  std::uint32_t rounds = 10;
  std::uint32_t loops = 1;
  std::uint32_t burst = 100'000;
  double rate = 20'000.0;  ///< frames a second, of all that are active
  double seconds = 1.5;    ///< of a round
  std::string idle_mode = "receive";
  std::string json_file;
  bool try_anyway = false;
  progress_mode progress = progress_mode::automatic;
};

void add_million_command(CLI::App& app, million_options& options);

/// `ringpool million`: a server with very many connections beside one with few, and the report.
/// Returns 0 when all is well, 1 for faults or a target that was missed, 3 when it cannot be done,
/// 77 when the machine has too little memory, 130 when it was interrupted.
int run_million(const million_options& options);

}  // namespace ringpool::tools
