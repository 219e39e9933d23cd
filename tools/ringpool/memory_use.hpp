// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

struct memory_use {
  std::uint64_t resident_bytes = 0;
  std::uint64_t private_dirty_bytes = 0;
};

/// From /proc/self/smaps_rollup, which counts pages; /proc/self/statm lags behind by some dozens of
/// pages a processor on newer kernels. Zeros where it cannot be read.
[[nodiscard]] memory_use memory_use_of_this_process();

}  // namespace ringpool::tools
