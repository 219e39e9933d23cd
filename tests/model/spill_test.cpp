// SPDX-License-Identifier: MIT
//
// A class that lends buffers within a bound, and those who wait for it and for the class that
// borrows: the caches', the budget's and the queue's own sources, in all executions within small
// bounds. Nobody waits while he could be served, the bound holds, no buffer is lost. And the same
// programs on seeded bugs, each of which must be found.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bounded.hpp"
#include "programs.hpp"
#include "ringpool/detail/spill_budget.hpp"
#include "wait_policy.hpp"

namespace ringpool::model {
namespace {

using detail::wait_node;

enum class bug : std::uint8_t {
  none,
  leaves_the_gate_open,  ///< who waits for the borrower does not close the lender's gate
  serves_its_own_alone,  ///< a free looks for those who wait for the lender, and no others
  budget_after_look,     ///< a lent buffer's budget comes back after the look for waiters
  looks_no_more,         ///< a budget taken for nothing is given back without a look at the ring
  torn_budget,           ///< the look at the limit and the step beyond it are two
};

template <bug Seeded>
class budget {
 public:
  [[nodiscard]] bool try_take(std::uint64_t limit) {
    if (Seeded != bug::torn_budget) {
      return sound_.try_take(limit);
    }
    const bool room = torn_.load(detail::relaxed) < limit;
    if (room) {
      torn_.fetch_add(1, detail::relaxed);
    }
    return room;
  }
  void give_back() {
    if (Seeded != bug::torn_budget) {
      sound_.give_back();
    } else {
      torn_.fetch_sub(1, detail::relaxed);
    }
  }
  [[nodiscard]] std::uint64_t held() const {
    return Seeded == bug::torn_budget ? torn_.load(detail::relaxed) : sound_.held();
  }

 private:
  detail::basic_spill_budget<model::atomics> sound_;
  model::atomic<std::uint64_t> torn_{0};
};

/// 'a' takes a buffer of the lender, 'f' gives the oldest back; 's' takes one for the borrower, 'g'
/// gives the oldest back; 'W' waits for the lender, 'w' for the borrower, which has no buffers of
/// its own. What is delivered is kept.
struct spill_scripts {
  script_set pool;
  std::uint64_t limit = 1;
  std::string held_at_first{};  ///< the threads that begin with a buffer of the lender
  std::string lent_at_first{};  ///< with one that is lent
};

/// The steps of ring_buffer_pool and ring_buffer_pool_spill, over the caches.
template <bug Seeded>
class spill_program final : public program, private cached_pool {
 public:
  explicit spill_program(const spill_scripts& scripts)
      : cached_pool(scripts.pool),
        scripts_(scripts),
        owners_(scripts.pool.capacity),
        lender_queue_(1),
        borrower_queue_(1) {
    wait_policy::innermost = {};
    wait_policy::time = 0;
    ::new (lender_queue_.get()) model_queue;
    ::new (borrower_queue_.get()) model_queue;
    for (const char one : scripts.held_at_first) {
      begin_with(held_[static_cast<std::size_t>(one - '0')]);
    }
    for (const char one : scripts.lent_at_first) {
      require(budget_.try_take(scripts.limit), "the set-up lends what it may");
      begin_with(lent_[static_cast<std::size_t>(one - '0')]);
    }
  }

  [[nodiscard]] unsigned thread_count() const override {
    return static_cast<unsigned>(scripts_.pool.threads.size());
  }

  void run_thread(unsigned number) override {
    for (const char command : scripts_.pool.threads[number]) {
      slot_index one{};
      switch (command) {
        case 'a':
          if (pop(one)) {
            look();
            keep(one, held_[number]);
          }
          break;
        case 's':
          if (lend(one, true)) {
            keep(one, lent_[number]);
          }
          break;
        case 'f': give_oldest(held_[number], false); break;
        case 'g': give_oldest(lent_[number], true); break;
        case 'w': wait(borrower()); break;
        case 'W': wait(lender()); break;
        default: require(false, "a command that there is not");
      }
    }
  }

