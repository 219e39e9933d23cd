// SPDX-License-Identifier: MIT
//
// Every body of this directory on code with a seeded bug: it must report a violation, every time,
// within two seconds. A check that has never been seen red is not a check.

#include <gtest/gtest.h>

#include "account_traffic.hpp"
#include "broken_atomics.hpp"
#include "broken_pools.hpp"
#include "exact_capacity.hpp"
#include "in_child.hpp"
#include "index_traffic.hpp"
#include "scale.hpp"
#include "shared_traffic.hpp"
#include "traffic.hpp"

namespace ringpool::stress {
namespace {

constexpr std::chrono::milliseconds patience{2000};

/// The body must find the bug, and find it by the check that `by` quotes.
void expect_caught(const char* by, const std::function<void(verdict&)>& body) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "the sanitizer reports the seeded races itself, and the twin proves nothing";
  }
  const auto limit = patience * (under_address_sanitizer ? 5 : 1);
  for (int time = 0; time < 3; ++time) {
    const outcome seen = run_in_child(body, limit);
    EXPECT_TRUE(seen.how == ending::violation || seen.how == ending::stuck)
        << "ended as " << static_cast<int>(seen.how) << ": " << seen.text;
    EXPECT_NE(seen.text.find(by), std::string::npos) << seen.text;
    EXPECT_LE(seen.took, limit + limit / 10);
  }
}

void expect_sound(const std::function<void(verdict&)>& body) {
  const outcome seen = run_in_child(body, std::chrono::seconds(30));
  EXPECT_EQ(static_cast<int>(seen.how), static_cast<int>(ending::sound)) << seen.text;
}

// ---- index_traffic ------------------------------------------------------------------------------

