// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace ringpool::tools {

/// What became of `serve --record`.
struct recording_stats {
  std::uint64_t one_in = 0;   ///< 0: nothing is recorded
  std::uint64_t samples = 0;  ///< written
  std::uint64_t dropped = 0;  ///< there was no room for them
  std::uint64_t bytes = 0;    ///< of the file
  std::string stopped;        ///< why it ended before the server did; empty: it did not
};

}  // namespace ringpool::tools
