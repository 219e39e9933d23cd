// SPDX-License-Identifier: MIT
//
// Those who wait for a buffer, the queue's own source over the caches' and the ring's, in all
// executions within small bounds: nobody waits while a buffer is free, no buffer is lost, first
// come, first served. And the same programs on seeded bugs, each of which must be found.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bounded.hpp"
#include "programs.hpp"
#include "wait_policy.hpp"

namespace ringpool::model {
namespace {

using detail::wait_node;

enum class bug : std::uint8_t {
  none,
  no_second_look,       ///< who waits does not look again
  no_settling,          ///< calls that were under way are not waited for
  no_fence,             ///< neither is there a fence
  wakes_first,          ///< a free looks for waiters before its buffer is to be had
  wakes_nobody,         ///< a free does not look
  refill_wakes_nobody,  ///< nor does a refill, which gives back what it had too many
  keeps_cancelled,      ///< a waiter that gives up too late keeps its buffer to itself
};

/// What ring_buffer_pool does around the queue, over the caches.
template <bug Seeded>
class waiting_pool : public cached_pool {
 public:
  explicit waiting_pool(const script_set& scripts) : cached_pool(scripts), queue_(1) {
    wait_policy::innermost = {};
    wait_policy::time = 0;
    ::new (queue_.get()) model_queue;
  }

  [[nodiscard]] bool take_for(wait_node& node) {
    slot_index one{};
    if (cached_pool::take({&one, 1}) == 0) {
      return false;
    }
    node.slot = one;
    return true;
  }

  [[nodiscard]] bool take_one(slot_index& one) { return cached_pool::take({&one, 1}) == 1; }

  template <class Deliver>
  void look(Deliver deliver) {
    if (cache_.get()->waited()) {
      queue_.get()->serve(gate_, taker(), deliver);
    }
  }
  template <class Deliver>
  [[nodiscard]] bool take(slot_index& one, Deliver deliver) {
    std::uintptr_t item = 0;
    if (cache_.get()->try_pop(item)) {
      one = slot_at(item);
      return true;
    }
    if (!cache_.get()->pop(map_, item)) {
      return false;
    }
    one = slot_at(item);
    if (Seeded != bug::refill_wakes_nobody) {
      look(deliver);
    }
    return true;
  }
  template <class Deliver>
  void give(slot_index one, Deliver deliver) {
    const std::uintptr_t item = map_.address_of(to_number(one));
    if (cache_.get()->try_push(item)) {
      return;
    }
    if (Seeded == bug::wakes_first) {
      look(deliver);
    }
    cache_.get()->push(map_, item);
    if (Seeded != bug::wakes_first && Seeded != bug::wakes_nobody) {
      look(deliver);
    }
  }
  template <class Deliver>
  void add(wait_node& node, Deliver deliver) {
    node.fits = true;
    node.weight = 1;
    if (Seeded == bug::no_second_look) {
      (void)queue_.get()->add(
          node, gate_, [](wait_node&) { return false; }, deliver);
    } else {
      (void)queue_.get()->add(node, gate_, taker(), deliver);
    }
  }
  template <class Deliver>
  [[nodiscard]] bool remove(wait_node& node, Deliver deliver) {
    return queue_.get()->remove(node, model_queue::reason::cancelled, gate_, taker(), deliver) ==
           model_queue::removal::waited;
  }

 private:
  struct gate {
    model_cache* cache;
    void set_waited(bool waited) { cache->set_waited(waited); }
    [[nodiscard]] bool settle() {
      if (Seeded == bug::no_settling) {
        (void)policy::heavy_fence();
      }
      return Seeded == bug::no_settling || Seeded == bug::no_fence || cache->settle();
    }
  };
  [[nodiscard]] auto taker() {
    return [this](wait_node& node) { return take_for(node); };
  }

  gate gate_{cache_.get()};
  zeroed<model_queue> queue_;
};

/// 'a' takes a buffer, 'f' gives the oldest back; 'w' waits for one; 'c' cancels the oldest wait.
/// A buffer that is delivered is kept; with `returns`, given back at once, inside the delivery.
struct wait_scripts {
  script_set pool;
  std::string held_at_first{};  ///< the threads that begin with a buffer: "001"
  bool returns = false;
};

template <bug Seeded = bug::none>
class wait_program final : public program {
 public:
  explicit wait_program(const wait_scripts& scripts)
      : scripts_(scripts), pool_(scripts.pool), owners_(scripts.pool.capacity) {
    for (std::size_t i = 0; i < scripts.held_at_first.size(); ++i) {
      slot_index one{};
      require(pool_.take_one(one), "the set-up takes what there is");
      held_[static_cast<std::size_t>(scripts.held_at_first[i] - '0')].push_back(one);
    }
  }

