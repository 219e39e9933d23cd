// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ringpool::tools {

/// A configuration that comes with the command: share/ringpool/presets/NAME.toml.
struct preset {
  std::string_view name;
  std::string_view text;
};

[[nodiscard]] std::span<const preset> presets() noexcept;
/// nullptr: there is none.
[[nodiscard]] const preset* find_preset(std::string_view name) noexcept;
/// "gaming", "iot" and so on, for messages.
[[nodiscard]] std::string preset_names();

}  // namespace ringpool::tools
