// SPDX-License-Identifier: MIT
#pragma once

//   defaults <-- preset <-- file <-- command line        (what stands further right wins)

#include <string>
#include <vector>

#include "serve_options.hpp"

namespace ringpool::tools {

/// What `serve` was asked for, or why that cannot be.
struct configuration {
  serve_options options;
  std::vector<std::string> faults;  ///< a line each; empty: the options are good
};

/// `asked`: what the command line alone says. `arguments`: the command line, "serve" and what
/// follows, so that it can be laid over what the files say; read again at each call.
[[nodiscard]] configuration configure(const serve_options& asked,
                                      const std::vector<std::string>& arguments);

/// What of it this machine cannot do now: buffers made resident at the start that its memory does
/// not hold, for which the kernel would kill the process; empty: nothing.
[[nodiscard]] std::string find_memory_fault(const serve_options& options);

/// --print-preset and --check-config: prints, and returns the exit code.
[[nodiscard]] bool only_prints(const serve_options& asked) noexcept;
[[nodiscard]] int print_configuration(const serve_options& asked,
                                      const std::vector<std::string>& arguments);

/// What of `wanted` a server that runs with `running` can take up.
struct reload_plan {
  serve_options options;             ///< to go on with
  std::vector<std::string> changed;  ///< "server.idle_timeout_ms 300000 -> 5000"
  std::vector<std::string> kept;     ///< likewise, of what takes a restart
  std::string fault;                 ///< the two together contradict; empty: they do not
};
[[nodiscard]] reload_plan plan_reload(const serve_options& running, const serve_options& wanted);

/// "; " between them.
[[nodiscard]] std::string join(const std::vector<std::string>& lines);

}  // namespace ringpool::tools
