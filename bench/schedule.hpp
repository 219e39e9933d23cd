// SPDX-License-Identifier: MIT
#pragma once

#include "plan.hpp"
#include "results.hpp"

namespace bench {

/// Runs what the plan asks for. In each round every workload has its turn, in random order, and in
/// it every contender, in random order, so that a drift of the machine meets all alike.
[[nodiscard]] results run_rounds(const plan& what);

/// One measurement for a process of its own: its values, a line each, to standard output.
int run_alone(const plan& what);

}  // namespace bench
