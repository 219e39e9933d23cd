// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace ringpool::tools {

/// The live page: one HTML document that asks the server it came from for stats.json each second.
[[nodiscard]] std::string_view page_html() noexcept;

}  // namespace ringpool::tools
