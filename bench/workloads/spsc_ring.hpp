// SPDX-License-Identifier: MIT
#pragma once

// The channel of the hand-off: one producer, one consumer, bounded. Each side keeps a copy of the
// other's index and looks at the real one only when the copy says full or empty (as in
// rigtorp/SPSCQueue), so that the channel costs little beside what is sent through it.

#include <array>
#include <atomic>
#include <cstddef>
#include <utility>

namespace bench {

template <class T, std::size_t Capacity>
class spsc_ring {
 public:
  bool push(T&& item) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);  // own word
    if (tail - head_seen_ == Capacity) {
      head_seen_ = head_.load(std::memory_order_acquire);  // A1 <- R1
      if (tail - head_seen_ == Capacity) {
        return false;
      }
    }
    items_[tail % Capacity] = std::move(item);
    tail_.store(tail + 1, std::memory_order_release);  // R2 -> A2 (pop): the item
    return true;
  }

  bool pop(T& item) {
    const std::size_t head = head_.load(std::memory_order_relaxed);  // own word
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);  // A2 <- R2
      if (head == tail_seen_) {
        return false;
      }
    }
    item = std::move(items_[head % Capacity]);
    head_.store(head + 1, std::memory_order_release);  // R1 -> A1 (push): the place is free
    return true;
  }

 private:
  static constexpr std::size_t apart = 128;  // adjacent-line prefetchers move pairs of lines
  alignas(apart) std::atomic<std::size_t> head_{0};
  std::size_t tail_seen_ = 0;
  alignas(apart) std::atomic<std::size_t> tail_{0};
  std::size_t head_seen_ = 0;
  alignas(apart) std::array<T, Capacity> items_{};
};

}  // namespace bench
