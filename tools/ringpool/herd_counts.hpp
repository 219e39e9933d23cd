// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

/// What happened to the frames of a lap; faults are lost + corrupted.
struct herd_counts {
  std::uint64_t exchanged = 0;  ///< came back intact
  std::uint64_t lost = 0;       ///< no answer, or part of one
  std::uint64_t corrupted = 0;  ///< another answer than the frame that was sent
  double seconds = 0.0;
  [[nodiscard]] std::uint64_t faults() const noexcept { return lost + corrupted; }
};

}  // namespace ringpool::tools
