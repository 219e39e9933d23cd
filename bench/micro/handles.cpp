// SPDX-License-Identifier: MIT
//
// The mode `--handles`: what handles cost beside the same written by hand, in one process, round by
// round in random order, with pass or short for each. CPU time of the thread: others may use the
// machine too.

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <functional>
#include <latch>
#include <mutex>
#include <random>
#include <ringpool/ringpool.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "micro.hpp"

namespace {

using ringpool::ring_buffer_pool;

constexpr std::size_t buffer_bytes = 512;
constexpr std::size_t pieces = 8;
constexpr int rounds = 21;

double thread_cpu_ns() {
  std::timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// ns of one turn, of so many, after a tenth of them.
template <class Turn>
double ns_each(int turns, Turn turn) {
  for (int i = 0; i < turns / 10; ++i) {
    turn();
  }
  const double start = thread_cpu_ns();
  for (int i = 0; i < turns; ++i) {
    turn();
  }
  return (thread_cpu_ns() - start) / turns;
}

// ---- One more owner, and one less ---------------------------------------------------------------

/// A pointer with a count beside the bytes: the least that can be had with atomics.
class counted_pointer {
 public:
  struct block {
    std::atomic<std::uint32_t> owners{1};
    std::array<std::byte, buffer_bytes> bytes;
  };
  explicit counted_pointer(block& one) : block_(&one) {}
  counted_pointer(const counted_pointer& other) : block_(other.block_) {
    block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  counted_pointer& operator=(const counted_pointer&) = delete;
  ~counted_pointer() {
    if (block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      dead = true;
    }
  }
  static inline bool dead = false;

 private:
  block* block_;
};

double copy_ours() {
  ring_buffer_pool pool(buffer_bytes, 64);
  const ringpool::shared_buffer one = pool.alloc(buffer_bytes);
  return ns_each(200'000, [&] {
    ringpool::shared_buffer copy(one);
    bench::escape(copy);
  });
}
double copy_by_hand() {
  counted_pointer::block memory;
  const counted_pointer one(memory);
  return ns_each(200'000, [&] {
    counted_pointer copy(one);
    bench::escape(copy);
  });
}

// ---- Eight buffers, as iovecs -------------------------------------------------------------------

/// Both take eight buffers, share, view and drop them; what differs is what holds them.
double eight_in_a_chain() {
  ringpool::multi_size_ring_pool pool({{buffer_bytes, 64}, {1024, 64}});
  std::array<::iovec, pieces> parts;
  return ns_each(20'000, [&] {
    ringpool::buffer_chain chain(pool);
    for (std::size_t i = 0; i < pieces; ++i) {
      static_cast<void>(chain.append(pool.alloc(buffer_bytes)));
    }
    static_cast<void>(chain.iovecs(parts));
    bench::escape(parts);
  });
}
double eight_in_an_array() {
  ringpool::multi_size_ring_pool pool({{buffer_bytes, 64}, {1024, 64}});
  std::array<::iovec, pieces> parts;
  return ns_each(20'000, [&] {
    std::array<ringpool::shared_buffer, pieces> held;
    for (std::size_t i = 0; i < pieces; ++i) {
      held[i] = pool.alloc(buffer_bytes);
    }
    for (std::size_t i = 0; i < pieces; ++i) {
      parts[i] = {const_cast<std::byte*>(held[i].data()), held[i].size()};
    }
    bench::escape(parts);
  });
}

// ---- A coroutine waits, and is woken ------------------------------------------------------------

struct detached {
  struct promise_type {
    static detached get_return_object() noexcept { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    static void unhandled_exception() noexcept { std::terminate(); }
  };
};

detached wait_and_wait(ring_buffer_pool& pool, ringpool::buffer& held, const bool& over) {
  while (!over) {
    held = co_await pool.async_alloc(1);
  }
}
double wake_ours() {
  ring_buffer_pool pool(buffer_bytes, 1, {.upstream = nullptr});
  ringpool::buffer held = pool.alloc(1);
  bool over = false;
  wait_and_wait(pool, held, over);
  const double each = ns_each(20'000, [&] { ringpool::buffer(std::move(held)).reset(); });
  over = true;
  ringpool::buffer(std::move(held)).reset();
  return each;
}

/// Buffers and who waits for them, under a mutex.
class mutex_pool {
 public:
  struct awaitable {
    mutex_pool& pool;
    void* got = nullptr;
    std::coroutine_handle<> waiting{};
    static bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> coroutine) {
      const std::lock_guard lock(pool.mutex_);
      if (!pool.free_.empty()) {
        got = pool.free_.back();
        pool.free_.pop_back();
        return false;
      }
      waiting = coroutine;
      pool.waiters_.push_back(this);
      return true;
    }
    [[nodiscard]] void* await_resume() const noexcept { return got; }
  };
  awaitable async_alloc() { return {*this}; }
  void free(void* memory) {
    awaitable* first = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (waiters_.empty()) {
        free_.push_back(memory);
        return;
      }
      first = waiters_.front();
      waiters_.pop_front();
    }
    first->got = memory;
    first->waiting.resume();
  }

