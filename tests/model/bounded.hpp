// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "explorer.hpp"

namespace ringpool::model {

/// RINGPOOL_MODEL_SCALE multiplies the executions of each program: longer campaigns, or shorter
/// ones where every step is slow; same checks.
inline std::uint64_t scaled(std::uint64_t executions) {
  const char* scale = std::getenv("RINGPOOL_MODEL_SCALE");
  const double wish = scale != nullptr ? std::strtod(scale, nullptr) : 1.0;
  return std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(executions) * (wish > 0 ? wish : 1.0)));
}

inline bounds within(unsigned preemptions, unsigned stale_loads, bool park = false) {
  return {.preemptions = preemptions,
          .stale_loads = stale_loads,
          .park = park,
          .executions = scaled(60'000)};
}

inline void expect_sound(const program_factory& make, const bounds& limits) {
  const outcome found = explore(make, limits);
  EXPECT_EQ(found.violation, "") << "replay: " << found.choices;
  std::printf("%s%llu executions\n", found.complete ? "all " : "",
              static_cast<unsigned long long>(found.executions));
}

}  // namespace ringpool::model
