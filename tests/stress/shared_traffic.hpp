// SPDX-License-Identifier: MIT
#pragma once

//   worker 0 --- take, fill, share ---> held --- copy, slice, look, drop
//      |                                 ^
//      | a copy                          | a copy
//      v                                 |
//   board: places behind a mutex each ---+--- any worker
//
// Handles on one buffer live and die on all threads at once. Each knows what its bytes must be.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "books.hpp"
#include "broken_pools.hpp"
#include "crew.hpp"
#include "random_source.hpp"
#include "ringpool/shared_buffer.hpp"

namespace ringpool::stress {

struct shared_plan {
  unsigned threads = 4;
  std::size_t rounds = 20'000;  ///< things that each worker does
  std::size_t hold = 8;         ///< most handles of one worker
  std::size_t places = 4;       ///< of the board
  std::size_t size = 128;       ///< of a request, in bytes; whole words
};

template <class Pool>
class shared_traffic {
 public:
  shared_traffic(Pool& pool, const shared_plan& plan, verdict& log)
      : pool_(pool), plan_(plan), log_(log), board_(plan.places) {}

  /// Returns when all workers ended, every handle died, and the books were checked.
  void run() {
    run_together(plan_.threads, [this](unsigned number) { work(number); });
    board_.clear();
    if (log_.clean()) {
      require_whole(pool_, log_);
    }
  }

  [[nodiscard]] std::size_t owned_again() const { return owned_again_.load(); }

 private:
  using handle = basic_shared_buffer<Pool>;
  static constexpr std::size_t word_bytes = sizeof(std::uint64_t);

  /// A handle, and what its bytes are made of.
  struct parcel {
    handle shown;
    std::uint64_t serial = 0;
    std::size_t first_word = 0;
  };
  struct place {
    std::mutex mutex;
    parcel one;
  };
  struct worker {
    random_source random{0};
    std::uint64_t serial = 0;
    std::vector<parcel> held;
  };

  /// The place of a stamp stays zero: the books look at it in the end.
  static std::uint64_t word_at(std::uint64_t serial, std::size_t place) {
    return place < sizeof(stamp) / word_bytes ? 0 : payload_word(serial, place);
  }

  void work(unsigned number) {
    worker own;
    own.random = random_source(number + 1);
    own.serial = std::uint64_t{number} << 48;
    for (std::size_t round = 0; round < plan_.rounds && log_.clean(); ++round) {
      do_one(own);
      if (round % 256 == 0) {
        log_.heartbeat(number);
      }
    }
    while (!own.held.empty()) {
      drop(own);
    }
    log_.last_heartbeat(number);
  }

  void do_one(worker& own) {
    const std::uint64_t dice = own.random.below(16);
    if (own.held.size() >= plan_.hold) {
      drop(own);
    } else if (dice < 4) {
      take(own);
    } else if (dice < 7) {
      copy_from_board(own);
    } else if (own.held.empty()) {
      return;
    } else if (dice < 10) {
      copy_to_board(own);
    } else if (dice == 10) {
      slice(own);
    } else if (dice == 11) {
      become_owner(own);
    } else {
      drop(own);
    }
  }

  [[nodiscard]] parcel& any(worker& own) { return own.held[own.random.below(own.held.size())]; }

  /// The buffer's only owner writes to it.
  [[nodiscard]] parcel filled(worker& own, basic_buffer<Pool> one) {
    const std::uint64_t serial = ++own.serial;
    for (std::size_t i = 0; i < one.size() / word_bytes; ++i) {
      const std::uint64_t word = word_at(serial, i);
      std::memcpy(one.data() + i * word_bytes, &word, word_bytes);
    }
    return {handle(std::move(one)), serial, 0};
  }

  void look(const parcel& one) {
    for (std::size_t i = 0; i < one.shown.size() / word_bytes; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, one.shown.data() + i * word_bytes, word_bytes);
      if (word != word_at(one.serial, one.first_word + i)) {
        log_.violation("a shared buffer's bytes changed");
        return;
      }
    }
  }

