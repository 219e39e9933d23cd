// SPDX-License-Identifier: MIT
#include "page.hpp"

namespace ringpool::tools {

std::string_view page_html() noexcept {
  // A raw string: what scripts/embed_page.py makes of index.html, page.css and page.js at build.
  return
#include "page_html.inc"
      ;
}

}  // namespace ringpool::tools
