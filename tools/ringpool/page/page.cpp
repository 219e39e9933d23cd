// SPDX-License-Identifier: MIT
#include "page.hpp"

namespace ringpool::tools {

std::string_view page_html() noexcept { return "<!doctype html><title>ringpool</title>\n"; }

}  // namespace ringpool::tools
