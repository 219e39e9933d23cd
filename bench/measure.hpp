// SPDX-License-Identifier: MIT
#pragma once

// Clocks, pinning, and the loop that times a loop.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "contender.hpp"

namespace bench {

using clock = std::chrono::steady_clock;

inline double nanoseconds(clock::duration span) {
  return std::chrono::duration<double, std::nano>(span).count();
}

/// `milliseconds` of this workload's own, scaled by the effort.
inline clock::duration span_of(const effort& wanted, double milliseconds) {
  return std::chrono::duration_cast<clock::duration>(
      std::chrono::duration<double, std::milli>(milliseconds * wanted.scale));
}

/// A counter read in order: all before it has been done, nothing after it has been started.
inline std::uint64_t ticks() {
#if defined(__x86_64__)
  __builtin_ia32_lfence();
  const std::uint64_t now = __builtin_ia32_rdtsc();
  __builtin_ia32_lfence();
  return now;
#else
  return static_cast<std::uint64_t>(clock::now().time_since_epoch().count());
#endif
}
/// Measured against the clock at the first call.
double nanoseconds_per_tick();

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// The first processors that this process may use, two at most, at least one.
std::vector<unsigned> first_processors();
void pin_this_thread(unsigned cpu);

/// The compiler must assume that `object` is read and changed here.
template <class T>
inline void escape(T& object) {
  asm volatile("" : : "g"(&object) : "memory");
}

/// A user of the buffer writes to it.
inline void touch(void* buffer) { *static_cast<volatile char*>(buffer) = 1; }

/// A thread's use of a contender: those that want to know of threads are told.
template <class Contender>
class in_thread {
 public:
  explicit in_thread(Contender& one) : one_(one) {
    if constexpr (requires { one.enter_thread(); }) {
      one_.enter_thread();
    }
  }
  ~in_thread() {
    if constexpr (requires { one_.leave_thread(); }) {
      one_.leave_thread();
    }
  }
  in_thread(const in_thread&) = delete;
  in_thread& operator=(const in_thread&) = delete;

 private:
  Contender& one_;
};

template <class Contender>
using taken = decltype(std::declval<Contender&>().take(std::size_t{}));

inline void* address(void* buffer) { return buffer; }
template <class Handle>
void* address(const Handle& handle) {
  return handle.data();
}

/// As take, but "none left" is an answer: for contenders that else go on to somebody else's memory.
template <class Contender>
taken<Contender> try_take(Contender& one, std::size_t bytes) {
  if constexpr (requires { one.try_take(bytes); }) {
    return one.try_take(bytes);
  } else {
    return one.take(bytes);
  }
}

/// Nanoseconds of one of the turns that `loop(n)` makes. Warms up first, and finds an n that takes
/// as long as is wanted.
template <class Loop>
double time_turns(const effort& wanted, double milliseconds, Loop&& loop) {
  const double target = nanoseconds(span_of(wanted, milliseconds));
  std::size_t turns = 256;
  double spent = 0;
  for (double warm = 0; warm < target / 4; warm += spent) {
    const auto start = clock::now();
    loop(turns);
    spent = nanoseconds(clock::now() - start);
    if (spent < target / 8) {
      turns *= 2;
    }
  }
  const double one = std::max(spent / static_cast<double>(turns), 0.01);
  turns = std::max(turns, static_cast<std::size_t>(target / one));
  const auto start = clock::now();
  loop(turns);
  return nanoseconds(clock::now() - start) / static_cast<double>(turns);
}

/// A small fast generator: the indices of it are not what is measured.
class dice {
 public:
  explicit dice(std::uint32_t seed = 1) : state_(seed) {}
  /// 0 .. 2^Bits - 1. The multiplier and increment are those of Numerical Recipes.
  template <unsigned Bits>
  std::uint32_t roll() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> (32 - Bits);
  }

 private:
  std::uint32_t state_;
};

}  // namespace bench
