// SPDX-License-Identifier: MIT
#pragma once

//   worker 0 --- take, seal ---> hold --- verify, give
//      |                          |
//      |                          | hand over (ownership word, then mailbox)
//      v                          v
//   worker 1 <----------------- mailbox --- verify, give; the account of worker 0 is credited
//
// One stress body for every pool: it judges by itself whether what it was given is its own.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "books.hpp"
#include "crew.hpp"
#include "random_source.hpp"
#include "stamp.hpp"

namespace ringpool::stress {

/// What a traffic does to its pool.
struct traffic_plan {
  unsigned threads = 4;
  std::size_t takes = 20'000;  ///< buffers that each worker gets, over all its lives
  unsigned hold = 8;           ///< most buffers on one worker's account
  std::vector<std::size_t> sizes = {64};
  bool bulk = true;               ///< several in one call, too
  bool hand_over = true;          ///< give buffers to other workers, who free them
  bool whole_chain = false;       ///< allocate: elastic and upstream as well as the ring
  bool refusals_allowed = false;  ///< the pool is smaller than what all want to hold
  unsigned lives = 1;             ///< threads that are, one after the other, one worker
  bool trims = false;             ///< one more thread calls trim() and decay()
};

/// A buffer on its way or held: raw, or in its handle.
struct parcel {
  void* data = nullptr;
  buffer handle;
};

/// Where others leave buffers for a worker.
class mailbox {
 public:
  /// False: full or closed, and `one` stays with the caller.
  bool put(parcel& one) {
    const std::lock_guard lock(mutex_);
    if (closed_ || parcels_.size() >= room) {
      return false;
    }
    parcels_.push_back(std::move(one));
    return true;
  }
  std::vector<parcel> take_all() {
    const std::lock_guard lock(mutex_);
    return std::exchange(parcels_, {});
  }
  /// The worker is about to end: what it can no longer receive must not stay on others' accounts.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  static constexpr std::size_t room = 4;
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<parcel> parcels_;
};

template <class Pool>
class traffic {
 public:
  traffic(Pool& pool, traffic_plan plan, verdict& log)
      : pool_(pool), plan_(std::move(plan)), log_(log), accounts_(plan_.threads) {}

  /// Returns when all workers ended, everything was given back, and the books were checked.
  void run() {
    std::optional<background> trimmer;
    if constexpr (requires { pool_.trim(); }) {
      if (plan_.trims) {
        trimmer.emplace([this] { trim(); });
      }
    }
    run_together(plan_.threads, [this](unsigned number) { live(number); });
    trimmer.reset();
    if (log_.clean()) {
      require_whole(pool_, log_);
    }
  }

  [[nodiscard]] std::size_t refusals() const { return refusals_.load(); }

 private:
  struct alignas(contended_line_bytes) account {
    std::atomic<unsigned> outstanding{0};
    mailbox box;
    random_source random{0};
    std::uint64_t serial = 0;
    std::size_t taken = 0;
    std::vector<parcel> held;
  };

  static holder name_of(unsigned number) { return number + 1; }

  /// A worker's lives: each but the last ends with the thread, its buffers and its cache remain.
  void live(unsigned number) {
    account& own = accounts_[number];
    own.random = random_source(number + 1);
    log_.heartbeat(number);
    for (unsigned life = 1; life < plan_.lives; ++life) {
      std::jthread([&] { work(number, plan_.takes / plan_.lives * life); });
    }
    work(number, plan_.takes);
    own.box.close();
    receive(number);
    while (!own.held.empty()) {
      give(number);
    }
    log_.last_heartbeat(number);
  }

  /// Until the worker got `goal` buffers in all its lives.
  void work(unsigned number, std::size_t goal) {
    account& own = accounts_[number];
    while (own.taken < goal && log_.clean()) {
      const std::uint64_t dice = own.random.below(16);
      if (dice < 6) {
        take(number, dice);
      } else if (dice == 6 && plan_.bulk) {
        take_bulk(number);
      } else if (dice < 9 && plan_.hand_over) {
        hand_over(number);
      } else if (dice == 9 && plan_.bulk) {
        give_bulk(number);
      } else if (dice == 10) {
        receive(number);
      } else {
        give(number);
      }
    }
  }

  /// Nothing to be had now: what this worker sits on, others may be waiting for.
  void make_way(unsigned number) {
    receive(number);
    give(number);
    std::this_thread::yield();
  }

  [[nodiscard]] unsigned allowance(unsigned number) const {
    const unsigned out = accounts_[number].outstanding.load(std::memory_order_acquire);
    return plan_.hold - std::min(out, plan_.hold);
  }

  void take(unsigned number, std::uint64_t dice) {
    account& own = accounts_[number];
    if (allowance(number) == 0) {
      make_way(number);
      return;
    }
    const std::size_t size = plan_.sizes[own.random.below(plan_.sizes.size())];
    parcel one;
    if (plan_.whole_chain) {
      one.data = pool_.allocate(size);
    } else if (dice < 3) {
      one.data = pool_.try_allocate(size);
    } else {
      take_handle(one, size);
    }
    if (one.data == nullptr) {
      refused(number);
      return;
    }
    accept(number, std::move(one), size);
  }

