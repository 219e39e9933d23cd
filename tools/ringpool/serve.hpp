// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "frame_server.hpp"
#include "serve_options.hpp"

namespace CLI {
class App;
}

namespace ringpool::tools {

struct verdict;

/// What a server tells of itself apart from its counts.
struct told_besides {
  const verdict* status = nullptr;               ///< what is wrong with it; nullptr: unknown
  const std::vector<census>* holders = nullptr;  ///< nullptr, or empty: not known
};

/// Adds `serve` and its options; they are written to `options` when the command line is parsed.
void add_serve_command(CLI::App& app, serve_options& options);

/// Lays what a command line says over `options`: "serve" and what follows, which was parsed before.
void apply_arguments(const std::vector<std::string>& arguments, serve_options& options);

/// Serves until SIGINT or SIGTERM, then drains; a second signal ends it at once. SIGUSR1 writes the
/// statistics file. With a configuration file, SIGHUP reads it again. `asked`: what the command
/// line says; `arguments`: that command line, from "serve" on. Returns 0 after a shutdown, 1 when
/// it cannot serve, 2 for bad options.
[[nodiscard]] int run_serve(const serve_options& asked, const std::vector<std::string>& arguments);

/// The statistics file: one JSON object.
[[nodiscard]] std::string to_json(const server_stats& stats, const told_besides& besides = {});

}  // namespace ringpool::tools