  void check_at_end(unsigned parked) override {
    require(parked == max_threads, "these programs stop nowhere");
    std::size_t lent = lent_to_waiters_;
    std::size_t held = held_by_waiters_;
    for (unsigned i = 0; i < thread_count(); ++i) {
      lent += lent_[i].size();
      held += held_[i].size();
    }
    require(lent <= scripts_.limit, "more was lent than may be");
    require(budget_.held() == lent, "the budget is not what is lent");
    std::size_t got = 0;
    for (slot_index one{}; got <= scripts_.pool.capacity && pop(one); ++got) {
    }
    for (const auto& one : waiters_) {
      require(one->now != wait_node::phase::served || one->delivered, "served, not delivered");
      const bool could = got != 0 && (!one->borrows || lent < scripts_.limit);
      require(one->now != wait_node::phase::waiting || !could, "somebody waits in vain");
    }
    require(held + lent + got == scripts_.pool.capacity, "a buffer is lost, or there twice");
  }

 private:
  struct waiter : wait_node {
    bool borrows = false;
    bool delivered = false;
  };
  struct gate {
    model_cache* cache;
    bool closes;
    void set_waited(bool waited) {
      if (closes) {
        cache->set_waited(waited);
      }
    }
    [[nodiscard]] bool settle() { return cache->settle(); }
  };
  struct side {
    model_queue* queue;
    bool borrows;
  };
  [[nodiscard]] side lender() { return {lender_queue_.get(), false}; }
  [[nodiscard]] side borrower() { return {borrower_queue_.get(), true}; }
  [[nodiscard]] gate gate_of(const side& one) {
    return {cache_.get(), !one.borrows || Seeded != bug::leaves_the_gate_open};
  }

  void begin_with(std::vector<slot_index>& where) {
    slot_index one{};
    require(pop(one), "the set-up takes what there is");
    where.push_back(one);
  }
  void keep(slot_index one, std::vector<slot_index>& where) {
    owners_.take(to_number(one));
    where.push_back(one);
  }

  [[nodiscard]] bool pop(slot_index& one) {
    std::uintptr_t item = 0;
    const bool got = cache_.get()->try_pop(item) || cache_.get()->pop(map_, item);
    one = got ? slot_at(item) : one;
    return got;
  }
  /// ring_buffer_pool::take_spilled and lend.
  [[nodiscard]] bool lend(slot_index& one, bool looks) {
    if (!looks) {
      model::full_fence();
    }
    do {
      if (!budget_.try_take(scripts_.limit)) {
        return false;
      }
      if (pop(one)) {
        if (looks) {
          look();
        }
        return true;
      }
      budget_.give_back();
      model::full_fence();
    } while (Seeded != bug::looks_no_more && !ring_.get()->empty());
    return false;
  }
  void give_oldest(std::vector<slot_index>& from, bool lent) {
    if (from.empty()) {
      return;
    }
    const slot_index one = from.front();
    from.erase(from.begin());
    owners_.leave(to_number(one));
    if (lent && Seeded != bug::budget_after_look) {
      budget_.give_back();
    }
    const std::uintptr_t item = map_.address_of(to_number(one));
    if (lent || !cache_.get()->try_push(item)) {
      cache_.get()->push(map_, item);
      look();
    }
    if (lent && Seeded == bug::budget_after_look) {
      budget_.give_back();
    }
  }

  void look() {
    if (cache_.get()->waited()) {
      if (Seeded == bug::serves_its_own_alone) {
        (void)serve(lender());
      } else {
        serve_family();
      }
    }
  }
  void serve_family() {
    for (bool again = true; again;) {
      again = false;
      for (const side& one : {lender(), borrower()}) {
        again = (cache_.get()->waited() && serve(one) != 0) || again;
      }
    }
  }
  std::size_t serve(const side& one) {
    std::size_t served = 0;
    gate closed = gate_of(one);
    one.queue->serve(closed, taker(one), [&](wait_node& node) {
      ++served;
      deliver(node);
    });
    return served;
  }
  void wait(const side& one) {
    waiters_.push_back(std::make_unique<waiter>());
    waiter& added = *waiters_.back();
    added.borrows = one.borrows;
    added.fits = true;
    added.weight = 1;
    gate closed = gate_of(one);
    (void)one.queue->add(added, closed, taker(one), [&](wait_node& node) { deliver(node); });
    serve_family();
  }
  [[nodiscard]] auto taker(const side& one) {
    return [this, borrows = one.borrows](wait_node& node) {
      return borrows ? lend(node.slot, false) : pop(node.slot);
    };
  }
  void deliver(wait_node& node) {
    auto& one = static_cast<waiter&>(node);
    require(one.now == wait_node::phase::served && !one.delivered, "delivered twice");
    one.delivered = true;
    owners_.take(to_number(one.slot));
    ++(one.borrows ? lent_to_waiters_ : held_by_waiters_);
  }