  /// As a handle where the pool has them; some are turned into raw pointers.
  void take_handle(parcel& one, std::size_t size) {
    if constexpr (requires { pool_.try_alloc(size); }) {
      one.handle = pool_.try_alloc(size);
      one.data = one.handle.data();
      if (size % 3 == 0) {
        (void)one.handle.release();
      }
    } else {
      one.data = pool_.try_allocate(size);
    }
  }

  void take_bulk(unsigned number) {
    account& own = accounts_[number];
    void* out[16];
    const std::size_t wanted = std::min<std::size_t>(allowance(number), std::size(out));
    if (wanted == 0) {
      return;
    }
    std::size_t size = plan_.sizes[own.random.below(plan_.sizes.size())];
    const std::span<void*> room(out, wanted);
    std::size_t got = 0;
    if constexpr (requires { pool_.allocate_bulk(size, room); }) {
      got = pool_.allocate_bulk(size, room);
    } else if constexpr (requires { pool_.allocate_bulk(room); }) {
      got = pool_.allocate_bulk(room);
      size = std::min(size, pool_.buffer_size());
    } else {  // a pool without bulk calls
      while (got < wanted && (out[got] = pool_.try_allocate(size)) != nullptr) {
        ++got;
      }
    }
    for (std::size_t i = 0; i < got; ++i) {
      accept(number, parcel{out[i], {}}, size);
    }
    if (got < wanted) {
      refused(number);
    }
  }

  void refused(unsigned number) {
    refusals_.fetch_add(1, std::memory_order_relaxed);
    log_.require(plan_.refusals_allowed, "refused though buffers were free");
    make_way(number);
  }

  void accept(unsigned number, parcel&& one, std::size_t size) {
    account& own = accounts_[number];
    claim(one.data, name_of(number), log_);
    seal(one.data, size, own.serial++ << 8 | number);
    stamp_of(one.data).payer = number;
    own.outstanding.fetch_add(1, std::memory_order_relaxed);
    if (++own.taken % 256 == 0) {
      log_.heartbeat(number);
    }
    own.held.push_back(std::move(one));
  }

  /// Takes a held buffer out of the worker's hands: any, not only the last.
  [[nodiscard]] parcel pick(account& own) {
    std::swap(own.held[own.random.below(own.held.size())], own.held.back());
    parcel one = std::move(own.held.back());
    own.held.pop_back();
    return one;
  }

  /// Ends the ownership of a buffer that is about to be given back. The payer, to be credited.
  [[nodiscard]] account* sign_off(void* data, holder who) {
    verify(data, log_);
    const std::uint32_t payer = stamp_of(data).payer;
    unclaim(data, who, log_);
    return &accounts_[payer < accounts_.size() ? payer : 0];
  }

  void give(unsigned number) {
    account& own = accounts_[number];
    if (own.held.empty()) {
      return;
    }
    give_back(pick(own), name_of(number));
  }

  void give_back(parcel one, holder who) {
    account* const payer = sign_off(one.data, who);
    if (one.handle) {
      one.handle.reset();
    } else {
      pool_.deallocate(one.data);
    }
    payer->outstanding.fetch_sub(1, std::memory_order_release);
  }

  void give_bulk(unsigned number) {
    account& own = accounts_[number];
    if constexpr (requires(std::span<void* const> some) { pool_.deallocate_bulk(some); }) {
      void* pointers[16];
      account* payers[16];
      std::size_t count = 0;
      while (count < std::size(pointers) && !own.held.empty()) {
        parcel one = pick(own);
        payers[count] = sign_off(one.data, name_of(number));
        (void)one.handle.release();
        pointers[count++] = one.data;
      }
      pool_.deallocate_bulk({pointers, count});
      for (std::size_t i = 0; i < count; ++i) {
        payers[i]->outstanding.fetch_sub(1, std::memory_order_release);
      }
    }
  }

  void hand_over(unsigned number) {
    account& own = accounts_[number];
    if (own.held.empty() || plan_.threads == 1) {
      return;
    }
    const auto step = 1 + own.random.below(plan_.threads - 1);
    const auto to = static_cast<unsigned>((number + step) % plan_.threads);
    parcel one = pick(own);
    void* const data = one.data;
    pass(data, name_of(number), in_the_mail(to), log_);
    if (!accounts_[to].box.put(one)) {
      pass(data, in_the_mail(to), name_of(number), log_);
      own.held.push_back(std::move(one));
    }
  }

  void receive(unsigned number) {
    for (parcel& one : accounts_[number].box.take_all()) {
      give_back(std::move(one), in_the_mail(number));
    }
  }
  static holder in_the_mail(unsigned to) { return 0x10000 + to; }

  void trim() {
    pool_.trim();
    pool_.decay();
    std::this_thread::yield();
  }

  Pool& pool_;
  const traffic_plan plan_;
  verdict& log_;
  std::vector<account> accounts_;
  std::atomic<std::size_t> refusals_{0};
};

}  // namespace ringpool::stress
