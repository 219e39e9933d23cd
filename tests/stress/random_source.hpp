// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::stress {

/// Seeded numbers: SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014). Cheap enough not to hide the calls under test.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) noexcept : state_(seed * 0x9E3779B97F4A7C15 + 1) {}

  std::uint64_t next() noexcept {
    state_ += 0x9E3779B97F4A7C15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    return mixed ^ (mixed >> 31);
  }
  /// 0 .. bound-1; bound >= 1. The bias of the modulo does not matter here.
  std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
  bool one_in(std::uint64_t odds) noexcept { return below(odds) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace ringpool::stress
