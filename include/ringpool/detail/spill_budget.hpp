// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

/// How many buffers of a class requests of smaller classes hold. Taken before the buffer, given
/// back after it, so that the limit is never exceeded, not for a moment either.
///
/// Invariant: held() = taken - given back <= the limit of every try_take.
/// Progress: lock-free. Thread-safety: any thread, signal handlers included. Cost: one
/// compare-exchange to take, one subtraction to give back.
template <class Atomics>
class basic_spill_budget {
 public:
  [[nodiscard]] bool try_take(std::uint64_t limit) noexcept {
    std::uint64_t seen = held_.load(relaxed);  // relaxed, all: a count by itself
    do {
      if (seen >= limit) {
        return false;
      }
    } while (!held_.compare_exchange_weak(seen, seen + 1, relaxed, relaxed));
    return true;
  }
  void give_back() noexcept { held_.fetch_sub(1, relaxed); }
  [[nodiscard]] std::uint64_t held() const noexcept { return held_.load(relaxed); }
  /// In a forked child, which knows better.
  void reset(std::uint64_t held) noexcept { held_.store(held, relaxed); }

 private:
  typename Atomics::template atomic<std::uint64_t> held_{0};
};

using spill_budget = basic_spill_budget<std_atomics>;

}  // namespace ringpool::detail
