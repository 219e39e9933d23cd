// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <functional>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

namespace ringpool::stress {

/// Runs body(number) on `count` threads that start together, and returns when all have ended.
inline void run_together(unsigned count, const std::function<void(unsigned)>& body) {
  std::latch start(count);
  std::vector<std::jthread> threads;
  threads.reserve(count);
  for (unsigned number = 0; number < count; ++number) {
    threads.emplace_back([&, number] {
      start.arrive_and_wait();
      body(number);
    });
  }
}

/// The same without the common start: the first are at work while the last are being born.
inline void run_as_born(unsigned count, const std::function<void(unsigned)>& body) {
  std::vector<std::jthread> threads;
  threads.reserve(count);
  for (unsigned number = 0; number < count; ++number) {
    threads.emplace_back(body, number);
  }
}

/// Threads that have run `body` once and then sit idle until this object dies.
class idle_crew {
 public:
  idle_crew(unsigned count, const std::function<void(unsigned)>& body)
      : start_(count), settled_(count), leave_(1) {
    threads_.reserve(count);
    for (unsigned number = 0; number < count; ++number) {
      threads_.emplace_back([this, body, number] {
        start_.arrive_and_wait();
        body(number);
        settled_.count_down();
        leave_.wait();
      });
    }
    settled_.wait();
  }
  ~idle_crew() { leave_.count_down(); }
  idle_crew(const idle_crew&) = delete;
  idle_crew& operator=(const idle_crew&) = delete;

 private:
  std::latch start_;
  std::latch settled_;
  std::latch leave_;
  std::vector<std::jthread> threads_;  // joined first
};

/// One more thread that does `step` again and again until this object dies.
class background {
 public:
  explicit background(std::function<void()> step)
      : thread_([this, step = std::move(step)] {
          while (!over_.load(std::memory_order_relaxed)) {
            step();
          }
        }) {}
  ~background() {
    over_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  background(const background&) = delete;
  background& operator=(const background&) = delete;

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace ringpool::stress