 private:
  std::mutex mutex_;
  std::vector<void*> free_;
  std::deque<awaitable*> waiters_;
};

detached wait_and_wait(mutex_pool& pool, void*& held, const bool& over) {
  while (!over) {
    held = co_await pool.async_alloc();
  }
}
double wake_by_hand() {
  mutex_pool pool;
  std::array<std::byte, buffer_bytes> memory;
  void* held = memory.data();
  bool over = false;
  wait_and_wait(pool, held, over);
  const double each = ns_each(20'000, [&] { pool.free(std::exchange(held, nullptr)); });
  over = true;
  pool.free(held);
  return each;
}

// ---- Rounds and the table -----------------------------------------------------------------------

struct comparison {
  const char* what;
  const char* by_hand;
  double (*ours)();
  double (*theirs)();
  double target_ns;
  bool beyond;  ///< the target is for ours less theirs
  std::vector<double> our_ns{};
  std::vector<double> their_ns{};
};

double median(std::vector<double> all) {
  std::nth_element(all.begin(), all.begin() + rounds / 2, all.end());
  return all[rounds / 2];
}

int run(int argc, char** /*argv*/) {
  if (argc > 1) {
    fmt::print(stderr, "--handles takes no further options\n");
    return 2;
  }
  bench::pin_this_thread(bench::first_processors().front());
  std::latch leave(1);
  std::thread other([&] { leave.wait(); });  // without one, mutexes and counts are cheaper

  std::array all{
      comparison{"copy of a shared_buffer, and its drop", "pointer and atomic count", copy_ours,
                 copy_by_hand, 6, false},
      comparison{"8 buffers appended, as iovecs: the chain's own", "std::array of the handles",
                 eight_in_a_chain, eight_in_an_array, 40, true},
      comparison{"async_alloc waits, a free wakes it", "mutex, deque of coroutines", wake_ours,
                 wake_by_hand, 1500, false},
  };
  std::vector<std::function<void()>> turns;
  for (comparison& one : all) {
    turns.emplace_back([&one] { one.our_ns.push_back(one.ours()); });
    turns.emplace_back([&one] { one.their_ns.push_back(one.theirs()); });
  }
  std::mt19937 random(1);
  for (int round = 0; round < rounds; ++round) {
    std::shuffle(turns.begin(), turns.end(), random);
    for (const std::function<void()>& turn : turns) {
      turn();
    }
  }
  leave.count_down();
  other.join();

  fmt::print("ns of CPU time, medians of {} rounds (least)\n\n", rounds);
  fmt::print("{:<48}{:>14}  {:<28}{:>14}{:>8}{:>10}\n", "", "ours", "by hand", "", "ratio",
             "target");
  for (const comparison& one : all) {
    const double ours = median(one.our_ns);
    const double theirs = median(one.their_ns);
    const double judged = one.beyond ? ours - theirs : ours;
    fmt::print("{:<48}{:>14}  {:<28}{:>14}{:>8.2f}{:>10}  {}\n", one.what,
               fmt::format("{:.1f} ({:.1f})", ours, *std::ranges::min_element(one.our_ns)),
               one.by_hand,
               fmt::format("{:.1f} ({:.1f})", theirs, *std::ranges::min_element(one.their_ns)),
               ours / theirs, fmt::format("{}{:.0f}", one.beyond ? "+" : "", one.target_ns),
               judged <= one.target_ns ? "pass" : "short");
  }
  return counted_pointer::dead ? 0 : 1;  // nothing above was optimised away
}

const bool added = (bench::handles() = run) != nullptr;

}  // namespace
