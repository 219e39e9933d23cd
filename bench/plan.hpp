// SPDX-License-Identifier: MIT
#pragma once

// What is measured: the workloads, and what the user asked for.

#include <span>
#include <string>
#include <vector>

#include "contender.hpp"

namespace bench {

enum class better : bool { less, more };
enum class cost : std::uint8_t {
  cheap,
  crowded,  ///< many threads: a quick run has fewer rounds of it
  fresh,    ///< in a process of its own, slow, and comes out alike each time: fewer rounds
};

struct workload_info {
  workload id;
  const char* key;    ///< for --workload, the JSON and the log
  const char* title;  ///< of its table
  const char* unit;   ///< of the first column, the figure that is compared
  better side = better::less;
  cost price = cost::cheap;
  std::vector<const char*> columns{};  ///< of a sample, where it has more than one
  std::vector<std::string> among{};    ///< its contenders; none: all
};

/// In the order of the tables.
[[nodiscard]] std::span<const workload_info> workloads();
[[nodiscard]] const workload_info& info_of(workload which);

struct plan {
  std::vector<std::string> workload_filters;   ///< parts of keys; none: all
  std::vector<std::string> contender_filters;  ///< parts of names; none: all
  std::size_t repetitions = 7;
  std::size_t crowded_rounds = 1000;  ///< at most
  std::size_t fresh_rounds = 2;       ///< at most
  effort wanted;
  unsigned seed = 1;    ///< of the order in which contenders take their turns
  std::string output;   ///< a folder; empty: bench/results of the tree
  std::string command;  ///< as typed
  bool plots = true;
  std::string only_workload;  ///< a fresh process for this one measurement
  std::string only_contender;
};

/// True if `filters` is empty, or one of them is a part of `text`; case does not matter.
[[nodiscard]] bool matches(const std::vector<std::string>& filters, const std::string& text);

}  // namespace bench
