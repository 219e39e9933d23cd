// SPDX-License-Identifier: MIT
#pragma once

// One stress body for bags of free indices: the ring alone, the caches over a ring, and either of
// them on atomics or thread slots with a seeded bug.

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "crew.hpp"
#include "random_source.hpp"
#include "ringpool/detail/index_cache_impl.hpp"
#include "ringpool/detail/index_ring_impl.hpp"
#include "verdict.hpp"

namespace ringpool::stress {

/// A ring as the body sees it: pop fills from the front and tells how many, push gives back.
template <class Policy>
class ring_bag {
 public:
  explicit ring_bag(std::size_t capacity, std::uint64_t first_cycle = 1)
      : entries_(std::make_unique<entry[]>(ring_type::entry_count(capacity))) {
    ring_.reset(entries_.get(), capacity, first_cycle);
  }
  [[nodiscard]] std::size_t capacity() const { return ring_.capacity(); }
  [[nodiscard]] std::size_t available() const { return ring_.available(); }
  [[nodiscard]] std::size_t pop(std::span<slot_index> out) { return ring_.pop_bulk(out); }
  void push(std::span<const slot_index> slots) { ring_.push_bulk(slots); }

 private:
  using ring_type = basic_index_ring<Policy>;
  using entry = typename ring_type::entry;
  std::unique_ptr<entry[]> entries_;
  ring_type ring_;
};

/// Zeroed pages, one slot_cache for every thread slot; committed as they are touched.
template <class Cache>
class cache_memory {
 public:
  cache_memory() : memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)) {
    if (memory_ == MAP_FAILED) {
      throw std::bad_alloc();
    }
  }
  ~cache_memory() { ::munmap(memory_, bytes); }
  cache_memory(const cache_memory&) = delete;
  cache_memory& operator=(const cache_memory&) = delete;
  [[nodiscard]] Cache* get() const { return static_cast<Cache*>(memory_); }

 private:
  static constexpr std::size_t bytes = sizeof(Cache) * detail::max_thread_slots;
  static constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory_;
};

/// Caches over a ring. The buffers' addresses are made up: nobody reads or writes them.
template <class Policy>
class cache_bag {
 public:
  cache_bag(std::size_t capacity, std::size_t limit, bool fenced)
      : entries_(std::make_unique<entry[]>(ring_type::entry_count(capacity))) {
    detail::prepare_thread_slots();
    const bool membarrier = detail::membarrier_available();
    ring_.reset(entries_.get(), capacity);
    cache_.reset(ring_, caches_.get(), limit, fenced || !membarrier);
  }
  [[nodiscard]] std::size_t capacity() const { return ring_.capacity(); }
  [[nodiscard]] std::size_t available() const { return ring_.available() + cache_.totals().cached; }
  [[nodiscard]] std::size_t pop(std::span<slot_index> out) {
    std::uintptr_t items[max_batch];
    std::size_t count = 0;
    if (out.size() == 1) {
      count = cache_.try_pop(items[0]) || cache_.pop(map_, items[0]) ? 1 : 0;
    } else {
      count = cache_.pop_bulk(map_, {items, out.size()});
    }
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = slot_index{static_cast<std::uint32_t>(map_.number_at(items[i]))};
    }
    return count;
  }
  void push(std::span<const slot_index> slots) {
    std::uintptr_t items[max_batch];
    for (std::size_t i = 0; i < slots.size(); ++i) {
      items[i] = map_.address_of(to_number(slots[i]));
    }
    if (slots.size() != 1) {
      cache_.push_bulk(map_, {items, slots.size()});
    } else if (!cache_.try_push(items[0])) {
      cache_.push(map_, items[0]);
    }
  }
  void drain() { cache_.drain(map_); }

 private:
  static constexpr std::size_t max_batch = 16;
  using cache_type = basic_index_cache<Policy>;
  using ring_type = typename cache_type::ring_type;
  using entry = typename ring_type::entry;

  const detail::slot_map map_ = detail::slot_map::make(0x100000, 64);
  std::unique_ptr<entry[]> entries_;
  cache_memory<typename cache_type::slot_cache> caches_;
  ring_type ring_;
  cache_type cache_;
};

