// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "ringpool/index_cache.hpp"

namespace ringpool::stress {

/// Which read-modify-write is a load and a store, with room for others in between. `none_but_slow`:
/// sound, with such room after every load, where it widens the window of other bugs.
enum class tear : std::uint8_t { none, fetch_add, fetch_sub, compare_exchange, none_but_slow };

/// std::atomic with a seeded bug. The parts are atomic by themselves, so that what goes wrong is
/// the algorithm, and not the language's undefined behaviour.
template <class T, tear Torn>
class torn_atomic {
 public:
  constexpr torn_atomic() noexcept = default;
  constexpr torn_atomic(T value) noexcept : value_(value) {}  // NOLINT: as std::atomic's

  T load(std::memory_order order) const noexcept {
    const T seen = value_.load(order);
    if constexpr (Torn == tear::none_but_slow) {
      let_others_in();
    }
    return seen;
  }
  void store(T value, std::memory_order order) noexcept { value_.store(value, order); }
  T fetch_and(T mask, std::memory_order order) noexcept { return value_.fetch_and(mask, order); }

  T fetch_add(T amount, std::memory_order order) noexcept {
    if constexpr (Torn == tear::fetch_add) {
      const T seen = value_.load(std::memory_order_seq_cst);
      let_others_in();
      value_.store(seen + amount, std::memory_order_seq_cst);
      return seen;
    } else {
      return value_.fetch_add(amount, order);
    }
  }
  T fetch_sub(T amount, std::memory_order order) noexcept {
    if constexpr (Torn == tear::fetch_sub) {
      const T seen = value_.load(std::memory_order_seq_cst);
      let_others_in();
      value_.store(seen - amount, std::memory_order_seq_cst);
      return seen;
    } else {
      return value_.fetch_sub(amount, order);
    }
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return exchange_if(expected, desired, success, failure);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) noexcept {
    return exchange_if(expected, desired, success, failure);
  }

 private:
  bool exchange_if(T& expected, T desired, std::memory_order success,
                   std::memory_order failure) noexcept {
    if constexpr (Torn == tear::compare_exchange) {
      const T seen = value_.load(std::memory_order_seq_cst);
      if (seen != expected) {
        expected = seen;
        return false;
      }
      let_others_in();
      value_.store(desired, std::memory_order_seq_cst);
      return true;
    } else {
      return value_.compare_exchange_strong(expected, desired, success, failure);
    }
  }

  /// One in 8: often enough to meet somebody, rare enough to get on.
  static void let_others_in() noexcept {
    thread_local std::uint32_t calls = 0;
    if (++calls % 8 == 0) {
      std::this_thread::yield();
    }
  }

  std::atomic<T> value_{};
};

/// For basic_index_ring.
template <tear Torn>
struct torn_atomics {
  template <class T>
  using atomic = torn_atomic<T, Torn>;
  static void full_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }
  static void prepare_write(const void* /*word*/) noexcept {}
};

/// For basic_reference_count: one addition in 100 is not made.
struct forgetful_atomics : torn_atomics<tear::none> {
  template <class T>
  class atomic : public torn_atomic<T, tear::none> {
   public:
    using torn_atomic<T, tear::none>::torn_atomic;
    T fetch_add(T amount, std::memory_order order) noexcept {
      thread_local std::uint32_t calls = 0;
      const bool forget = ++calls % 100 == 0;
      return torn_atomic<T, tear::none>::fetch_add(forget ? T{0} : amount, order);
    }
  };
};

/// For basic_index_cache: everything as in production but the atomics.
template <tear Torn>
struct torn_caches : ringpool::detail::production {
  using atomics = torn_atomics<Torn>;
};

/// Two threads have one cache: slots 1 and 2, 3 and 4, and so on.
struct shared_slots : torn_caches<tear::none_but_slow> {
  [[nodiscard]] static std::uint32_t shared(std::uint32_t slot) noexcept { return (slot + 1) / 2; }
  [[nodiscard]] static std::size_t thread_cache_offset() noexcept {
    return shared(ringpool::detail::thread_slot()) * ringpool::detail::cache_stride_bytes;
  }
  static std::uint32_t ensure_thread_slot() noexcept {
    return shared(ringpool::detail::ensure_thread_slot());
  }
};

}  // namespace ringpool::stress
