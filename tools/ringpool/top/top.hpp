// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace ringpool::tools {

struct top_options {
  std::string address;      ///< ADDR:PORT of `serve --metrics`
  double interval_s = 1.0;  ///< between two looks
  bool once = false;        ///< one picture, of two looks
  bool plain = false;       ///< pictures below each other, without escape sequences
};

/// Adds `top` and its options; they are written to `options` when the command line is parsed.
void add_top_command(CLI::App& app, top_options& options);

/// Shows a server until it is told to stop. Returns 0 then, 2 for a wrong address, 3 when the
/// server does not answer at the first look, or with --once at the second.
[[nodiscard]] int run_top(const top_options& options);

}  // namespace ringpool::tools