  [[nodiscard]] unsigned thread_count() const override {
    return static_cast<unsigned>(scripts_.pool.threads.size());
  }

  void run_thread(unsigned number) override {
    for (const char command : scripts_.pool.threads[number]) {
      switch (command) {
        case 'a': take(); break;
        case 'f': give(); break;
        case 'w': wait(); break;
        case 'c': cancel(); break;
        default: require(false, "a command that there is not");
      }
    }
  }

  void check_at_end(unsigned parked) override {
    require(parked == max_threads, "these programs stop nowhere");
    std::size_t waiting = 0;
    std::size_t held = 0;
    for (unsigned i = 0; i < thread_count(); ++i) {
      for (const auto& one : waiters_[i]) {
        waiting += one->now == wait_node::phase::waiting ? 1U : 0U;
        require(one->now != wait_node::phase::served || one->delivered, "served, not delivered");
      }
      held += held_[i].size();
    }
    held += delivered_;
    std::size_t got = 0;
    for (slot_index one{}; got <= scripts_.pool.capacity && pool_.take_one(one); ++got) {
    }
    require(waiting == 0 || got == 0, "somebody waits while a buffer is free");
    require(held + got == scripts_.pool.capacity, "a buffer is lost, or there twice");
  }

 private:
  struct waiter : wait_node {
    bool delivered = false;
    bool given_up = false;
  };

  struct deliverer {
    wait_program* self;
    void operator()(wait_node& node) const { self->take_delivery(static_cast<waiter&>(node)); }
  };
  [[nodiscard]] deliverer deliver() { return {this}; }

  void take_delivery(waiter& one) {
    require(one.now == wait_node::phase::served && !one.delivered, "delivered twice");
    for (const auto& others : waiters_) {
      for (const auto& other : others) {
        require(other->now != wait_node::phase::waiting || other->since_ns > one.since_ns,
                "a younger one was served before an older one");
      }
    }
    one.delivered = true;
    if (Seeded == bug::keeps_cancelled && one.given_up) {
      return;
    }
    owners_.take(to_number(one.slot));
    if (scripts_.returns) {
      owners_.give(to_number(one.slot));
      pool_.give(one.slot, deliver());
    } else {
      ++delivered_;
    }
  }

  void take() {
    slot_index one{};
    if (pool_.take(one, deliver())) {
      owners_.take(to_number(one));
      held_[current_thread()].push_back(one);
    }
  }
  void give() {
    std::vector<slot_index>& mine = held_[current_thread()];
    if (!mine.empty()) {
      const slot_index one = mine.front();
      mine.erase(mine.begin());
      owners_.leave(to_number(one));
      pool_.give(one, deliver());
    }
  }
  void wait() {
    auto& mine = waiters_[current_thread()];
    mine.push_back(std::make_unique<waiter>());
    pool_.add(*mine.back(), deliver());
  }
  void cancel() {
    for (const auto& one : waiters_[current_thread()]) {
      if (!one->given_up) {
        one->given_up = true;
        const bool waited = pool_.remove(*one, deliver());
        require(!waited || !one->delivered, "cancelled, and delivered");
        return;
      }
    }
  }

