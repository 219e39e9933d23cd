// SPDX-License-Identifier: MIT
#include "ringpool/detail/thread_slot.hpp"

#include <pthread.h>

#include <bit>
#include <mutex>

namespace ringpool::detail {

constinit thread_local std::size_t tls_cache_offset = 0;

namespace {

enum class phase : std::uint8_t { fresh, taking, owner, exited };
RINGPOOL_FAST_TLS constinit thread_local phase tls_phase = phase::fresh;

constexpr std::size_t word_count = max_thread_slots / 64;
std::atomic<std::uint64_t> taken[word_count] = {1};  // slot 0 is nobody's
std::atomic<std::uint32_t> live{0};

pthread_key_t exit_key;
std::atomic<bool> key_made{false};
std::once_flag key_once;

std::uint32_t take_lowest_free_slot() noexcept {
  if (live.load(relaxed) >= max_thread_slots - 1) {
    return 0;  // spares the search; the answer may be late by a moment
  }
  for (std::size_t i = 0; i < word_count; ++i) {
    std::uint64_t seen = taken[i].load(relaxed);
    while (~seen != 0) {
      const auto bit = static_cast<unsigned>(std::countr_one(seen));
      // A1 <- R1: this thread goes on where the last owner of the slot ended
      if (taken[i].compare_exchange_weak(seen, seen | (std::uint64_t{1} << bit), acquire,
                                         relaxed)) {
        live.fetch_add(1, relaxed);
        return static_cast<std::uint32_t>(i * 64 + bit);
      }
    }
  }
  return 0;
}

void release_slot(std::uint32_t slot) noexcept {
  live.fetch_sub(1, relaxed);
  // R1 -> A1 (take_lowest_free_slot): all that this thread wrote to its caches
  taken[slot / 64].fetch_and(~(std::uint64_t{1} << (slot % 64)), release);
}

/// Runs after the thread's C++ destructors. Later calls of this thread go without a cache.
void on_thread_exit(void* /*unused*/) noexcept {
  const std::uint32_t slot = thread_slot();
  tls_cache_offset = 0;
  tls_phase = phase::exited;
  if (slot != 0) {
    release_slot(slot);
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
  const std::uint32_t slot = take_lowest_free_slot();
  if (slot != 0 && ::pthread_setspecific(exit_key, &tls_cache_offset) == 0) {
    tls_cache_offset = slot * cache_stride_bytes;
    std::atomic_signal_fence(seq_cst);
    tls_phase = phase::owner;
    return slot;
  }
  if (slot != 0) {
    release_slot(slot);
  }
  tls_phase = phase::fresh;  // another thread's exit may free a slot
  return 0;
}

std::uint32_t live_thread_slots() noexcept { return live.load(relaxed); }

void thread_slots_after_fork() noexcept {
  const std::uint32_t own = thread_slot();
  for (std::size_t i = 0; i < word_count; ++i) {
    taken[i].store(i == 0 ? 1 : 0, relaxed);  // relaxed: one thread
  }
  taken[own / 64].fetch_or(std::uint64_t{1} << (own % 64), relaxed);
  live.store(own != 0 ? 1 : 0, relaxed);
}

}  // namespace ringpool::detail
