// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "crew.hpp"
#include "random_source.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "stamp.hpp"

namespace ringpool::stress {

/// Two classes, of which the larger one lends `lends` buffers at most.
struct spill_plan {
  static constexpr std::size_t small_bytes = 64;
  static constexpr std::size_t large_bytes = 256;
  std::size_t small_count = 4;
  std::size_t large_count = 8;
  std::size_t lends = 3;
  unsigned threads = 4;
  std::size_t rounds = 100'000;
};

/// A buffer of a set; `lent`: of the larger class, to one who asked for the smaller one.
struct spill_item {
  void* data = nullptr;
  bool lent = false;
  bool small = false;
};

/// The library's set.
class real_set {
 public:
  explicit real_set(const spill_plan& plan, bool hardened = false)
      : pool_({{spill_plan::small_bytes, plan.small_count},
               {spill_plan::large_bytes, plan.large_count}},
              {.spill = {.class_count = 1, .buffer_limit = plan.lends},
               .upstream = nullptr,
               .hardened = hardened}) {}

  spill_item take(bool small) {
    void* const data = pool_.allocate(small ? spill_plan::small_bytes : spill_plan::large_bytes);
    const std::span<std::byte> large = pool_.classes()[1].ring_storage();
    const bool is_large = data >= large.data() && data < large.data() + large.size();
    return {data, small && is_large, small};
  }
  void give(const spill_item& one) { pool_.deallocate(one.data); }
  [[nodiscard]] std::uint64_t lent() const { return pool_.stats().classes[1].spill_in_use; }
  [[nodiscard]] multi_size_ring_pool& pool() { return pool_; }

 private:
  multi_size_ring_pool pool_;
};

/// The same of two pools alone and any budget: seeded bugs go into the budget.
template <class Budget>
class set_with_budget {
 public:
  explicit set_with_budget(const spill_plan& plan)
      : small_(spill_plan::small_bytes, plan.small_count),
        large_(spill_plan::large_bytes, plan.large_count),
        lends_(plan.lends) {}

  spill_item take(bool small) {
    if (!small) {
      return {large_.try_allocate(spill_plan::large_bytes), false, false};
    }
    if (void* const own = small_.try_allocate(spill_plan::small_bytes); own != nullptr) {
      return {own, false, true};
    }
    if (!budget_.try_take(lends_)) {
      return {};
    }
    void* const lent = large_.try_allocate(spill_plan::small_bytes);
    if (lent == nullptr) {
      budget_.give_back();
    }
    return {lent, lent != nullptr, true};
  }
  void give(const spill_item& one) {
    if (one.lent) {
      budget_.give_back();
    }
    (one.small && !one.lent ? small_ : large_).deallocate(one.data);
  }
  [[nodiscard]] std::uint64_t lent() const { return budget_.held(); }

 private:
  ring_buffer_pool small_;
  ring_buffer_pool large_;
  std::size_t lends_;
  Budget budget_;
};

/// Threads take of both classes and give back. No buffer has two owners, the larger class never
/// lends more than it may, not for a moment, and at the end it lends exactly that many again.
///
/// The count beside the set is of buffers that have been lent: at most what the budget holds.
template <class Set>
class spill_traffic {
 public:
  spill_traffic(Set& set, const spill_plan& plan, verdict& log)
      : set_(set), plan_(plan), log_(log) {}

  void run() {
    run_together(plan_.threads, [this](unsigned number) { work(number); });
    log_.require(set_.lent() == 0, "at rest the larger class still lends");
    require_exact();
  }
  [[nodiscard]] std::uint64_t spills() const { return spills_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t most() const { return most_.load(std::memory_order_relaxed); }

 private:
  void took(const spill_item& one, holder who) {
    claim(one.data, who, log_);
    if (one.lent) {
      const std::uint64_t now = lent_.fetch_add(1, std::memory_order_relaxed) + 1;
      log_.require(now <= plan_.lends, "the larger class lent more than it may");
      spills_.fetch_add(1, std::memory_order_relaxed);
      std::uint64_t seen = most_.load(std::memory_order_relaxed);
      while (seen < now && !most_.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
      }
    }
  }
  void give(const spill_item& one, holder who) {
    unclaim(one.data, who, log_);
    lent_.fetch_sub(one.lent ? 1 : 0, std::memory_order_relaxed);
    set_.give(one);
  }

  void work(unsigned number) {
    random_source random(number + 1);
    const holder who = number + 1;
    std::vector<spill_item> held;
    for (std::size_t round = 0; round < plan_.rounds && log_.clean(); ++round) {
      if (held.size() < 4 && random.below(2) == 0) {
        if (const spill_item one = set_.take(random.below(4) != 0); one.data != nullptr) {
          took(one, who);
          held.push_back(one);
        }
      } else if (!held.empty()) {
        std::swap(held[random.below(held.size())], held.back());
        give(held.back(), who);
        held.pop_back();
      }
      if (round % 256 == 0) {
        log_.heartbeat(number);
      }
    }
    for (const spill_item& one : held) {
      give(one, who);
    }
    log_.last_heartbeat(number);
  }

  /// One thread: as many small requests are served as there are small buffers and lent ones.
  void require_exact() {
    constexpr holder who = 0xA0D1;
    const std::size_t right = plan_.small_count + std::min(plan_.lends, plan_.large_count);
    std::vector<spill_item> held;
    for (spill_item one; held.size() <= right && (one = set_.take(true)).data != nullptr;) {
      took(one, who);
      held.push_back(one);
    }
    log_.require(held.size() >= right, "small requests were refused though the class may lend");
    log_.require(held.size() <= right, "more small requests were served than can be");
    for (const spill_item& one : held) {
      give(one, who);
    }
    log_.require(set_.lent() == 0, "what was lent last is still on the books");
  }

  Set& set_;
  spill_plan plan_;
  verdict& log_;
  std::atomic<std::uint64_t> lent_{0};
  std::atomic<std::uint64_t> spills_{0};
  std::atomic<std::uint64_t> most_{0};
};

}  // namespace ringpool::stress