  wait_scripts scripts_;
  waiting_pool<Seeded> pool_;
  owners owners_;
  std::array<std::vector<slot_index>, max_threads> held_;
  std::array<std::vector<std::unique_ptr<waiter>>, max_threads> waiters_;
  std::size_t delivered_ = 0;
};

template <bug Seeded = bug::none>
[[nodiscard]] program_factory waits(const wait_scripts& scripts) {
  return [scripts] { return std::make_unique<wait_program<Seeded>>(scripts); };
}

// ---- Sound --------------------------------------------------------------------------------------

TEST(wait_queue_model, a_free_meets_one_who_begins_to_wait) {
  expect_sound(waits({{2, {"f", "w"}}, "00"}), within(3, 2));
  expect_sound(waits({{2, {"ff", "ww"}}, "00"}), within(2, 1));
}

TEST(wait_queue_model, a_cached_free_meets_one_who_begins_to_wait) {
  expect_sound(waits({{2, {"af", "w"}}, "1"}), within(3, 2));
  expect_sound(waits({{2, {"afaf", "w"}}, "1"}), within(3, 1));
  expect_sound(waits({{4, {"aff", "ww"}}, "001"}), within(2, 1));
}

TEST(wait_queue_model, owners_fence_for_themselves_where_membarrier_is_refused) {
  expect_sound(waits({{2, {"af", "w"}, 1, true}, "1"}), within(3, 2));
}

TEST(wait_queue_model, a_refill_meets_one_who_begins_to_wait) {
  expect_sound(waits({{4, {"a", "w", "a"}}, ""}), within(2, 0));
  expect_sound(waits({{4, {"af", "w"}}, "11"}), within(3, 1));
}

TEST(wait_queue_model, who_came_first_is_served_first) {
  expect_sound(waits({{2, {"ff", "w", "w"}}, "00"}), within(2, 0));
  expect_sound(waits({{1, {"f", "ww", "w"}}, "0"}), within(2, 0));
}

TEST(wait_queue_model, a_cancelled_wait_meets_a_free) {
  expect_sound(waits({{1, {"f", "wc"}}, "0"}), within(4, 1));
  expect_sound(waits({{1, {"f", "wc", "w"}}, "0"}), within(2, 0));
}

TEST(wait_queue_model, what_a_delivery_gives_back_serves_the_next) {
  expect_sound(waits({{1, {"f", "ww"}}, "0", true}), within(3, 0));
  expect_sound(waits({{1, {"f", "w", "wc"}}, "0", true}), within(2, 0));
}

TEST(wait_queue_model, priorities_that_change_at_random_steps_find_nothing) {
  for (const unsigned changes : {2U, 4U}) {
    bounds far = within(40, 4);
    far.random = scaled(10'000);
    far.priority_changes = changes;
    expect_sound(waits({{2, {"aff", "wcw", "afw"}}, "0"}), far);
    expect_sound(waits({{4, {"affaf", "wwc", "waf"}}, "001", true}), far);
  }
}

// ---- Seeded bugs --------------------------------------------------------------------------------

template <bug Seeded>
[[nodiscard]] std::string violation_of(const wait_scripts& scripts, const bounds& limits) {
  const program_factory make = waits<Seeded>(scripts);
  const outcome found = explore(make, limits);
  if (!found.violation.empty()) {
    EXPECT_EQ(replay(make, limits, found.choices).violation, found.violation);
  }
  return found.violation;
}

constexpr const char* asleep = "somebody waits while a buffer is free";
const wait_scripts cached{{2, {"af", "w"}}, "1"};

TEST(model_twins, a_second_look_left_out_is_found) {
  EXPECT_EQ(violation_of<bug::no_second_look>({{2, {"f", "w"}}, "00"}, within(3, 1)), asleep);
}

TEST(model_twins, a_second_look_without_a_fence_is_found) {
  EXPECT_EQ(violation_of<bug::no_fence>(cached, within(3, 2)), asleep);
  EXPECT_NE(explore(waits(cached), within(3, 2), {}, true).violation, "");
}

TEST(model_twins, a_waiter_that_does_not_wait_for_calls_under_way_is_found) {
  EXPECT_EQ(violation_of<bug::no_settling>(cached, within(3, 1)), asleep);
}

TEST(model_twins, a_wake_before_the_buffer_is_to_be_had_is_found) {
  EXPECT_EQ(violation_of<bug::wakes_first>({{1, {"f", "w"}}, "0"}, within(2, 0)), asleep);
  EXPECT_EQ(violation_of<bug::wakes_nobody>({{1, {"f", "w"}}, "0"}, within(2, 0)), asleep);
}

TEST(model_twins, a_cancelled_waiter_that_keeps_its_buffer_is_found) {
  EXPECT_EQ(violation_of<bug::keeps_cancelled>({{1, {"f", "wc"}}, "0"}, within(3, 0)),
            "a buffer is lost, or there twice");
}

TEST(model_twins, a_refill_that_wakes_nobody_is_found) {
  EXPECT_EQ(violation_of<bug::refill_wakes_nobody>({{4, {"a", "ww"}}, "11"}, within(3, 0)), asleep);
}

}  // namespace
}  // namespace ringpool::model
