// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "traffic.hpp"

namespace ringpool::tools {

/// Samples whose unseen neighbours are spread together: enough that two threads which sampled at
/// the same moment do not look like a burst.
inline constexpr std::size_t samples_a_spread = 16;

/// Walks through traffic in the order of its times: `take(sample)` at each allocation, which
/// returns what stands for the buffer, and `give(what, at_ns)` when it is given back. Buffers given
/// back at a time come before those taken at it. All are given back in the end.
///
/// `copies(sample)`: how many buffers a sample takes. Where that is more than one it stands for
/// allocations that were not seen, between the samples around it: so those of a few samples are
/// spread evenly over the time that these took, and `take` gets each with its time.
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
  std::int64_t before_ns = through.samples.empty() ? 0 : through.samples.front().at_ns;
  for (std::size_t begin = 0, end = 0; begin < through.samples.size(); begin = end) {
    std::int64_t count = 0;
    do {  // one sample, if it takes one buffer; else some
      count += static_cast<std::int64_t>(copies(through.samples[end++]));
    } while (end < through.samples.size() && end - begin < samples_a_spread &&
             count != static_cast<std::int64_t>(end - begin));
    const std::int64_t gap_ns = through.samples[end - 1].at_ns - before_ns;
    std::int64_t taken = 0;
    for (std::size_t i = begin; i < end; ++i) {
      traffic_sample one = through.samples[i];
      for (std::uint64_t left = copies(one); left != 0; --left) {
        ++taken;
        one.at_ns = before_ns + gap_ns / count * taken + gap_ns % count * taken / count;
        while (!departures.empty() && departures.top().at_ns <= one.at_ns) {
          leave();
        }
        departures.push({one.at_ns + one.held_ns, take(one)});
      }
    }
    before_ns = through.samples[end - 1].at_ns;
  }
  while (!departures.empty()) {
    leave();
  }
}

}  // namespace ringpool::tools
