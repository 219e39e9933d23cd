// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

/// Which slots have a living owner: a bit each; slot 0 is nobody's. Zeroed memory becomes one by
/// leave_only(0).
///
/// Progress: lock-free. Thread-safety: any thread, signal handlers included.
/// Edges (release -> acquire):
///   R1 -> A1  release_slot -> take_lowest   what the last owner wrote to its caches
template <class Atomics, std::uint32_t Slots>
class basic_thread_slot_table {
 public:
  /// The lowest slot without an owner, or 0: there is none.
  [[nodiscard]] std::uint32_t take_lowest() noexcept {
    if (live() >= Slots - 1) {
      return 0;  // spares the search; the answer may be late by a moment
    }
    for (std::uint32_t i = 0; i < word_count; ++i) {
      std::uint64_t seen = taken_[i].load(relaxed);
      while (~seen != 0) {
        const auto bit = static_cast<std::uint32_t>(std::countr_one(seen));
        // A1 <- R1: this thread goes on where the last owner of the slot ended
        if (taken_[i].compare_exchange_weak(seen, seen | (std::uint64_t{1} << bit), acquire,
                                            relaxed)) {
          live_.fetch_add(1, relaxed);
          return i * 64 + bit;
        }
      }
    }
    return 0;
  }

  void release_slot(std::uint32_t slot) noexcept {
    live_.fetch_sub(1, relaxed);
    // R1 -> A1 (take_lowest): all that this thread wrote to its caches
    taken_[slot / 64].fetch_and(~(std::uint64_t{1} << (slot % 64)), release);
  }

  /// One thread is left, the owner of `own`, or of none where that is 0.
  void leave_only(std::uint32_t own) noexcept {
    for (std::uint32_t i = 0; i < word_count; ++i) {
      taken_[i].store(i == 0 ? 1 : 0, relaxed);  // relaxed: one thread
    }
    taken_[own / 64].fetch_or(std::uint64_t{1} << (own % 64), relaxed);
    live_.store(own != 0 ? 1 : 0, relaxed);
  }

  [[nodiscard]] std::uint32_t live() const noexcept { return live_.load(relaxed); }

 private:
  static_assert(Slots % 64 == 0);
  static constexpr std::uint32_t word_count = Slots / 64;

  typename Atomics::template atomic<std::uint64_t> taken_[word_count] = {1};
  typename Atomics::template atomic<std::uint32_t> live_{0};
};

}  // namespace ringpool::detail
