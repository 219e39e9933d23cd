// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "books.hpp"
#include "crew.hpp"
#include "random_source.hpp"
#include "ringpool/ringpool.hpp"
#include "stamp.hpp"
#include "verdict.hpp"

namespace ringpool::stress {

struct wait_plan {
  unsigned threads = 4;
  std::size_t meetings = 1'000;  ///< of all threads, at which nothing is held
  std::size_t rounds = 8;        ///< between two meetings
  std::size_t size = 64;
};

/// More threads than buffers: each waits, gets one, and gives it back; with deadlines that are met
/// and that are not, waiters that are cancelled, and passers-by that do not wait. At a meeting
/// everybody has ended its rounds: a lost wake-up is a thread that never comes.
template <class Pool>
class wait_traffic {
 public:
  wait_traffic(Pool& pool, const wait_plan& plan, verdict& log)
      : pool_(pool), plan_(plan), log_(log), meeting_(static_cast<std::ptrdiff_t>(plan.threads)) {}

  void run() {
    run_together(plan_.threads, [this](unsigned number) {
      random_source random(number + 1);
      for (std::size_t i = 0; i < plan_.meetings; ++i) {
        for (std::size_t round = 0; round < plan_.rounds; ++round) {
          step(number + 1, random);
          log_.heartbeat(number);
        }
        meeting_.arrive_and_wait();
      }
      log_.last_heartbeat(number);
    });
    require_whole(pool_, log_);
  }
  [[nodiscard]] std::uint64_t timeouts() const { return timeouts_.load(); }
  [[nodiscard]] std::uint64_t cancelled() const { return cancelled_.load(); }

 private:
  using duration = std::chrono::nanoseconds;

  void step(holder who, random_source& random) {
    switch (random.below(8)) {
      case 0: use(pool_.try_alloc(plan_.size), who); break;
      case 1:
        if (!use(pool_.alloc_for(plan_.size, duration(random.below(60'000))), who)) {
          timeouts_.fetch_add(1, std::memory_order_relaxed);
        }
        break;
      case 2: wait_and_cancel(who, random); break;
      default:
        log_.require(use(pool_.alloc_for(plan_.size, std::chrono::hours(1)), who),
                     "nothing within an hour");
    }
  }

  template <class Handle>
  bool use(Handle got, holder who) {
    if (got) {
      claim(got.data(), who, log_);
      std::this_thread::yield();
      unclaim(got.data(), who, log_);
    }
    return static_cast<bool>(got);
  }

  struct waiter : buffer_waiter {
    explicit waiter(std::size_t size)
        : buffer_waiter(size, [](buffer_waiter& self, buffer&& given) noexcept {
            static_cast<waiter&>(self).got = std::move(given);
            static_cast<waiter&>(self).served.store(true, std::memory_order_release);
          }) {}
    buffer got;
    std::atomic<bool> served{false};
  };

  void wait_and_cancel(holder who, random_source& random) {
    if constexpr (requires(waiter & one) { pool_.enqueue(one); }) {
      waiter one(plan_.size);
      log_.require(pool_.enqueue(one), "not to be served ever");
      for (std::uint64_t i = random.below(200); i > 0 && !one.served.load(); --i) {
      }
      if (one.cancel()) {
        log_.require(!one.served.load(), "cancelled, and served");
        cancelled_.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      while (!one.served.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
      use(std::move(one.got), who);
    }
  }

  Pool& pool_;
  wait_plan plan_;
  verdict& log_;
  std::barrier<> meeting_;
  std::atomic<std::uint64_t> timeouts_{0};
  std::atomic<std::uint64_t> cancelled_{0};
};

// ---- Seeded bugs --------------------------------------------------------------------------------

enum class wait_bug {
  none,
  no_second_look,     ///< who found nothing puts itself on the list, and sleeps
  keeps_late_buffer,  ///< who is served at its deadline leaves with nothing, and so does the buffer
};

/// A queue of sleepers in front of a pool, behind a mutex.
template <wait_bug Seeded>
class mutex_waiting_pool {
 public:
  mutex_waiting_pool(std::size_t size, std::size_t capacity)
      : pool_(size, capacity, {.upstream = nullptr}) {}

  /// A handle that looks for sleepers when it dies.
  class handle {
   public:
    handle() = default;
    handle(mutex_waiting_pool& home, buffer&& got) : home_(&home), got_(std::move(got)) {}
    handle(handle&&) = default;
    ~handle() {
      if (got_) {
        got_.reset();
        home_->wake();
      }
    }
    [[nodiscard]] std::byte* data() const { return got_.data(); }
    explicit operator bool() const { return static_cast<bool>(got_); }

   private:
    friend class mutex_waiting_pool;
    mutex_waiting_pool* home_ = nullptr;
    buffer got_;
  };

 private:
  struct sleeper {
    std::condition_variable woken;
    bool served = false;
    buffer got;
  };

 public:
  [[nodiscard]] handle try_alloc(std::size_t size) { return {*this, pool_.try_alloc(size)}; }
  [[nodiscard]] handle alloc_for(std::size_t size, std::chrono::nanoseconds timeout) {
    if (buffer got = pool_.try_alloc(size)) {
      return {*this, std::move(got)};
    }
    std::this_thread::yield();  // the moment in which a free finds nobody
    sleeper self;
    std::unique_lock lock(mutex_);
    if (Seeded != wait_bug::no_second_look) {
      if (buffer got = pool_.try_alloc(size)) {
        return {*this, std::move(got)};
      }
    }
    sleepers_.push_back(&self);
    const bool served = self.woken.wait_for(lock, timeout, [&] { return self.served; });
    if (!served) {
      sleepers_.remove(&self);
    }
    if (Seeded == wait_bug::keeps_late_buffer && timeout < std::chrono::minutes(1)) {
      (void)self.got.release();
    }
    return {*this, std::move(self.got)};
  }
  [[nodiscard]] pool_stats stats() const { return pool_.stats(); }
  [[nodiscard]] void* try_allocate(std::size_t size) { return pool_.try_allocate(size); }
  void deallocate(void* pointer) { pool_.deallocate(pointer); }

 private:
  void wake() {
    const std::lock_guard lock(mutex_);
    while (!sleepers_.empty()) {
      sleeper& oldest = *sleepers_.front();
      oldest.got = pool_.try_alloc(1);
      if (!oldest.got) {
        return;
      }
      oldest.served = true;
      sleepers_.pop_front();
      oldest.woken.notify_one();
    }
  }

  ring_buffer_pool pool_;
  std::mutex mutex_;
  std::list<sleeper*> sleepers_;
};

}  // namespace ringpool::stress