  void take(worker& own) {
    if (basic_buffer<Pool> one = pool_.try_alloc(plan_.size)) {
      own.held.push_back(filled(own, std::move(one)));
    } else {
      std::this_thread::yield();  // others hold them all
    }
  }

  void copy_to_board(worker& own) {
    parcel copy = any(own);
    place& to = board_[own.random.below(board_.size())];
    {
      const std::lock_guard lock(to.mutex);
      std::swap(copy, to.one);
    }
    look(copy);
  }

  void copy_from_board(worker& own) {
    place& from = board_[own.random.below(board_.size())];
    parcel copy;
    {
      const std::lock_guard lock(from.mutex);
      copy = from.one;
    }
    if (copy.shown) {
      look(copy);
      own.held.push_back(std::move(copy));
    }
  }

  void slice(worker& own) {
    const parcel& of = any(own);
    const std::size_t words = of.shown.size() / word_bytes;
    const std::size_t first = own.random.below(words + 1);
    const std::size_t count = own.random.below(words - first + 1);
    parcel part{of.shown.slice(first * word_bytes, count * word_bytes), of.serial,
                of.first_word + first};
    log_.require(static_cast<bool>(part.shown), "a slice within its buffer was refused");
    look(part);
    own.held.push_back(std::move(part));
  }

  void become_owner(worker& own) {
    parcel& one = any(own);
    if (basic_buffer<Pool> whole = std::move(one.shown).unique()) {
      owned_again_.fetch_add(1, std::memory_order_relaxed);
      one = filled(own, std::move(whole));
    }
  }

  void drop(worker& own) {
    std::swap(any(own), own.held.back());
    look(own.held.back());
    own.held.pop_back();
  }

  Pool& pool_;
  const shared_plan plan_;
  verdict& log_;
  std::vector<place> board_;
  std::atomic<std::size_t> owned_again_{0};
};

/// A sound pool whose counts are on atomics that may be broken; knows what is out.
template <class Atomics>
class counted_pool : public mutex_pool {
 public:
  counted_pool(std::size_t buffer_size, std::size_t capacity, verdict& log)
      : mutex_pool(buffer_size, capacity), log_(log), counts_(capacity), out_(capacity) {
    while (void* const data = try_allocate(buffer_size)) {
      buffers_.push_back(static_cast<std::byte*>(data));
    }
    for (std::byte* const data : buffers_) {
      deallocate(data);
    }
    std::sort(buffers_.begin(), buffers_.end());
  }

  basic_buffer<counted_pool> try_alloc(std::size_t size) {
    auto* const data = static_cast<std::byte*>(try_allocate(size));
    if (data == nullptr) {
      return {};
    }
    const auto at = std::lower_bound(buffers_.begin(), buffers_.end(), data) - buffers_.begin();
    out_[static_cast<std::size_t>(at)].store(true, std::memory_order_relaxed);
    return {*this, data, size, slot_index{static_cast<std::uint32_t>(at)}};
  }

  void release(slot_index slot, std::byte* data, std::size_t /*bytes*/) noexcept {
    if (out_[to_number(slot)].exchange(false, std::memory_order_relaxed)) {
      deallocate(data);
    } else {
      log_.violation("a shared buffer was given back twice");
    }
  }
  auto* references_of(slot_index slot, const std::byte* /*data*/) noexcept {
    return &counts_[to_number(slot)];
  }
  void reject_slice(const std::byte* /*data*/) noexcept { log_.violation("a slice was rejected"); }
  void reject_copy(const std::byte* /*data*/) noexcept { log_.violation("a copy was rejected"); }

 private:
  verdict& log_;
  std::vector<detail::basic_reference_count<Atomics>> counts_;
  std::vector<std::atomic<bool>> out_;
  std::vector<std::byte*> buffers_;  // by address
};

}  // namespace ringpool::stress
