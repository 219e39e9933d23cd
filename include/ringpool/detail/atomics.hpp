// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

namespace ringpool::detail {

// Short names for the orders that every atomic operation spells.
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

/// The memory that the concurrent parts are written against. They take it as a template
/// parameter, so that a checker can run the same source on atomics of its own.
struct std_atomics {
  template <class T>
  using atomic = std::atomic<T>;

  static void full_fence() noexcept { std::atomic_thread_fence(seq_cst); }
  /// A turn of a loop that waits for another thread's few instructions: spins, then yields, then
  /// sleeps, should that thread be kept from running by this one.
  static void pause(unsigned round) noexcept;
  /// Asks for the line of a word that is about to be written, so that waits for lines overlap.
  static void prepare_write(const void* word) noexcept {
#if defined(__x86_64__)
    // The builtin asks for a shared copy unless -mprfchw is given. Intel's processors before
    // Broadwell take the instruction for a no-op.
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(word)));
#else
    __builtin_prefetch(word, 1);
#endif
  }
};

/// Adds to a counter that has one writer: a load and a store, no read-modify-write.
template <class Atomic, class T>
void add_single_writer(Atomic& counter, T amount) noexcept {
  counter.store(counter.load(relaxed) + amount, relaxed);
}

}  // namespace ringpool::detail
