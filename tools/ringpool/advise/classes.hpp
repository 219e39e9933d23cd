// SPDX-License-Identifier: MIT
#pragma once

//   presence                                  classes end where sizes do: a class that ends
//      |  #                                   between two sizes wastes more than one that
//      |  #           #        #              ends at the lower of them
//      |  #  #     #  #        #     #
//      +--+--+-----+--+--------+-----+--> size, in cache lines
//            ^        ^        ^     ^

#include <cstddef>
#include <cstdint>
#include <vector>

#include "size_histogram.hpp"

namespace ringpool::tools {

struct class_options {
  std::size_t count = 0;       ///< of classes; 0: as many as pay
  std::size_t most = 16;       ///< of classes, where count is 0
  double least_saving = 0.02;  ///< where count is 0: of the memory, by a further class
  double cover = 1.0;          ///< share of allocations that the largest class holds
};

/// The buffer sizes, whole cache lines and rising, that waste least: no other choice of as many
/// classes takes fewer bytes (waste_of), among those whose largest is the one that `cover` asks
/// for. Fewer than `count` where there are not as many sizes. Empty for no traffic.
///
/// By dynamic programming over the sizes that occur: O(count x n log n) for n of them.
[[nodiscard]] std::vector<std::uint32_t> best_class_sizes(const size_histogram& histogram,
                                                          const class_options& options);

}  // namespace ringpool::tools
