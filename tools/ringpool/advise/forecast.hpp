// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "class_load.hpp"
#include "classes.hpp"
#include "size_histogram.hpp"
#include "traffic.hpp"

namespace ringpool::tools {

/// One class as a pool would be configured.
struct class_setting {
  std::uint32_t buffer_size = 0;
  std::uint64_t capacity = 0;  ///< a power of two
  std::uint64_t elastic_capacity = 0;
};

/// What is known of the traffic, and what is assumed where it is not.
struct demand {
  traffic seen;                ///< every held_ns known where it is timed
  size_histogram sizes{seen};  ///< of `seen`
  double rate = 0.0;           ///< allocations a second; assumed where seen is not timed
  double hold_seconds = 0.0;   ///< mean; assumed where seen is not timed
};

/// Rate and mean hold are measured where `seen` has them. Otherwise it takes those given, for which
/// above 0 is needed.
[[nodiscard]] demand demand_of(traffic seen, double rate, double hold_seconds);

struct class_forecast {
  class_setting setting;
  class_load load;
  double wasted_share = 0.0;         ///< of its buffers' bytes
  double fallback_share = 0.0;       ///< of its allocations: not from the ring
  double upstream_share = 0.0;       ///< of its allocations: neither from ring nor elastic
  std::uint64_t resident_bytes = 0;  ///< its ring, prefaulted, and elastic buffers at their peak
};

/// What a set of classes would do with the traffic.
///
/// Invariant: classes by rising buffer_size; every share is within 0 .. 1.
struct set_forecast {
  std::vector<class_forecast> classes;
  class_load oversize;          ///< above the largest class: always from upstream
  double wasted_share = 0.0;    ///< of the buffers' bytes, by presence
  double wasted_bytes = 0.0;    ///< at a time, on average
  double fallback_share = 0.0;  ///< of all allocations; oversize ones too
  double upstream_share = 0.0;
  double oversize_share = 0.0;
  std::uint64_t resident_bytes = 0;  ///< with prefault, once every class had its peak
  std::uint64_t reserved_bytes = 0;  ///< address space of rings and elastic buffers

  [[nodiscard]] std::vector<class_setting> settings() const;
};

/// `settings` by rising buffer_size.
[[nodiscard]] set_forecast forecast(const demand& wanted, std::span<const class_setting> settings);

/// The best class sizes for it, each with the capacity that it needs.
[[nodiscard]] set_forecast advise(const demand& wanted, const class_options& classes,
                                  const capacity_options& capacities);

}  // namespace ringpool::tools
