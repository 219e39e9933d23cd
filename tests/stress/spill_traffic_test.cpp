// SPDX-License-Identifier: MIT
//
// Classes of a set that lend buffers: the bound under traffic, those who wait for a spill, and the
// same bodies on seeded bugs, each of which must be found.

#include "spill_traffic.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "../support/books.hpp"
#include "in_child.hpp"
#include "ringpool/detail/spill_budget.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

template <class Set>
std::string text_of(Set& set, const spill_plan& plan) {
  verdict log;
  spill_traffic<Set> body(set, plan, log);
  body.run();
  EXPECT_GT(body.spills(), 0U) << "nothing was ever lent";
  EXPECT_EQ(body.most(), plan.lends) << "the bound was never met";
  return log.clean() ? "" : log.text();
}

TEST(spill_traffic, never_lends_more_than_it_may_and_loses_nothing) {
  for (const bool hardened : {false, true}) {
    const spill_plan plan{.rounds = scaled(200'000)};
    real_set set(plan, hardened);
    EXPECT_EQ(text_of(set, plan), "");
    test::expect_whole(set.pool());
  }
}

TEST(spill_traffic, a_class_that_may_lend_all_lends_what_it_has) {
  const spill_plan plan{.small_count = 1, .large_count = 4, .lends = 4, .rounds = scaled(100'000)};
  real_set set(plan);
  EXPECT_EQ(text_of(set, plan), "");
  test::expect_whole(set.pool());
}

// ---- Waiting ------------------------------------------------------------------------------------

/// Threads of both classes wait, hold and give back, and get more than there is only by waiting:
/// nobody may wait for long.
void wait_and_give(multi_size_ring_pool& pool, std::size_t rounds, verdict& log) {
  constexpr std::chrono::seconds never{20};
  run_together(6, [&](unsigned number) {
    const std::size_t size = number % 3 == 0 ? spill_plan::large_bytes : spill_plan::small_bytes;
    random_source random(number + 1);
    for (std::size_t round = 0; round < rounds && log.clean(); ++round) {
      const buffer one = pool.alloc_for(size, never);
      log.require(static_cast<bool>(one), "a thread slept though buffers came back");
      if (random.below(8) == 0) {
        std::this_thread::yield();
      }
    }
  });
}

TEST(spill_traffic, nobody_waits_while_a_larger_class_can_serve) {
  multi_size_ring_pool pool({{spill_plan::small_bytes, 1}, {spill_plan::large_bytes, 2}},
                            {.spill = {.class_count = 1, .buffer_limit = 1}, .upstream = nullptr});
  verdict log;
  wait_and_give(pool, scaled(4'000), log);
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GT(pool.stats().classes[0].spill_count, 0U);
  EXPECT_GT(pool.stats().classes[0].wait_count, 0U) << "nobody ever waited";
  test::expect_whole(pool);
}

/// The only buffers that move are those of the larger class: a waiter of the smaller one has
/// nothing else to hope for.
TEST(spill_traffic, a_waiter_hears_of_every_buffer_of_a_larger_class) {
  multi_size_ring_pool pool({{spill_plan::small_bytes, 1}, {spill_plan::large_bytes, 2}},
                            {.spill = {.class_count = 1, .buffer_limit = 2}, .upstream = nullptr});
  const buffer small = pool.alloc(spill_plan::small_bytes);
  verdict log;
  wait_and_give(pool, scaled(4'000), log);
  EXPECT_TRUE(log.clean()) << log.text();
}

// ---- Seeded bugs --------------------------------------------------------------------------------

/// The look at the limit and the step beyond it are two.
class torn_budget {
 public:
  bool try_take(std::uint64_t limit) {
    if (held_.load(std::memory_order_relaxed) >= limit) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    held_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  void give_back() { held_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t held() const { return held_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> held_{0};
};

/// What is lent is never given back to the budget.
class one_way_budget : public detail::spill_budget {
 public:
  void give_back() {}
};

/// The same, where the buffer was not to be had.
class forgetful_budget : public detail::spill_budget {
 public:
  void give_back() {
    if (++calls_ % 64 != 0) {
      detail::spill_budget::give_back();
    }
  }

 private:
  std::atomic<unsigned> calls_{0};
};

template <class Budget>
void run_budget(verdict& log) {
  const spill_plan plan{
      .small_count = 1, .lends = 1, .threads = 6, .rounds = scaled(100'000, 20'000)};
  set_with_budget<Budget> set(plan);
  spill_traffic<set_with_budget<Budget>>(set, plan, log).run();
}

template <class Budget>
void expect_found(const char* by) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "the sanitizer reports the seeded races itself, and the twin proves nothing";
  }
  for (int time = 0; time < 3; ++time) {
    const outcome seen = run_in_child(&run_budget<Budget>, std::chrono::seconds(10));
    EXPECT_EQ(seen.how, ending::violation) << seen.text;
    EXPECT_NE(seen.text.find(by), std::string::npos) << seen.text;
  }
}

TEST(spill_traffic_twin, the_unbroken_budget_in_the_same_set_is_sound) {
  const outcome seen = run_in_child(&run_budget<detail::spill_budget>, std::chrono::seconds(30));
  EXPECT_EQ(seen.how, ending::sound) << seen.text;
}

TEST(spill_traffic_twin, a_budget_of_which_look_and_step_are_two_is_found) {
  expect_found<torn_budget>("lent more than it may");
}

TEST(spill_traffic_twin, a_budget_that_is_not_given_back_is_found) {
  expect_found<one_way_budget>("at rest the larger class still lends");
  expect_found<forgetful_budget>("at rest the larger class still lends");
}

}  // namespace
}  // namespace ringpool::stress
