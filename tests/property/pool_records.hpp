// SPDX-License-Identifier: MIT
#pragma once

// What a model of a set of pools is made of: the set-up, and what must be true of each class and of
// each buffer that is held.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool::test {

using words = std::vector<std::uint32_t>;

/// What the pool is made from; every value is meaningful, so that any numbers will do.
struct pool_setup {
  std::vector<size_class> classes;
  pool_options options;

  [[nodiscard]] static pool_setup make(const std::array<std::uint16_t, 12>& from) {
    static const std::vector<std::vector<std::size_t>> sizes = {
        {64}, {64, 256}, {100, 1000, 1500}, {8, 16, 32, 64}, {1, 63, 65}, {128, 192, 4000}};
    pool_setup made;
    for (const std::size_t size : sizes[from[0] % sizes.size()]) {
      made.classes.push_back({size, std::size_t{1} << (from[1] + made.classes.size()) % 5});
    }
    made.options.elastic_capacity = from[2] % 6U;
    made.options.upstream_budget_bytes = from[3] % 4U * 1000U;
    made.options.upstream = from[3] % 5U == 4U ? nullptr : std::pmr::new_delete_resource();
    made.options.zero_on_free = static_cast<zeroing>(from[4] % 3);
    made.options.hardened = from[5] % 3 == 1;
    made.options.cache_limit = from[6] % 2 == 0 ? 128U : from[6] % 7U;
    made.options.use_membarrier = from[7] % 3 != 2;
    made.options.spill = {.class_count = from[8] % 4U, .buffer_limit = 1 + from[9] % 5U};
    for (std::size_t i = 0; i < made.classes.size(); ++i) {
      const unsigned own = from[10] >> i;
      if (own % 2 == 1) {
        made.classes[i].settings.elastic_capacity = from[11] % 4U;
        made.classes[i].settings.spill_limit = 1 + own % 3;
      }
    }
    return made;
  }
};

/// A buffer that the test holds, raw or by handle.
struct held_buffer {
  buffer handle;
  std::size_t class_number = 0;  ///< whose buffer it is
  bool lent = false;             ///< to a request of a smaller class
  std::size_t size = 0;          ///< as asked for, or last set by resize
  std::size_t capacity = 0;      ///< bytes stamped
  buffer_origin origin = buffer_origin::none;
  unsigned char stamp = 0;
};

/// What one class must look like.
struct class_model {
  std::size_t buffer_size = 0;
  std::uint64_t ring_size = 0, elastic_capacity = 0;
  std::uint64_t ring_held = 0, elastic_held = 0, upstream_held = 0;
  std::uint64_t ring_allocs = 0, elastic_allocs = 0, upstream_allocs = 0;
  std::uint64_t oversize = 0, refusals = 0;
  std::uint64_t lends = 0;  ///< most buffers that smaller classes may hold
  std::uint64_t lent = 0, spills = 0;

  [[nodiscard]] std::uint64_t allocs() const {
    return ring_allocs + elastic_allocs + upstream_allocs;
  }
  [[nodiscard]] std::uint64_t held() const { return ring_held + elastic_held + upstream_held; }
};

}  // namespace ringpool::test
