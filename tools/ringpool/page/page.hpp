// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace ringpool::tools {

/// The live page, whole: what `GET /` answers.
[[nodiscard]] std::string_view page_html() noexcept;

}  // namespace ringpool::tools
