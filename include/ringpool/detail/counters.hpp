// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::detail {

/// Sums over the caches of a pool. The counts never run backwards: each term has one writer, or is
/// added to atomically.
struct cache_totals {
  std::uint64_t alloc_count = 0;
  std::uint64_t free_count = 0;
  std::uint64_t refusal_count = 0;
  std::uint64_t cached = 0;  ///< a level
};

}  // namespace ringpool::detail
