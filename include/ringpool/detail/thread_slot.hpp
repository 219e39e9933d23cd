// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

// A small number for each live thread of the process: pools index their caches by it. A slot is
// taken at a thread's first slow call and released at the thread's exit; its next owner inherits
// what the caches hold. Slot 0 belongs to nobody: threads have it before their first slow call,
// after their exit has begun, and when all slots are taken; its caches are always missed.
//
// Edges (release -> acquire), in src/thread_slot.cpp:
//   R2 -> A2  prepare_thread_slots -> ensure_thread_slot   the key

/// Byte offset of the calling thread's cache in every pool: slot x cache_stride_bytes.
RINGPOOL_FAST_TLS extern constinit thread_local std::size_t tls_cache_offset;

[[nodiscard]] inline std::size_t thread_cache_offset() noexcept { return tls_cache_offset; }
[[nodiscard]] inline std::uint32_t thread_slot() noexcept {
  return static_cast<std::uint32_t>(tls_cache_offset / cache_stride_bytes);
}

/// Gives the calling thread a slot if it has none and can have one, and returns it (0: none).
/// Lock-free, no heap; a signal handler that interrupts it gets 0.
std::uint32_t ensure_thread_slot() noexcept;

/// Slots that have a living owner: how many threads use pools.
[[nodiscard]] std::uint32_t live_thread_slots() noexcept;

/// Makes the key whose destructor releases slots. Called before the first pool is usable.
void prepare_thread_slots() noexcept;

/// In a forked child: every slot but the caller's is free again.
void thread_slots_after_fork() noexcept;

}  // namespace ringpool::detail
