// SPDX-License-Identifier: MIT
#pragma once

// Pools with one seeded bug each, over one correct and simple pool behind a mutex. What they get
// wrong is what real pools were shipped with.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ringpool/stats.hpp"

namespace ringpool::stress {

/// Correct, exact, and blocking: whoever is suspended inside a call stops everybody.
class mutex_pool {
 public:
  mutex_pool(std::size_t buffer_size, std::size_t capacity)
      : buffer_size_(buffer_size),
        capacity_(capacity),
        memory_(std::make_unique<std::uint64_t[]>(buffer_size / 8 * capacity)) {
    for (std::size_t i = 0; i < capacity; ++i) {
      free_.push_back(&memory_[buffer_size / 8 * i]);
    }
  }

  void* try_allocate(std::size_t /*size*/) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      return nullptr;
    }
    void* data = free_.back();
    free_.pop_back();
    ++allocs_;
    return data;
  }
  void* allocate(std::size_t size) { return try_allocate(size); }
  void deallocate(void* data) {
    const std::lock_guard lock(mutex_);
    free_.push_back(data);
    ++frees_;
  }

  [[nodiscard]] pool_stats stats() const {
    const std::lock_guard lock(mutex_);
    pool_stats now;
    now.buffer_size = buffer_size_;
    now.ring_size = capacity_;
    now.alloc_count = allocs_;
    now.free_count = frees_;
    now.available = free_.size();
    now.in_use = allocs_ - frees_;
    return now;
  }
  [[nodiscard]] std::size_t buffer_size() const { return buffer_size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  const std::size_t buffer_size_;
  const std::size_t capacity_;
  std::unique_ptr<std::uint64_t[]> memory_;
  mutable std::mutex mutex_;
  std::vector<void*> free_;
  std::uint64_t allocs_ = 0;
  std::uint64_t frees_ = 0;
};

/// True for one call in `odds`, of all threads together.
class now_and_then {
 public:
  explicit now_and_then(std::uint64_t odds) : odds_(odds) {}
  bool operator()() { return (calls_.fetch_add(1, std::memory_order_relaxed) + 1) % odds_ == 0; }

 private:
  const std::uint64_t odds_;
  std::atomic<std::uint64_t> calls_{0};
};

/// Frees a buffer twice now and then.
class twice_freeing_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void deallocate(void* data) {
    mutex_pool::deallocate(data);
    if (bug_()) {
      mutex_pool::deallocate(data);
    }
  }

 private:
  now_and_then bug_{1000};
};

/// Forgets a freed buffer now and then, and counts it as free.
class losing_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void deallocate(void* data) {
    if (bug_()) {
      lost_.fetch_add(1, std::memory_order_relaxed);
    } else {
      mutex_pool::deallocate(data);
    }
  }
  [[nodiscard]] pool_stats stats() const {
    pool_stats now = mutex_pool::stats();
    now.free_count += lost_.load(std::memory_order_relaxed);
    now.available = now.ring_size;
    now.in_use = 0;
    return now;
  }

 private:
  now_and_then bug_{1000};
  std::atomic<std::uint64_t> lost_{0};
};

/// Does not count some allocations.
class miscounting_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  [[nodiscard]] pool_stats stats() const {
    pool_stats now = mutex_pool::stats();
    now.alloc_count -= now.alloc_count / 1000;
    return now;
  }
};

/// Refuses now and then though buffers are free.
class nervous_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void* try_allocate(std::size_t size) { return bug_() ? nullptr : mutex_pool::try_allocate(size); }

 private:
  now_and_then bug_{5000};
};

/// Clears a buffer's payload after it has been given back: whoever has it by then loses data.
class late_clearing_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void deallocate(void* data) {
    mutex_pool::deallocate(data);
    if (bug_()) {
      std::this_thread::yield();
      auto* words = static_cast<std::uint64_t*>(data);
      for (std::size_t i = 4; i < buffer_size() / 8; ++i) {  // behind the stamp
        std::atomic_ref(words[i]).store(0, std::memory_order_relaxed);
      }
    }
  }

 private:
  now_and_then bug_{16};
};

/// The cache of a thread is a vector of its own, and nobody else ever looks there: what idle
/// threads cache cannot be had, and what dead threads cached is lost. Well-known pools are built
/// like this.
class stranding_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void* try_allocate(std::size_t size) {
    if (cache().empty()) {
      return mutex_pool::try_allocate(size);
    }
    void* data = cache().back();
    cache().pop_back();
    return data;
  }
  void deallocate(void* data) {
    if (cache().size() < capacity() / 4 + 1) {
      cache().push_back(data);
    } else {
      mutex_pool::deallocate(data);
    }
  }

 private:
  static std::vector<void*>& cache() {
    thread_local std::vector<void*> own;
    return own;
  }
};

/// Two counters over an array of places, called a free list: a place that is not ready is skipped,
/// and with it goes its buffer's turn, or the buffer.
class two_counter_pool : public mutex_pool {
 public:
  two_counter_pool(std::size_t buffer_size, std::size_t capacity)
      : mutex_pool(buffer_size, capacity), places_(capacity) {
    for (auto& place : places_) {
      place.store(mutex_pool::try_allocate(buffer_size), std::memory_order_relaxed);
    }
  }
  void* try_allocate(std::size_t /*size*/) {
    return next(head_).exchange(nullptr, std::memory_order_acq_rel);
  }
  void deallocate(void* data) {
    void* empty = nullptr;
    next(tail_).compare_exchange_strong(empty, data, std::memory_order_acq_rel,
                                        std::memory_order_relaxed);
  }
  [[nodiscard]] pool_stats stats() const {
    pool_stats now;
    now.buffer_size = buffer_size();
    now.ring_size = now.available = capacity();
    return now;
  }

 private:
  std::atomic<void*>& next(std::atomic<std::size_t>& counter) {
    return places_[counter.fetch_add(1, std::memory_order_relaxed) % capacity()];
  }
  std::vector<std::atomic<void*>> places_;
  std::atomic<std::size_t> head_{0};
  std::atomic<std::size_t> tail_{0};
};

/// A cache per thread without a mark that a call is under way: a signal handler that enters again
/// works on a half-done state.
class not_reentrant_pool : public mutex_pool {
 public:
  using mutex_pool::mutex_pool;
  void* try_allocate(std::size_t size) {
    stack& own = cache();
    const std::size_t level = own.level;
    if (level == 0) {
      return own.filled ? nullptr : fill_and_take(own, size);
    }
    void* data = own.items[level - 1];
    linger();
    own.level = level - 1;
    return data;
  }
  void deallocate(void* data) {
    stack& own = cache();
    const std::size_t level = own.level;
    if (level < own.items.size()) {
      own.items[level] = data;
      linger();
      own.level = level + 1;
    }
  }

 private:
  struct stack {
    volatile bool filled = false;
    volatile std::size_t level = 0;
    std::array<void* volatile, 64> items{};
  };
  /// Takes the thread's share once, outside of any handler.
  void* fill_and_take(stack& own, std::size_t size) {
    own.filled = true;
    for (std::size_t i = 0; i < 8; ++i) {
      own.items[i] = mutex_pool::try_allocate(size);
    }
    own.level = 7;
    return own.items[7];
  }
  static void linger() {
    for (int i = 0; i < 50; ++i) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
  }
  static stack& cache() {
    thread_local stack own;
    return own;
  }
};

}  // namespace ringpool::stress
