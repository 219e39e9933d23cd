// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "traffic.hpp"

namespace ringpool::tools {

/// Walks through traffic in the order of its times: `take(sample)` at each allocation, which
/// returns what stands for the buffer, and `give(what, at_ns)` when it is given back. Buffers given
/// back at a time come before those taken at it. All are given back in the end.
///
/// `copies(sample)`: how many buffers a sample takes, one after the other.
/// Cost: O(n log held).
template <class Copies, class Take, class Give>
void sweep(const traffic& through, Copies copies, Take take, Give give) {
  using held = decltype(take(through.samples.front()));
  struct departure {
    std::int64_t at_ns;
    held what;
    bool operator>(const departure& other) const noexcept { return at_ns > other.at_ns; }
  };
  std::priority_queue<departure, std::vector<departure>, std::greater<>> departures;
  const auto leave = [&] {
    const departure next = departures.top();
    departures.pop();
    give(next.what, next.at_ns);
  };
  for (const traffic_sample& sample : through.samples) {
    while (!departures.empty() && departures.top().at_ns <= sample.at_ns) {
      leave();
    }
    for (std::uint64_t left = copies(sample); left != 0; --left) {
      departures.push({sample.at_ns + sample.held_ns, take(sample)});
    }
  }
  while (!departures.empty()) {
    leave();
  }
}

}  // namespace ringpool::tools
