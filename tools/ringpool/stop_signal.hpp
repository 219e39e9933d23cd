// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

namespace ringpool::tools {

/// Set by the first SIGINT or SIGTERM after watch_stop_signals(); a second one ends the process at
/// once.
const std::atomic<bool>& stop_requested() noexcept;
void watch_stop_signals() noexcept;

}  // namespace ringpool::tools
