// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "plan.hpp"

namespace bench {

struct parsed {
  plan what;
  std::optional<int> exit_code;  ///< nothing to run: help was shown, or the words were wrong
  bool list = false;
};
[[nodiscard]] parsed parse(int argc, char** argv);

}  // namespace bench
