// SPDX-License-Identifier: MIT
#pragma once

// Pools with the seeded faults that stops at any instruction must bring to light.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ringpool/stats.hpp"

namespace ringpool::instruction {

/// What the victim asks of a pool beyond taking and giving one.
template <class Pool>
class simple_pool {
 public:
  simple_pool(std::size_t bytes, std::size_t capacity)
      : memory_(std::make_unique<std::uint64_t[]>(bytes / 8 * capacity)),
        stride_(bytes / 8),
        capacity_(capacity) {}

  void* allocate(std::size_t size) { return self().try_allocate(size); }
  std::size_t allocate_bulk(std::span<void*> out) {
    std::size_t count = 0;
    while (count < out.size() && (out[count] = self().try_allocate(1)) != nullptr) {
      ++count;
    }
    return count;
  }
  void deallocate_bulk(std::span<void* const> pointers) {
    for (void* const one : pointers) {
      self().deallocate(one);
    }
  }
  [[nodiscard]] pool_stats stats() const { return {}; }

 protected:
  [[nodiscard]] void* at(std::size_t number) const { return memory_.get() + number * stride_; }
  [[nodiscard]] std::size_t number_of(void* pointer) const {
    return static_cast<std::size_t>(static_cast<std::uint64_t*>(pointer) - memory_.get()) / stride_;
  }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  [[nodiscard]] Pool& self() { return static_cast<Pool&>(*this); }

  std::unique_ptr<std::uint64_t[]> memory_;
  std::size_t stride_;
  std::size_t capacity_;
};

/// A free list without any care for signal handlers.
class unguarded_pool : public simple_pool<unguarded_pool> {
 public:
  unguarded_pool(std::size_t bytes, std::size_t capacity) : simple_pool(bytes, capacity) {
    for (std::size_t i = 0; i < capacity; ++i) {
      free_[count_] = at(i);
      count_ = count_ + 1;
    }
  }
  void* try_allocate(std::size_t /*size*/) {
    const std::size_t count = count_;
    if (count == 0) {
      return nullptr;
    }
    void* const top = free_[count - 1];
    count_ = count - 1;
    return top;
  }
  void deallocate(void* pointer) {
    const std::size_t count = count_;
    if (count < free_.size()) {  // it may hold more than there are, by then
      free_[count] = pointer;
      count_ = count + 1;
    }
  }

 private:
  std::array<void*, 256> free_{};
  volatile std::size_t count_ = 0;
};

/// The same behind a spinlock: whoever is stopped inside stops everybody.
class spinlock_pool : public simple_pool<spinlock_pool> {
 public:
  spinlock_pool(std::size_t bytes, std::size_t capacity)
      : simple_pool(bytes, capacity), list_(bytes, capacity) {}
  void* try_allocate(std::size_t size) {
    lock();
    void* const one = list_.try_allocate(size);
    busy_.store(false, std::memory_order_release);
    return one;
  }
  void deallocate(void* pointer) {
    lock();
    list_.deallocate(pointer);
    busy_.store(false, std::memory_order_release);
  }

 private:
  void lock() {
    while (busy_.exchange(true, std::memory_order_acquire)) {
    }
  }
  std::atomic<bool> busy_{false};
  unguarded_pool list_;
};

/// A ring whose slots carry sequence numbers (as D. Vyukov's bounded queue of 2010 does): a taker
/// that is stopped between its ticket and its slot leaves a gap, before which pushers turn back;
/// and a pusher so stopped hides all that others have pushed behind it.
class sequenced_ring_pool : public simple_pool<sequenced_ring_pool> {
 public:
  sequenced_ring_pool(std::size_t bytes, std::size_t capacity)
      : simple_pool(bytes, capacity), cells_(capacity) {
    for (std::size_t i = 0; i < capacity; ++i) {
      cells_[i].sequence = i + 1;
      cells_[i].number = i;
    }
    tail_ = capacity;
  }
  void* try_allocate(std::size_t /*size*/) {
    std::uint64_t ticket = head_;
    for (;;) {
      cell& here = cells_[ticket % capacity()];
      const auto ahead = static_cast<std::int64_t>(here.sequence - (ticket + 1));
      if (ahead < 0) {
        return nullptr;
      }
      if (ahead == 0 && head_.compare_exchange_weak(ticket, ticket + 1)) {
        const std::size_t number = here.number;
        here.sequence = ticket + capacity();
        return at(number);
      }
      if (ahead > 0) {
        ticket = head_;
      }
    }
  }
  void deallocate(void* pointer) {
    std::uint64_t ticket = tail_;
    for (;;) {
      cell& here = cells_[ticket % capacity()];
      const auto ahead = static_cast<std::int64_t>(here.sequence - ticket);
      if (ahead == 0 && tail_.compare_exchange_weak(ticket, ticket + 1)) {
        here.number = number_of(pointer);
        here.sequence = ticket + 1;
        return;
      }
      if (ahead != 0) {
        ticket = tail_;
      }
    }
  }

 private:
  struct cell {
    std::atomic<std::uint64_t> sequence{0};
    std::size_t number = 0;
  };
  std::vector<cell> cells_;
  std::atomic<std::uint64_t> head_{0};
  std::atomic<std::uint64_t> tail_{0};
};

}  // namespace ringpool::instruction
