// SPDX-License-Identifier: MIT
#pragma once

// A thread is stopped at a random moment inside its calls, and stays stopped: the others go on.

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "books.hpp"
#include "crew.hpp"
#include "random_source.hpp"

namespace ringpool::stress {

struct suspension_plan {
  std::size_t batch = 1;            ///< buffers the victim takes and gives in turn, at most 128
  bool bulk = false;                ///< by bulk calls
  unsigned others = 2;              ///< threads that must go on
  std::size_t operations = 10'000;  ///< calls of each of them
  std::size_t most_out_of_reach =
      0;                          ///< what the victim holds, caches and has in its call, at most
  bool refusals_allowed = false;  ///< to the others
};

template <class Pool>
class suspension {
 public:
  suspension(Pool& pool, const suspension_plan& plan, verdict& log)
      : pool_(pool), plan_(plan), log_(log) {
    if (::pipe(gate_.data()) != 0) {
      log.violation("no pipe");
    }
    struct sigaction action {};
    action.sa_handler = &park;
    ::sigaction(SIGUSR1, &action, &before_);
    parked_at_.store(gate_[0], std::memory_order_relaxed);
  }
  ~suspension() {
    ::sigaction(SIGUSR1, &before_, nullptr);
    ::close(gate_[0]);
    ::close(gate_[1]);
  }
  suspension(const suspension&) = delete;
  suspension& operator=(const suspension&) = delete;

  /// Suspends a newborn victim `count` times, each at another moment of its life.
  void run(std::size_t count) {
    random_source random(count);
    for (std::size_t time = 0; time < count && log_.clean(); ++time) {
      over_.store(false, std::memory_order_relaxed);
      parked_.store(false, std::memory_order_relaxed);
      begun_.store(false, std::memory_order_relaxed);
      std::jthread victim([this] { suffer(); });
      while (!begun_.load(std::memory_order_acquire)) {
      }
      // every third time inside its first calls ever, otherwise anywhere
      spin_for(std::chrono::nanoseconds(random.below(time % 3 == 0 ? 3'000 : 100'000)));
      ::pthread_kill(victim.native_handle(), SIGUSR1);
      while (!parked_.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
      go_on_without_it();
      over_.store(true, std::memory_order_relaxed);
      const char token = 0;
      log_.require(::write(gate_[1], &token, 1) == 1, "the victim cannot be woken");
      victim.join();
      require_exactly(pool_, pool_.buffer_size(), pool_.capacity(), log_);
    }
    if (log_.clean()) {
      require_whole(pool_, log_);
    }
  }

 private:
  /// The handler: waits for a byte. Only async-signal-safe calls.
  static void park(int /*signal*/) {
    const int error = errno;
    parked_.store(true, std::memory_order_release);
    char token = 0;
    while (::read(parked_at_.load(std::memory_order_relaxed), &token, 1) < 0 && errno == EINTR) {
    }
    errno = error;
  }

  static void spin_for(std::chrono::nanoseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
  }

  /// The victim. No heap, no locks: it may only be stopped inside the pool's calls or its own
  /// lines.
  void suffer() {
    constexpr holder who = 0x71C;
    std::array<void*, 128> held{};
    begun_.store(true, std::memory_order_release);
    while (!over_.load(std::memory_order_relaxed)) {
      const std::size_t count = plan_.bulk ? take_bulk(held) : take_singly(held);
      for (std::size_t i = 0; i < count; ++i) {
        claim(held[i], who, log_);
      }
      for (std::size_t i = 0; i < count; ++i) {
        unclaim(held[i], who, log_);
      }
      give({held.data(), count});
    }
  }
  std::size_t take_singly(std::span<void*> out) {
    std::size_t count = 0;
    while (count < plan_.batch && (out[count] = pool_.try_allocate(pool_.buffer_size()))) {
      ++count;
    }
    return count;
  }
  std::size_t take_bulk(std::span<void*> out) {
    if constexpr (requires { pool_.allocate_bulk(out); }) {
      return pool_.allocate_bulk(out.first(plan_.batch));
    } else {
      return take_singly(out);
    }
  }
  void give(std::span<void* const> held) {
    if constexpr (requires { pool_.deallocate_bulk(held); }) {
      if (plan_.bulk) {
        pool_.deallocate_bulk(held);
        return;
      }
    }
    for (void* data : held) {
      pool_.deallocate(data);
    }
  }

  /// The others, while the victim is suspended.
  void go_on_without_it() {
    run_together(plan_.others, [this](unsigned number) { operate(number); });
    constexpr holder who = 0xC0;
    const auto held =
        take_until_refused(pool_, pool_.buffer_size(), who, log_, pool_.capacity() + 1);
    log_.require(held.size() + plan_.most_out_of_reach >= pool_.capacity(),
                 "a suspended thread keeps more than its call and its cache can hold");
    give_all_back(pool_, held, who, log_);
  }

  void operate(unsigned number) {
    random_source random(number + 1);
    const holder who = number + 1;
    log_.heartbeat(number);
    for (std::size_t calls = 0; calls < plan_.operations && log_.clean();) {
      const std::size_t wanted = 1 + random.below(8);
      const auto held = take_until_refused(pool_, pool_.buffer_size(), who, log_, wanted);
      give_all_back(pool_, held, who, log_);
      calls += wanted + held.size();
      log_.require(plan_.refusals_allowed || held.size() == wanted,
                   "refused though buffers were free");
      log_.heartbeat(number);
    }
    log_.last_heartbeat(number);
  }

  static inline std::atomic<bool> parked_{false};
  static inline std::atomic<int> parked_at_{-1};

  Pool& pool_;
  const suspension_plan plan_;
  verdict& log_;
  std::array<int, 2> gate_{};
  struct sigaction before_ {};
  std::atomic<bool> begun_{false};
  std::atomic<bool> over_{false};
};

}  // namespace ringpool::stress