  spill_scripts scripts_;
  owners owners_;
  budget<Seeded> budget_;
  zeroed<model_queue> lender_queue_;
  zeroed<model_queue> borrower_queue_;
  std::array<std::vector<slot_index>, max_threads> held_;
  std::array<std::vector<slot_index>, max_threads> lent_;
  std::vector<std::unique_ptr<waiter>> waiters_;
  std::size_t lent_to_waiters_ = 0;
  std::size_t held_by_waiters_ = 0;
};

template <bug Seeded = bug::none>
[[nodiscard]] program_factory spills(const spill_scripts& scripts) {
  return [scripts] { return std::make_unique<spill_program<Seeded>>(scripts); };
}

const spill_scripts cached_free{{2, {"af", "w"}}, 1, "1", ""};
const spill_scripts budget_back{{2, {"g", "w"}}, 1, "", "0"};
const spill_scripts taken_for_nothing{{1, {"s", "f", "w"}}, 1, "1", ""};
const spill_scripts two_borrow{{2, {"s", "s"}}, 1, "", ""};

/// They are long: a fifth of the usual executions in `./test`.
[[nodiscard]] bounds few(unsigned preemptions, unsigned stale_loads) {
  bounds made = within(preemptions, stale_loads);
  made.executions = scaled(12'000);
  return made;
}

TEST(spill_model, the_bound_holds_and_comes_back) {
  expect_sound(spills(two_borrow), few(4, 2));
  expect_sound(spills({{2, {"sgs", "sg", "af"}}, 1, "", ""}), few(2, 0));
}

TEST(spill_model, a_free_in_the_lender_meets_one_who_begins_to_wait_for_the_borrower) {
  expect_sound(spills({{1, {"f", "w"}}, 1, "0", ""}), few(4, 2));
  expect_sound(spills(cached_free), few(3, 1));
}

TEST(spill_model, a_budget_that_comes_back_meets_one_who_begins_to_wait) {
  expect_sound(spills(budget_back), few(4, 2));
  expect_sound(spills({{2, {"g", "ww"}}, 1, "", "0"}), few(3, 1));
}

TEST(spill_model, a_budget_taken_for_nothing_keeps_nobody_asleep) {
  expect_sound(spills(taken_for_nothing), few(1, 0));
  expect_sound(spills(taken_for_nothing), few(3, 0));
}

TEST(spill_model, those_who_wait_for_the_lender_and_for_the_borrower_are_both_served) {
  expect_sound(spills({{2, {"ff", "w", "W"}}, 1, "00", ""}), few(2, 0));
  expect_sound(spills({{2, {"fg", "wW"}}, 1, "0", "0"}), few(3, 1));
}

// ---- Seeded bugs --------------------------------------------------------------------------------

template <bug Seeded>
[[nodiscard]] std::string violation_of(const spill_scripts& scripts, const bounds& limits) {
  const program_factory make = spills<Seeded>(scripts);
  const outcome found = explore(make, limits);
  if (!found.violation.empty()) {
    EXPECT_EQ(replay(make, limits, found.choices).violation, found.violation);
  }
  return found.violation;
}

TEST(model_twins, a_borrower_whose_waiters_leave_the_lenders_gate_open_is_found) {
  EXPECT_EQ(violation_of<bug::leaves_the_gate_open>(cached_free, within(3, 1)),
            "somebody waits in vain");
}

TEST(model_twins, a_lender_that_serves_its_own_waiters_alone_is_found) {
  EXPECT_EQ(violation_of<bug::serves_its_own_alone>({{1, {"f", "w"}}, 1, "0", ""}, within(3, 1)),
            "somebody waits in vain");
}

TEST(model_twins, a_budget_given_back_after_the_look_for_waiters_is_found) {
  EXPECT_EQ(violation_of<bug::budget_after_look>(budget_back, within(3, 1)),
            "somebody waits in vain");
}

TEST(model_twins, a_budget_taken_for_nothing_without_another_look_is_found) {
  EXPECT_EQ(violation_of<bug::looks_no_more>(taken_for_nothing, within(1, 0)),
            "somebody waits in vain");
}

TEST(model_twins, a_budget_of_which_look_and_step_are_two_is_found) {
  EXPECT_EQ(violation_of<bug::torn_budget>(two_borrow, within(2, 0)), "more was lent than may be");
}

}  // namespace
}  // namespace ringpool::model
