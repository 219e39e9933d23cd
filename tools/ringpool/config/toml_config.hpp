// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "serve_options.hpp"

namespace ringpool::tools {

/// What a text in TOML comes to.
struct toml_config {
  serve_options options;
  /// `file:line:column: key: what is wrong; accepted is ...`, in the order of the text; all of
  /// them, but of a text that is not TOML the first alone. With any of them `options` are of no
  /// use.
  std::vector<std::string> faults;
};

/// Options from `text`, the others as in `base`: a preset that is named replaces them all, unless
/// `base` names one itself. `overlay` then sets what stands above the file, before it is seen
/// whether options contradict each other. `file` is for the messages.
[[nodiscard]] toml_config read_toml(std::string_view text, std::string_view file,
                                    const serve_options& base,
                                    const std::function<void(serve_options&)>& overlay = {});

}  // namespace ringpool::tools
