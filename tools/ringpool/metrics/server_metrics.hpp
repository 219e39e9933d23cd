// SPDX-License-Identifier: MIT
#pragma once

#include <ringpool/metrics.hpp>
#include <string>

#include "frame_server.hpp"

namespace ringpool::tools {

/// The exposition of a server: its pool, its connections and frames, its process.
[[nodiscard]] std::string metrics_of(const server_stats& stats, metrics_format format);

}  // namespace ringpool::tools
