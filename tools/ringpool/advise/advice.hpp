// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "../report.hpp"
#include "forecast.hpp"
#include "replay.hpp"

namespace ringpool::tools {

/// A set of classes, what is expected of it, and what a real pool then did.
struct judged_set {
  set_forecast expected;
  std::optional<replay_result> replayed;
};

/// All that `ringpool advise` has to say.
struct advice {
  std::string source{};
  std::vector<std::string> remarks{};      ///< of whoever read the traffic
  std::vector<std::string> assumptions{};  ///< what the traffic did not say
  demand wanted{};
  class_options classes{};
  capacity_options capacities{};
  judged_set today{};
  judged_set advised{};
  std::string replay_note{};  ///< what the replay was of
};

[[nodiscard]] std::string advice_text(const advice& given, const palette& colours);
[[nodiscard]] nlohmann::json advice_json(const advice& given);
/// A configuration for `ringpool serve --config`, in TOML, with comments that say why.
[[nodiscard]] std::string advice_toml(const advice& given);

/// 12.3 %; 0.0012 %; 0.
[[nodiscard]] std::string format_share(double share);

}  // namespace ringpool::tools