struct index_plan {
  unsigned threads = 4;
  std::size_t rounds = 50'000;    ///< pops of each thread
  unsigned hold = 8;              ///< most indices a thread holds
  unsigned batch = 4;             ///< most in one call, at most 16
  bool refusals_allowed = false;  ///< else capacity >= threads * hold, and nobody may be refused
  bool drains = false;            ///< one more thread empties the caches now and then
  bool judges_refusals = false;   ///< marks calls, and judges refusals while nobody else is in one
};

/// What other threads can see of one thread's calls: odd while it is in one, and what it holds.
struct alignas(contended_line_bytes) call_mark {
  std::atomic<std::uint64_t> count{0};
  std::atomic<std::size_t> held{0};
};

/// Judges refusals: true, surely, only when nobody else was in a call from before the refused call
/// until after it. Sound, not complete: most refusals come while somebody is.
class refusal_judge {
 public:
  refusal_judge(unsigned threads, std::size_t capacity) : marks_(threads), capacity_(capacity) {}

  // seq_cst: a call has no effect before its mark can be seen
  void enter(unsigned number) { marks_[number].count.fetch_add(1, std::memory_order_seq_cst); }
  void leave(unsigned number, std::size_t held) {
    marks_[number].held.store(held, std::memory_order_relaxed);
    marks_[number].count.fetch_add(1, std::memory_order_seq_cst);
  }

  /// Even and unchanged sums mean: nobody else in a call. Odd marks are told by ~0.
  [[nodiscard]] std::uint64_t look_around(unsigned number) const {
    std::uint64_t sum = 0;
    for (unsigned other = 0; other < marks_.size(); ++other) {
      const std::uint64_t count =
          other == number ? 0 : marks_[other].count.load(std::memory_order_seq_cst);
      if ((count & 1) != 0) {
        return busy;
      }
      sum += count;
    }
    return sum;
  }
  /// `before`: what look_around said ahead of the refused call.
  void judge(unsigned number, std::uint64_t before, verdict& log) {
    std::size_t held = 0;
    for (const call_mark& one : marks_) {
      held += one.held.load(std::memory_order_relaxed);
    }
    if (before != busy && look_around(number) == before) {
      judged_.fetch_add(1, std::memory_order_relaxed);
      log.require(held == capacity_, "refused while some were free and nobody was in a call");
    }
  }
  [[nodiscard]] std::size_t judged() const { return judged_.load(); }

 private:
  static constexpr std::uint64_t busy = ~std::uint64_t{0};
  std::vector<call_mark> marks_;
  const std::size_t capacity_;
  std::atomic<std::size_t> judged_{0};
};

/// Threads pop and push; every index has an owner word and a plain note of its last holder.
template <class Bag>
class index_traffic {
 public:
  index_traffic(Bag& bag, const index_plan& plan, verdict& log)
      : bag_(bag),
        plan_(plan),
        log_(log),
        cells_(bag.capacity()),
        judge_(plan.threads, bag.capacity()) {}

  void run() {
    std::optional<background> drainer;
    if constexpr (requires { bag_.drain(); }) {
      if (plan_.drains) {
        drainer.emplace([this] {
          bag_.drain();
          std::this_thread::yield();
        });
      }
    }
    run_together(plan_.threads, [this](unsigned number) { work(number); });
    drainer.reset();
    if (log_.clean()) {
      count_all();
    }
  }
  [[nodiscard]] std::size_t refusals() const { return refusals_.load(); }
  [[nodiscard]] std::size_t judged_refusals() const { return judge_.judged(); }

 private:
  struct cell {
    std::atomic<std::uint32_t> owner{0};
    std::uint64_t note = 0;    // plain: the bag must order one holder after the other
    std::uint64_t mirror = 0;  // ~note once it was ever written
  };

