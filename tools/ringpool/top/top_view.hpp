// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report.hpp"
#include "top/live_stats.hpp"

namespace ringpool::tools {

/// What a picture of a server is made of.
struct top_picture {
  std::string address;
  std::optional<live_stats> before;  ///< the answer before, of the same run of the server
  std::optional<live_stats> now;     ///< the last answer
  double seconds = 0.0;              ///< between the two
  std::string clock;                 ///< when the last answer came: "17:41:22"
  std::string trouble;               ///< why there is no answer now; empty: there is one
  std::string notice;                ///< what happened lately
  std::vector<double> frame_rates;   ///< of the last minutes, a second each, the newest last
};

struct top_layout {
  std::size_t width = 80;
  bool blocks = false;  ///< whether the terminal shows U+2581 to U+2588, for the line of rates
};

/// The server's own verdict where it says one, else that of the two answers.
[[nodiscard]] verdict verdict_of(const top_picture& picture);

/// Lines, each ended by a newline, none wider than the layout. What does not fit of the table's
/// columns is left out, the least important first.
[[nodiscard]] std::string render(const top_picture& picture, const top_layout& layout,
                                 const palette& colours);

/// The first columns of a line; escape sequences take none and are kept.
[[nodiscard]] std::string cut_line(std::string_view line, std::size_t width);

}  // namespace ringpool::tools
