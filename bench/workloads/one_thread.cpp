// SPDX-License-Identifier: MIT

#include "workloads/one_thread.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace bench {

const std::array<std::uint16_t, 4096>& game_requests() {
  static const auto requests = [] {
    std::array<std::uint16_t, 4096> all{};
    auto place = all.begin();
    for (const share& each : game_sizes) {
      const auto count = static_cast<std::ptrdiff_t>(all.size()) * each.of_100 / 100;
      place = std::fill_n(place, count, each.bytes);
    }
    std::fill(place, all.end(), game_sizes.front().bytes);  // what the division left over
    std::mt19937 random(1);                                 // NOLINT: the same order in every run
    std::shuffle(all.begin(), all.end(), random);
    return all;
  }();
  return requests;
}

}  // namespace bench
