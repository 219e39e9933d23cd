// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

/// How many handles share a buffer. Zeroed memory is one. Who calls has a handle, so that a count
/// that is looked at is never 0.
///
/// Progress: wait-free: no loops, at most two atomic operations a call.
/// Thread-safety: any thread, signal handlers included.
/// Edges (release -> acquire):
///   R1 -> A1  drop -> drop      what a handle's owner did with the bytes (found alone by a load)
///   R1 -> A2  drop -> drop      likewise (found last by the subtraction)
///   R1 -> A3  drop -> is_only   likewise
template <class Atomics>
class basic_reference_count {
 public:
  /// Most handles at a time. As many threads again may be inside try_add before the word wraps.
  static constexpr std::uint32_t max_handles = std::uint32_t{1} << 31;

  /// The first handle.
  void start() noexcept { handles_.store(1, relaxed); }  // relaxed: nobody else has a handle

  /// One more handle; false: there are max_handles, and nothing changed.
  [[nodiscard]] bool try_add() noexcept {
    // relaxed: the new handle reaches another thread by what orders the bytes as well
    if (handles_.fetch_add(1, relaxed) < max_handles) [[likely]] {
      return true;
    }
    handles_.fetch_sub(1, relaxed);
    return false;
  }

  /// One handle less; true: it was the last, and the buffer is the caller's alone.
  [[nodiscard]] bool drop() noexcept {
    // A1 <- R1: nobody else has a handle to copy, so this stays true; no read-modify-write
    if (handles_.load(acquire) == 1) {
      return true;
    }
    // A2 <- R1: all others are through with the bytes
    // R1 -> A1, A2, A3 (drop, is_only): this thread is through with the bytes
    return handles_.fetch_sub(1, acq_rel) == 1;
  }

  /// True if the caller's handle is the only one.
  [[nodiscard]] bool is_only() const noexcept {
    return handles_.load(acquire) == 1;  // A3 <- R1
  }

  /// As it was a moment ago. relaxed: orders nothing, see is_only.
  [[nodiscard]] std::uint32_t handles() const noexcept { return handles_.load(relaxed); }

 private:
  typename Atomics::template atomic<std::uint32_t> handles_{0};
};

using reference_count = basic_reference_count<std_atomics>;

}  // namespace ringpool::detail
