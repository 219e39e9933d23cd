// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace ringpool::tools {

/// As CLI::Range of fractions, which takes "nan" for a number of any range.
inline CLI::Validator number_range(double least, double most) {
  return {[least, most](std::string& text) {
            double value = 0;
            const bool is_in =
                CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
            return is_in ? std::string()
                         : fmt::format("Value {} not in range {:g} to {:g}", text, least, most);
          },
          fmt::format("FLOAT in [{:g} - {:g}]", least, most)};
}

}  // namespace ringpool::tools