  void work(unsigned number) {
    random_source random(number + 1);
    std::vector<slot_index> held;
    for (std::size_t round = 0; round < plan_.rounds && log_.clean(); ++round) {
      if (round % 256 == 0) {
        log_.heartbeat(number);
      }
      take(number, random, held);
      if (held.size() >= plan_.hold || random.one_in(2)) {
        give(number, 1 + random.below(plan_.batch), held);
      }
    }
    while (!held.empty() && log_.clean()) {
      give(number, plan_.batch, held);
    }
    log_.last_heartbeat(number);
  }

  void take(unsigned number, random_source& random, std::vector<slot_index>& held) {
    slot_index out[16];
    const std::size_t room = plan_.hold - held.size();
    const std::size_t wanted = std::min<std::size_t>(room, 1 + random.below(plan_.batch));
    const std::size_t count = pop(number, {out, wanted}, held.size());
    if (wanted != 0 && count == 0) {
      log_.require(plan_.refusals_allowed, "refused though indices were free");
      refusals_.fetch_add(1, std::memory_order_relaxed);
      give(number, 1, held);
      std::this_thread::yield();
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (claim_index(out[i], number)) {
        held.push_back(out[i]);
      }
    }
  }

  [[nodiscard]] std::size_t pop(unsigned number, std::span<slot_index> out, std::size_t held) {
    if (out.empty()) {
      return 0;
    }
    if (!plan_.judges_refusals) {
      return bag_.pop(out);
    }
    const std::uint64_t others = judge_.look_around(number);
    judge_.enter(number);
    const std::size_t count = bag_.pop(out);
    judge_.leave(number, held + count);
    if (count == 0) {
      judge_.judge(number, others, log_);
    }
    return count;
  }

  void push(unsigned number, std::span<const slot_index> slots, std::size_t held) {
    if (!plan_.judges_refusals) {
      bag_.push(slots);
      return;
    }
    judge_.enter(number);
    bag_.push(slots);
    judge_.leave(number, held);
  }

  [[nodiscard]] bool claim_index(slot_index slot, unsigned number) {
    if (to_number(slot) >= cells_.size()) {
      log_.violation("an index was given out that there is not");
      return false;
    }
    cell& one = cells_[to_number(slot)];
    // relaxed: the check must not order what the bag has to order
    if (one.owner.exchange(number + 1, std::memory_order_relaxed) != 0) {
      log_.violation("an index was given to two threads");
      return false;
    }
    log_.require(one.note == 0 || one.mirror == ~one.note, "a holder's writes were torn");
    return true;
  }

  void give(unsigned number, std::size_t count, std::vector<slot_index>& held) {
    slot_index out[16];
    count = std::min(count, held.size());
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = held.back();
      held.pop_back();
      cell& one = cells_[to_number(out[i])];
      one.note += number + 1;
      one.mirror = ~one.note;
      log_.require(one.owner.exchange(0, std::memory_order_relaxed) == number + 1,
                   "an index changed its owner while it was held");
    }
    if (count != 0) {
      push(number, {out, count}, held.size());
    }
  }

  /// At rest: all indices, each once, and not one more.
  void count_all() {
    log_.require(bag_.available() == bag_.capacity(), "not all indices are counted as free");
    std::vector<bool> seen(bag_.capacity());
    std::vector<slot_index> all;
    slot_index one{};
    while (all.size() <= seen.size() && bag_.pop({&one, 1}) == 1) {
      const bool fresh = to_number(one) < seen.size() && !seen[to_number(one)];
      if (!fresh) {
        log_.violation("an index came out twice, or there is no such index");
        return;
      }
      seen[to_number(one)] = true;
      all.push_back(one);
    }
    log_.require(all.size() == seen.size(), "indices were lost");
    log_.require(bag_.available() == 0, "free indices are counted where there are none");
    for (const slot_index slot : all) {
      bag_.push({&slot, 1});
    }
  }

  Bag& bag_;
  const index_plan plan_;
  verdict& log_;
  std::vector<cell> cells_;
  refusal_judge judge_;
  std::atomic<std::size_t> refusals_{0};
};

}  // namespace ringpool::stress
