// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ringpool::tools {

/// One allocation that was seen: a frame, a packet, a row of a table.
struct traffic_sample {
  std::int64_t at_ns = 0;     ///< since the first of its traffic; 0 where times are unknown
  std::int64_t held_ns = -1;  ///< from alloc to free; -1: unknown
  std::uint32_t bytes = 0;    ///< asked for, 1 or more
  std::uint32_t weight = 1;   ///< allocations that it stands for, 1 or more
};

/// What advice is made from, whatever it was read from.
struct traffic {
  std::vector<traffic_sample> samples;  ///< by rising at_ns
  bool timed = false;                   ///< at_ns is known
  std::string source;                   ///< for people: "capture.pcap: 12 streams, 1,034 frames"
  std::vector<std::string> remarks;     ///< for people: what was skipped, cut off or guessed
};

}  // namespace ringpool::tools
