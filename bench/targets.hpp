// SPDX-License-Identifier: MIT
#pragma once

// What ringpool is to reach.

#include <span>

#include "contender.hpp"

namespace bench {

/// Ours / theirs is to be at most (of throughput: at least) `bound`.
struct relative_target {
  workload what;
  const char* ours;
  const char* theirs;
  double bound;
};
[[nodiscard]] std::span<const relative_target> relative_targets();

/// A figure of ours by itself: at most `bound`, less `minus`'s own figure where there is one.
struct absolute_target {
  const char* text;
  workload what;
  std::size_t column;
  const char* ours;
  const char* minus;  ///< or nullptr
  double bound;
};
[[nodiscard]] std::span<const absolute_target> absolute_targets();

}  // namespace bench
