// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Where figures come from: (name, value) of processor, kernel, governor, compiler, time.
using machine = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] machine this_machine();

}  // namespace bench
