// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "machine.hpp"
#include "plan.hpp"
#include "results.hpp"

namespace bench {

/// The tables: one for each workload, then the targets.
[[nodiscard]] std::string tables(const plan& what, const machine& where, const results& all);
/// The table of targets: pass or short for each.
[[nodiscard]] std::string target_table(const results& all);

/// Writes last.json, last.log, last.txt and, if wanted, the plots. Returns lines of what was done.
[[nodiscard]] std::string write_files(const plan& what, const machine& where, const results& all,
                                      const std::string& text);

}  // namespace bench
