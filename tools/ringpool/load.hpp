// SPDX-License-Identifier: MIT
#pragma once

#include "load_options.hpp"

namespace ringpool::tools {

inline constexpr int exit_faults = 1;       ///< something was lost or corrupted
inline constexpr int exit_arguments = 2;    ///< an argument was wrong
inline constexpr int exit_unreachable = 3;  ///< no connection
inline constexpr int exit_interrupted = 130;

/// `ringpool load`: connects, runs one phase, prints the report on standard output; the exit code.
/// Messages about wrong arguments and missing servers go to standard error.
int run_load(const load_options& options);

}  // namespace ringpool::tools
