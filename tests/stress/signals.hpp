// SPDX-License-Identifier: MIT
#pragma once

// Threads that hammer a pool while signals interrupt them anywhere; the handler uses the pool too.
// Each thread has two timers of its own: they fire while it runs, whoever else wants the processor.

#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "books.hpp"
#include "crew.hpp"
#include "scale.hpp"

namespace ringpool::stress {

/// What the interrupted threads do.
enum class hammer : std::uint8_t {
  hits,     ///< one buffer to and fro
  batches,  ///< more than a cache holds, then all back: refill and flush
  bulk,     ///< the same by bulk calls
};

struct signal_plan {
  unsigned threads = 2;
  hammer what = hammer::hits;
  std::size_t batch = 64;           ///< buffers that a thread holds in turn; not for hits
  std::size_t deliveries = 50'000;  ///< handlers run in all
};

/// Two signals that do not mask each other, so that a handler is interrupted by the other's.
inline constexpr int outer_signal = SIGUSR1;
inline constexpr int inner_signal = SIGUSR2;

template <class Pool>
class signal_traffic {
 public:
  signal_traffic(Pool& pool, const signal_plan& plan, verdict& log)
      : pool_(pool), plan_(plan), log_(log) {}

  void run() {
    running_.store(this, std::memory_order_release);
    const handler_guard outer(outer_signal);
    const handler_guard inner(inner_signal);
    run_together(plan_.threads, [this](unsigned number) { work(number); });
    running_.store(nullptr, std::memory_order_release);
    if (log_.clean()) {
      require_whole(pool_, log_);
    }
  }

  [[nodiscard]] std::size_t handled() const { return handled_.load(); }
  [[nodiscard]] std::size_t served() const { return served_.load(); }

 private:
  class handler_guard {
   public:
    explicit handler_guard(int signal) : signal_(signal) {
      struct sigaction action {};
      action.sa_handler = &on_signal;
      action.sa_flags = SA_RESTART;
      ::sigaction(signal, &action, &before_);
    }
    ~handler_guard() { ::sigaction(signal_, &before_, nullptr); }
    handler_guard(const handler_guard&) = delete;
    handler_guard& operator=(const handler_guard&) = delete;

   private:
    int signal_;
    struct sigaction before_ {};
  };

  /// Sends `signal` to the calling thread every `period` nanoseconds, wherever it is.
  class thread_timer {
   public:
    thread_timer(int signal, long period, verdict& log) {
      struct sigevent event {};
      event.sigev_notify = SIGEV_THREAD_ID;
      event.sigev_signo = signal;
      event._sigev_un._tid = ::gettid();  // sigev_notify_thread_id, which glibc names since 2.38
      const itimerspec every{{0, period}, {0, period}};
      log.require(::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0 &&
                      ::timer_settime(timer_, 0, &every, nullptr) == 0,
                  "no timer");
    }
    ~thread_timer() { ::timer_delete(timer_); }
    thread_timer(const thread_timer&) = delete;
    thread_timer& operator=(const thread_timer&) = delete;

   private:
    timer_t timer_{};
  };

  static void on_signal(int signal) {
    if (auto* body = running_.load(std::memory_order_acquire); body != nullptr) {
      body->interrupt(signal);
    }
  }

  /// The handler: takes up to three buffers, checks that they are its own, gives them back.
  void interrupt(int signal) noexcept {
    const holder who = (signal == outer_signal ? 0x100U : 0x200U) + tls_number;
    std::array<void*, 3> held{};
    for (void*& data : held) {
      data = pool_.try_allocate(pool_.buffer_size());
      if (data != nullptr) {
        claim(data, who, log_);
        seal(data, pool_.buffer_size(), who);
        served_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    for (void* data : held) {
      if (data != nullptr) {
        verify(data, log_);
        unclaim(data, who, log_);
        pool_.deallocate(data);
      }
    }
    handled_.fetch_add(1, std::memory_order_relaxed);
  }

  void work(unsigned number) {
    tls_number = number;
    constexpr long period = under_sanitizer ? 200'000 : 20'000;
    const thread_timer outer(outer_signal, period, log_);
    std::optional<thread_timer> inner;
    if (!under_thread_sanitizer) {  // its runtime loses the signal mask when two wait at a time
      inner.emplace(inner_signal, period * 3 / 2 + 700, log_);
    }
    while (handled_.load(std::memory_order_relaxed) < plan_.deliveries && log_.clean()) {
      turn(number + 1);
      log_.heartbeat(number);
    }
    log_.last_heartbeat(number);
  }

  void turn(holder who) {
    if (plan_.what == hammer::bulk) {
      turn_in_bulk(who);
      return;
    }
    const std::size_t wanted = plan_.what == hammer::hits ? 1 : plan_.batch;
    for (int i = 0; i < 8; ++i) {
      const auto held = take_until_refused(pool_, pool_.buffer_size(), who, log_, wanted);
      give_all_back(pool_, held, who, log_);
    }
  }

  void turn_in_bulk(holder who) {
    if constexpr (requires(std::span<void*> out) { pool_.allocate_bulk(out); }) {
      std::vector<void*> held(plan_.batch);
      held.resize(pool_.allocate_bulk(held));
      for (void* data : held) {
        claim(data, who, log_);
      }
      for (void* data : held) {
        unclaim(data, who, log_);
      }
      pool_.deallocate_bulk(held);
    }
  }

  static inline std::atomic<signal_traffic*> running_{nullptr};
  static inline constinit thread_local unsigned tls_number = 0;

  Pool& pool_;
  const signal_plan plan_;
  verdict& log_;
  std::atomic<std::size_t> handled_{0};
  std::atomic<std::size_t> served_{0};
};

}  // namespace ringpool::stress