constexpr index_plan index_load{.threads = 4, .rounds = 500'000, .hold = 8, .batch = 4};
constexpr index_plan tight_index_load{
    .threads = 6, .rounds = 500'000, .hold = 8, .batch = 4, .refusals_allowed = true};

template <class Bag>
void run_indices(Bag& bag, const index_plan& plan, verdict& log) {
  index_traffic<Bag>(bag, plan, log).run();
}

TEST(index_traffic_twin, the_unbroken_ring_on_the_same_atomics_is_sound) {
  expect_sound([](verdict& log) {
    ring_bag<torn_atomics<tear::none>> bag(32);
    run_indices(bag, {.threads = 4, .rounds = scaled(50'000), .hold = 8}, log);
  });
}

TEST(index_traffic_twin, a_ring_whose_fetch_add_is_a_load_and_a_store_is_caught) {
  expect_caught("", [](verdict& log) {
    ring_bag<torn_atomics<tear::fetch_add>> bag(32);
    run_indices(bag, index_load, log);
  });
}

TEST(index_traffic_twin, a_ring_whose_compare_exchange_is_a_load_and_a_store_is_caught) {
  // Two claims on one count of free indices: one claimant looks for its index for ever. Or, of
  // those never taken: an index for two.
  expect_caught("", [](verdict& log) {
    ring_bag<torn_atomics<tear::compare_exchange>> bag(32);
    run_indices(bag, index_load, log);
  });
}

TEST(index_traffic_twin, caches_on_a_torn_compare_exchange_are_caught) {
  expect_caught("", [](verdict& log) {
    cache_bag<torn_caches<tear::compare_exchange>> bag(16, 4, false);
    run_indices(bag, tight_index_load, log);
  });
}

TEST(index_traffic_twin, two_threads_on_one_cache_slot_are_caught) {
  expect_caught("an index ", [](verdict& log) {  // given to two threads, or lost by its holder
    cache_bag<shared_slots> bag(1024, 64, false);
    run_indices(
        bag, {.threads = 4, .rounds = 20'000'000, .hold = 8, .batch = 1, .refusals_allowed = true},
        log);
  });
}

/// A ring that says now and then that it is empty.
class nervous_ring : public ring_bag<detail::std_atomics> {
 public:
  using ring_bag::ring_bag;
  std::size_t pop(std::span<slot_index> out) { return bug_() ? 0 : ring_bag::pop(out); }

 private:
  now_and_then bug_{5};
};

TEST(index_traffic_twin, a_false_refusal_with_nobody_else_in_a_call_is_caught) {
  expect_caught("nobody was in a call", [](verdict& log) {
    nervous_ring bag(8);
    run_indices(bag,
                {.threads = 3,
                 .rounds = 5'000'000,
                 .hold = 4,
                 .batch = 2,
                 .refusals_allowed = true,
                 .judges_refusals = true},
                log);
  });
}

// ---- traffic ------------------------------------------------------------------------------------

constexpr std::size_t buffer_bytes = 128;

/// The capacity is threads x hold: not one to spare.
template <class Pool>
void run_traffic(verdict& log, std::size_t takes = 1'000'000) {
  constexpr unsigned threads = 4;
  constexpr unsigned hold = 24;
  Pool pool(buffer_bytes, threads * hold);
  traffic<Pool>(pool, {.threads = threads, .takes = takes, .hold = hold, .sizes = {128}}, log)
      .run();
}

TEST(traffic_twin, the_pool_under_the_bugs_is_sound) {
  expect_sound([](verdict& log) { run_traffic<mutex_pool>(log, scaled(20'000)); });
}
TEST(traffic_twin, a_pool_that_frees_twice_is_caught) {
  expect_caught("given out while somebody held it",
                [](verdict& log) { run_traffic<twice_freeing_pool>(log); });
}
TEST(traffic_twin, a_pool_that_loses_buffers_is_caught) {
  expect_caught("refused though buffers were free",
                [](verdict& log) { run_traffic<losing_pool>(log); });
}
TEST(traffic_twin, a_pool_that_loses_one_buffer_is_caught_by_the_books) {
  expect_caught("some are stranded", [](verdict& log) { run_traffic<losing_pool>(log, 300); });
}
TEST(traffic_twin, a_pool_that_miscounts_is_caught_by_the_books) {
  expect_caught("alloc_count != free_count",
                [](verdict& log) { run_traffic<miscounting_pool>(log, 5'000); });
}
TEST(traffic_twin, a_pool_that_refuses_falsely_is_caught) {
  expect_caught("refused though buffers were free",
                [](verdict& log) { run_traffic<nervous_pool>(log); });
}
TEST(traffic_twin, a_pool_that_clears_too_late_is_caught) {
  expect_caught("payload changed", [](verdict& log) { run_traffic<late_clearing_pool>(log); });
}

// ---- shared_traffic -----------------------------------------------------------------------------

template <class Atomics>
void run_shared(verdict& log, std::size_t rounds) {
  using pool_type = counted_pool<Atomics>;
  pool_type pool(128, 16, log);
  shared_traffic<pool_type>(pool, {.threads = 4, .rounds = rounds, .hold = 4, .places = 1}, log)
      .run();
}

TEST(shared_traffic_twin, the_pool_under_the_bugs_is_sound) {
  expect_sound([](verdict& log) { run_shared<torn_atomics<tear::none>>(log, scaled(50'000)); });
}
TEST(shared_traffic_twin, a_count_that_forgets_a_copy_is_caught) {
  expect_caught("a shared buffer",  // given back twice, or its bytes changed
                [](verdict& log) { run_shared<forgetful_atomics>(log, 50'000); });
}
// A torn one errs both ways: buffers go back too early, or never, which the books see.
TEST(shared_traffic_twin, a_count_whose_fetch_add_is_a_load_and_a_store_is_caught) {
  expect_caught("buffer",
                [](verdict& log) { run_shared<torn_atomics<tear::fetch_add>>(log, 50'000); });
}
TEST(shared_traffic_twin, a_count_whose_fetch_sub_is_a_load_and_a_store_is_caught) {
  expect_caught("buffer",
                [](verdict& log) { run_shared<torn_atomics<tear::fetch_sub>>(log, 50'000); });
}

// ---- account_traffic ----------------------------------------------------------------------------

template <class Atomics>
void run_accounts(verdict& log, std::size_t rounds) {
  account_traffic<basic_account<Atomics>>(4, rounds, log).run();
}

TEST(account_traffic_twin, the_unbroken_accounts_on_the_same_atomics_are_sound) {
  expect_sound([](verdict& log) { run_accounts<torn_atomics<tear::none>>(log, scaled(50'000)); });
}
TEST(account_traffic_twin, accounts_whose_compare_exchange_is_a_load_and_a_store_are_caught) {
  expect_caught("an account", [](verdict& log) {
    run_accounts<torn_atomics<tear::compare_exchange>>(log, 50'000);
  });
}

// ---- exact_capacity -----------------------------------------------------------------------------

template <class Pool>
void run_exact(const mixture& crew, verdict& log) {
  Pool pool(64, 64);
  exact_capacity(pool, crew, log);
}

TEST(exact_capacity_twin, the_pool_under_the_bugs_is_sound) {
  expect_sound([](verdict& log) {
    run_exact<mutex_pool>({.dead = 4, .idle = 4, .taking = 4, .at_once = false}, log);
  });
}
TEST(exact_capacity_twin, caches_that_die_with_their_threads_are_caught) {
  expect_caught("some are stranded",
                [](verdict& log) { run_exact<stranding_pool>({.dead = 1, .taking = 1}, log); });
}
TEST(exact_capacity_twin, caches_of_idle_threads_out_of_reach_are_caught) {
  expect_caught("some are stranded",
                [](verdict& log) { run_exact<stranding_pool>({.idle = 1, .taking = 1}, log); });
}
TEST(exact_capacity_twin, two_counters_called_a_free_list_are_caught) {
  expect_caught("had just been given back",
                [](verdict& log) { run_exact<two_counter_pool>({.taking = 2}, log); });
}

}  // namespace
}  // namespace ringpool::stress
