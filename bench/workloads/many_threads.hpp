// SPDX-License-Identifier: MIT
#pragma once

// 2, 16 and 64 threads on two processors: throughput, the tail of a single call, and a pool that is
// kept at its limit.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "contender.hpp"
#include "measure.hpp"
#include "workloads/histogram.hpp"
#include "workloads/one_thread.hpp"

namespace bench {

/// Threads that run one body each until they are told to stop, and count what they did.
class crew {
 public:
  /// One member's: how far it is, and whether to go on.
  struct alignas(128) member {
    std::atomic<std::uint64_t> done{0};
    std::atomic<bool> counting{false};  ///< after the warm-up
    std::atomic<bool> go_on{true};
  };
  using body = std::function<void(std::size_t number, member&)>;

  /// Starts them, half of them on each processor.
  crew(const effort& wanted, std::size_t count, const body& work);
  /// Warms up, then lets them work for `span`: things done per second.
  double measure(clock::duration warm_up, clock::duration span);
  /// Stops and joins them.
  ~crew();
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

 private:
  [[nodiscard]] std::uint64_t done() const;

  std::vector<member> members_;
  std::atomic<bool> open_{false};
  std::vector<std::thread> threads_;
};

inline constexpr double many_threads_ms_each = 3;
inline constexpr double many_threads_least_ms = 50;

/// {million pairs per second, all threads together}. Each thread holds 8.
template <class Contender, std::size_t Threads>
sample throughput(const effort& wanted) {
  Contender one({.bytes = 1024, .count = Threads * 256, .threads = Threads});
  escape(one);
  const auto work = [&one](std::size_t number, crew::member& self) {
    const in_thread<Contender> scope(one);
    std::array<taken<Contender>, 8> held{};
    for (auto& buffer : held) {
      buffer = one.take(request_bytes);
    }
    dice random(static_cast<std::uint32_t>(number));
    constexpr std::size_t between_looks = 8;  // some take milliseconds for each
    while (self.go_on.load(std::memory_order_relaxed)) {
      for (std::size_t i = 0; i < between_looks; ++i) {
        auto& buffer = held[random.roll<3>()];
        one.give(std::move(buffer), request_bytes);
        buffer = one.take(request_bytes);
        if (address(buffer) != nullptr) [[likely]] {
          touch(address(buffer));
        }
      }
      self.done.store(self.done.load(std::memory_order_relaxed) + between_looks,
                      std::memory_order_relaxed);
    }
    for (auto& buffer : held) {
      one.give(std::move(buffer), request_bytes);
    }
  };
  const double ms = many_threads_least_ms + many_threads_ms_each * static_cast<double>(Threads);
  crew all(wanted, Threads, work);
  return {all.measure(span_of(wanted, ms / 4), span_of(wanted, ms)) / 1e6};
}

/// Times calls of one thread. A call in which the scheduler took the processor away is not counted:
/// that thread was not runnable. One that waited of its own accord, for a lock, is.
class call_timer {
 public:
  void start() {
    const std::uint64_t now = ticks();
    if (now - last_ > long_) {
      switches_ = involuntary_switches();  // those between two calls
    }
    last_ = now;
  }
  /// Since start, or the last lap.
  void lap(bool counting, histogram& times) {
    const std::uint64_t now = ticks();
    const std::uint64_t spent = now - last_;
    last_ = now;
    if (spent > long_) [[unlikely]] {
      const long before = std::exchange(switches_, involuntary_switches());
      counting = counting && before == switches_;
      last_ = ticks();
    }
    if (counting) {
      times.add(spent);
    }
  }

 private:
  static long involuntary_switches();

  const std::uint64_t long_ = static_cast<std::uint64_t>(5000 / nanoseconds_per_tick());
  std::uint64_t last_ = 0;
  long switches_ = 0;
};

/// 64 threads, each call timed by itself: nanoseconds at {p99.99, p50, p99, p99.9, longest}, take
/// and give together. What the clock itself takes is in it, and is the empty loop's whole figure.
template <class Contender>
sample tail_64(const effort& wanted) {
  constexpr std::size_t threads = 64;
  Contender one({.bytes = 1024, .count = threads * 256, .threads = threads});
  escape(one);
  std::vector<histogram> times(threads);
  {
    const auto work = [&](std::size_t number, crew::member& self) {
      const in_thread<Contender> scope(one);
      auto mine = std::make_unique<histogram>();
      std::array<taken<Contender>, 8> held{};
      for (auto& buffer : held) {
        buffer = one.take(request_bytes);
      }
      dice random(static_cast<std::uint32_t>(number));
      call_timer timer;
      while (self.go_on.load(std::memory_order_relaxed)) {
        const bool counting = self.counting.load(std::memory_order_relaxed);
        auto& buffer = held[random.roll<3>()];
        timer.start();
        one.give(std::move(buffer), request_bytes);
        timer.lap(counting, *mine);
        buffer = one.take(request_bytes);
        timer.lap(counting, *mine);
      }
      for (auto& buffer : held) {
        one.give(std::move(buffer), request_bytes);
      }
      times[number] = *mine;
    };
    crew all(wanted, threads, work);
    all.measure(span_of(wanted, 60), span_of(wanted, 240));
  }
  histogram sum;
  for (const histogram& each : times) {
    sum.add(each);
  }
  if (sum.empty()) {
    return {};  // so slow that no call came to its end in the time
  }
  const double unit = nanoseconds_per_tick();
  return {unit * sum.at(0.9999), unit * sum.at(0.5), unit * sum.at(0.99), unit * sum.at(0.999),
          unit * sum.at(1)};
}

/// 4 threads that together want twice what there is: {million calls that were served per second}.
template <class Contender>
sample at_limit(const effort& wanted) {
  constexpr std::size_t threads = 4;
  constexpr std::size_t each_wants = 32;
  Contender one({.bytes = 1024, .count = threads * each_wants / 2, .threads = threads});
  escape(one);
  const auto work = [&one](std::size_t number, crew::member& self) {
    const in_thread<Contender> scope(one);
    std::array<taken<Contender>, each_wants> held{};
    dice random(static_cast<std::uint32_t>(number));
    constexpr std::size_t between_looks = 8;  // some take milliseconds for each
    while (self.go_on.load(std::memory_order_relaxed)) {
      std::uint64_t served = 0;
      for (std::size_t i = 0; i < between_looks; ++i) {
        auto& buffer = held[random.roll<5>()];
        if (address(buffer) != nullptr) {
          one.give(std::exchange(buffer, {}), request_bytes);
          ++served;
        } else if (buffer = try_take(one, request_bytes); address(buffer) != nullptr) {
          touch(address(buffer));
          ++served;
        }
      }
      self.done.store(self.done.load(std::memory_order_relaxed) + served,
                      std::memory_order_relaxed);
    }
    for (auto& buffer : held) {
      if (address(buffer) != nullptr) {
        one.give(std::move(buffer), request_bytes);
      }
    }
  };
  crew all(wanted, threads, work);
  return {all.measure(span_of(wanted, 100), span_of(wanted, 1000)) / 1e6};
}

}  // namespace bench
