// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "readers.hpp"

namespace ringpool::tools {

/// What read_live() makes of a server's statistics, JSON as /stats.json has it. Throws read_error.
[[nodiscard]] traffic traffic_of_statistics(const std::string& address, std::string_view text);

}  // namespace ringpool::tools
