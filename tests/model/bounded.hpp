// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "explorer.hpp"

namespace ringpool::model {

/// RINGPOOL_MODEL_SCALE multiplies the executions of each program: longer campaigns, same checks.
inline std::uint64_t scaled(std::uint64_t executions) {
  const char* scale = std::getenv("RINGPOOL_MODEL_SCALE");
  return executions * (scale != nullptr ? std::strtoull(scale, nullptr, 10) : 1);
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
