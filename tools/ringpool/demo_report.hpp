// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "child_server.hpp"
#include "load_tally.hpp"
#include "report.hpp"

namespace ringpool::tools {

/// One side of the demo: the server on the pool, or the one on malloc.
struct demo_side {
  std::string name;
  std::vector<load_tally> closed;  ///< a round each
  std::vector<load_tally> open;
  server_snapshot fresh;   ///< connected, before the first frame
  server_snapshot loaded;  ///< in the middle of a closed round
  server_snapshot idle;    ///< every connection open, nothing in flight
  server_snapshot last;    ///< after the connections were closed

  [[nodiscard]] load_tally total() const noexcept;
};

struct demo_result {
  std::uint32_t connections = 0;
  std::string mix;
  double mix_mean_bytes = 0.0;
  unsigned cores = 0;
  unsigned loops = 0;              ///< of each server, and of the load
  double open_rate = 0.0;          ///< frames a second
  double seconds = 0.0;            ///< the whole demo
  std::array<demo_side, 2> sides;  ///< pool, malloc
};

/// The middle one; of an even number the lower of the two in the middle. 0 of none.
template <class Number>
Number median(std::vector<Number> values);

/// Everything that must hold, as sentences about what did not; empty when all is well.
std::vector<std::string> demo_failures(const demo_result& result);

/// For a person, at most 100 columns wide.
std::string demo_report_text(const demo_result& result, const palette& colours);
nlohmann::json demo_report_json(const demo_result& result);

}  // namespace ringpool::tools
