// SPDX-License-Identifier: MIT
#include "ringpool/detail/thread_slot.hpp"

#include <pthread.h>

#include <mutex>

#include "ringpool/detail/thread_slot_table.hpp"

namespace ringpool::detail {

constinit thread_local std::size_t tls_cache_offset = 0;

namespace {

enum class phase : std::uint8_t { fresh, taking, owner, exited };
RINGPOOL_FAST_TLS constinit thread_local phase tls_phase = phase::fresh;

constinit basic_thread_slot_table<std_atomics, max_thread_slots> table;

pthread_key_t exit_key;
std::atomic<bool> key_made{false};
std::once_flag key_once;

/// Runs after the thread's C++ destructors. Later calls of this thread go without a cache.
void on_thread_exit(void* /*unused*/) noexcept {
  const std::uint32_t slot = thread_slot();
  tls_cache_offset = 0;
  tls_phase = phase::exited;
  if (slot != 0) {
    table.release_slot(slot);
  }
}

/// When the library is unloaded its code must not be called any more.
[[gnu::destructor]] void forget_key() noexcept {
  if (key_made.exchange(false, relaxed)) {
    ::pthread_key_delete(exit_key);
  }
}

}  // namespace

void prepare_thread_slots() noexcept {
  std::call_once(key_once, [] {
    // Made early: glibc keeps the values of the first 32 keys inside the thread, without heap.
    // R2 -> A2 (ensure_thread_slot): exit_key is written
    key_made.store(::pthread_key_create(&exit_key, on_thread_exit) == 0, release);
  });
}

std::uint32_t ensure_thread_slot() noexcept {
  if (tls_phase != phase::fresh) {
    return thread_slot();
  }
  if (!key_made.load(acquire)) {  // A2 <- R2
    return 0;                     // a slot that could not be released is not taken
  }
  tls_phase = phase::taking;
  std::atomic_signal_fence(seq_cst);  // a handler that interrupts from here on gets 0
  if (thread_slot() != 0) {           // and one that came just before has taken a slot
    tls_phase = phase::owner;
    return thread_slot();
  }
  const std::uint32_t slot = table.take_lowest();
  if (slot != 0 && ::pthread_setspecific(exit_key, &tls_cache_offset) == 0) {
    tls_cache_offset = slot * cache_stride_bytes;
    std::atomic_signal_fence(seq_cst);
    tls_phase = phase::owner;
    return slot;
  }
  if (slot != 0) {
    table.release_slot(slot);
  }
  tls_phase = phase::fresh;  // another thread's exit may free a slot
  return 0;
}

std::uint32_t live_thread_slots() noexcept { return table.live(); }

void thread_slots_after_fork() noexcept { table.leave_only(thread_slot()); }

}  // namespace ringpool::detail
