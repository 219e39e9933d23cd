// SPDX-License-Identifier: MIT
#include "ringpool/census.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <thread>

#include "../support/books.hpp"
#include "../support/child_process.hpp"
#include "../support/misuse_recorder.hpp"
#include "ringpool/async_alloc.hpp"

namespace ringpool {
namespace {

using testing::HasSubstr;

pool_options sampled(std::size_t interval, std::size_t depth = 1) {
  pool_options options;
  options.sampling = {interval, depth};
  return options;
}

[[gnu::noinline]] buffer alloc_here(ring_buffer_pool& pool, std::size_t size) {
  return pool.alloc(size);
}
[[gnu::noinline]] buffer alloc_there(ring_buffer_pool& pool, std::size_t size) {
  buffer one = pool.alloc(size);
  one.data()[0] = std::byte{1};  // so that the two are not folded into one function
  return one;
}

bool is_inside(const void* address, const void* function) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto start = reinterpret_cast<std::uintptr_t>(function);
  return at > start && at < start + 1024;
}

/// Samples in a thousand allocations, of `count` pairs.
double samples_a_thousand(ring_buffer_pool& pool, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    (void)pool.alloc(64);
  }
  const census now = take_census(pool);
  EXPECT_EQ(now.alloc_count, count);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_EQ(std::accumulate(now.ages.begin(), now.ages.end(), std::uint64_t{0}),
            now.sampled_allocs);
  return 1000.0 * static_cast<double>(now.sampled_allocs) / static_cast<double>(count);
}

TEST(census, has_counts_alone_without_sampling) {
  ring_buffer_pool pool(64, 16);
  const buffer one = pool.alloc(64);
  const census now = take_census(pool);
  EXPECT_EQ(now.buffer_size, 64U);
  EXPECT_EQ(now.held_count, 1U);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_TRUE(now.holders.empty());
  EXPECT_EQ(dump_outstanding(pool), "class 64: 1 held, 0 of them sampled\n");
}

TEST(census, tells_holders_apart_by_site_and_owner) {
  ring_buffer_pool pool(512, 64, sampled(1));
  std::vector<buffer> held;
  for (int i = 0; i < 5; ++i) {
    held.push_back(alloc_here(pool, 100));
  }
  {
    const owner_scope room("room", 7);
    for (int i = 0; i < 3; ++i) {
      held.push_back(alloc_here(pool, 100));
    }
    for (int i = 0; i < 2; ++i) {
      held.push_back(alloc_there(pool, 50));
    }
  }
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 3U);
  EXPECT_EQ(now.sample_count, 10U);
  EXPECT_EQ(now.weight(), 1.0);
  const holder& first = now.holders[0];
  EXPECT_EQ(first.held_count, 5U);
  EXPECT_EQ(first.size_bytes, 500U);
  EXPECT_EQ(first.owner, nullptr);
  ASSERT_EQ(first.frames.size(), 1U);
  EXPECT_TRUE(is_inside(first.frames[0], reinterpret_cast<const void*>(&alloc_here)));
  EXPECT_EQ(now.holders[1].held_count, 3U);
  EXPECT_STREQ(now.holders[1].owner, "room");
  EXPECT_EQ(now.holders[1].owner_id, 7U);
  EXPECT_EQ(now.holders[2].held_count, 2U);
  EXPECT_TRUE(is_inside(now.holders[2].frames[0], reinterpret_cast<const void*>(&alloc_there)));
}

TEST(census, forgets_what_came_back_and_counts_its_age) {
  ring_buffer_pool pool(64, 16, sampled(1));
  {
    const buffer one = alloc_here(pool, 64);
    EXPECT_EQ(take_census(pool).sample_count, 1U);
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
  }
  const census now = take_census(pool);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_EQ(std::accumulate(now.ages.begin(), now.ages.end(), std::uint64_t{0}), 1U);
  EXPECT_EQ(now.ages[0] + now.ages[1] + now.ages[2] + now.ages[3] + now.ages[4], 0U);  // 16 ms
}

TEST(census, ages_grow) {
  ring_buffer_pool pool(64, 16, sampled(1));
  const buffer one = alloc_here(pool, 64);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const buffer two = alloc_here(pool, 64);
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 1U);
  EXPECT_GE(now.holders[0].oldest_ms, 15);
  EXPECT_LT(now.holders[0].newest_ms, now.holders[0].oldest_ms);
}

// ---- The rate -----------------------------------------------------------------------------------

TEST(census_rate, is_one_in_the_interval_on_cache_hits) {
  ring_buffer_pool pool(64, 64, sampled(100));
  EXPECT_NEAR(samples_a_thousand(pool, 500'000), 10, 1);
}

TEST(census_rate, is_one_in_the_interval_without_caches) {
  pool_options options = sampled(100);
  options.cache_limit = 0;
  ring_buffer_pool pool(64, 64, options);
  EXPECT_NEAR(samples_a_thousand(pool, 200'000), 10, 1);
}

TEST(census_rate, is_one_in_the_interval_though_threads_miss_at_once) {
  pool_options options = sampled(100);
  options.cache_limit = 0;
  ring_buffer_pool pool(64, 64, options);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50'000; ++round) {
        (void)pool.alloc(64);
      }
    });
  }
  for (std::thread& one : threads) {
    one.join();
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 2000, 250);
}

TEST(census_rate, is_one_in_the_interval_in_hardened_pools) {
  pool_options options = sampled(100);
  options.hardened = true;
  ring_buffer_pool pool(64, 64, options);
  EXPECT_NEAR(samples_a_thousand(pool, 200'000), 10, 1);
}

TEST(census_rate, is_every_allocation_with_an_interval_of_one) {
  ring_buffer_pool pool(64, 64, sampled(1));
  EXPECT_EQ(samples_a_thousand(pool, 10'000), 1000);
}

TEST(census_rate, is_one_in_the_interval_whatever_is_freed_elsewhere) {
  ring_buffer_pool pool(64, 4096, sampled(100));
  std::vector<buffer> held;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 1000; ++i) {
      held.push_back(pool.alloc(64));
    }
    std::thread([&] { held.clear(); }).join();
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 2000, 250);
}

TEST(census_rate, counts_a_bulk_as_its_buffers) {
  ring_buffer_pool pool(64, 256, sampled(100));
  std::array<void*, 16> bulk{};
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(pool.allocate_bulk(bulk), bulk.size());
    pool.deallocate_bulk(bulk);
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 3200, 400);
  test::expect_whole(pool);
}

TEST(census_rate, is_one_in_the_interval_where_a_turn_comes_while_the_ring_is_spent) {
  pool_options options = sampled(100);
  options.elastic_capacity = 256;
  ring_buffer_pool pool(64, 64, options);
  std::vector<buffer> held;
  for (int round = 0; round < 1000; ++round) {
    for (int i = 0; i < 320; ++i) {
      held.push_back(pool.alloc(64));
    }
    held.clear();
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 3200, 400);
}

// ---- Whose turn it is ---------------------------------------------------------------------------

/// Which calls a sampler picks: allocations of two sites, and the frees between them.
class sampling_pool {
 public:
  explicit sampling_pool(std::size_t interval) : pool_(64, 64, sampled(interval)) {}

  [[nodiscard]] bool alloc_is_sampled() {
    const std::uint64_t before = pool_.samples()->taken.load(detail::relaxed);
    held_.push_back(pool_.allocate(64));
    return pool_.samples()->taken.load(detail::relaxed) != before;
  }
  void free_all() {
    for (void* const one : held_) {
      pool_.deallocate(one);
    }
    held_.clear();
  }

 private:
  ring_buffer_pool pool_;
  std::vector<void*> held_;
};

/// The twins: any call moves them on, and the next allocation is sampled. An allocation counts
/// `AllocStep`, a free 2.
template <std::uint64_t AllocStep>
class sampler_of_calls {
 public:
  explicit sampler_of_calls(std::size_t interval) : interval_(interval) {}

  [[nodiscard]] bool alloc_is_sampled() {
    ++held_;
    if (left_ > 0) {
      left_ -= static_cast<std::int64_t>(AllocStep);
      return false;
    }
    left_ = static_cast<std::int64_t>(detail::sample_gap(interval_, ++seed_) * AllocStep);
    return true;
  }
  void free_all() { left_ -= 2 * static_cast<std::int64_t>(std::exchange(held_, 0U)); }

 private:
  std::size_t interval_;
  std::uint64_t seed_ = 0;
  std::int64_t left_ = 0;
  std::size_t held_ = 0;
};

/// One site allocates once, the other `others` times, then all is freed: the first one's share of
/// the samples, times `others` + 1: 1 where no site is preferred.
template <class Sampler>
double bias_of_the_first(std::size_t others) {
  Sampler sampler(256);
  std::uint64_t first = 0;
  std::uint64_t all = 0;
  while (all < 20'000) {
    first += sampler.alloc_is_sampled() ? 1U : 0U;
    for (std::size_t i = 0; i < others; ++i) {
      all += sampler.alloc_is_sampled() ? 1U : 0U;
    }
    sampler.free_all();
  }
  return static_cast<double>(first) / static_cast<double>(first + all) *
         static_cast<double>(others + 1);
}

TEST(census_turns, two_sites_that_alternate_are_sampled_equally_often) {
  EXPECT_NEAR(bias_of_the_first<sampling_pool>(1), 1, 0.04);
}

TEST(census_turns, a_site_that_comes_after_many_frees_is_not_preferred) {
  EXPECT_NEAR(bias_of_the_first<sampling_pool>(31), 1, 0.2);
}

TEST(census_turns, twins_that_count_frees_are_found) {
  EXPECT_GT(bias_of_the_first<sampler_of_calls<2>>(1), 1.2);
  EXPECT_GT(bias_of_the_first<sampler_of_calls<126>>(31), 1.3);
  EXPECT_NEAR(bias_of_the_first<sampler_of_calls<1U << 14>>(31), 1, 0.2);
}

// ---- Other kinds of buffers ---------------------------------------------------------------------

TEST(census, knows_elastic_buffers) {
  pool_options options = sampled(1);
  options.elastic_capacity = 8;
  ring_buffer_pool pool(64, 4, options);
  std::vector<buffer> held;
  for (int i = 0; i < 10; ++i) {
    held.push_back(pool.alloc(64));
  }
  EXPECT_EQ(take_census(pool).held_count, 10U);
  EXPECT_EQ(take_census(pool).sample_count, 10U);
  held.clear();
  EXPECT_EQ(take_census(pool).sample_count, 0U);
  test::expect_whole(pool);
}

TEST(census, leaves_upstream_blocks_and_empty_handles_out) {
  ring_buffer_pool pool(64, 1, sampled(1));
  const buffer ring = pool.alloc(64);
  const buffer upstream = pool.alloc(64);
  const buffer nothing = pool.alloc(0);
  EXPECT_EQ(take_census(pool).sample_count, 1U);
}

TEST(census, of_a_set_is_one_for_each_class_and_names_the_callers_site) {
  multi_size_ring_pool pool({{64, 16}, {512, 16}}, sampled(1));
  const auto from_a_lambda = [&]() __attribute__((noinline)) { return pool.alloc(300); };
  const buffer large = from_a_lambda();
  const std::vector<census> now = take_census(pool);
  ASSERT_EQ(now.size(), 2U);
  EXPECT_TRUE(now[0].holders.empty());
  ASSERT_EQ(now[1].holders.size(), 1U);
  EXPECT_EQ(now[1].buffer_size, 512U);
  EXPECT_THAT(symbol_of(now[1].holders[0].frames[0]), HasSubstr("ringpool_unit_tests"));
  EXPECT_THAT(dump_outstanding(pool),
              HasSubstr("class 512: 1 held, 1 of them sampled\n  ~1 held for "));
}

pool_options lending(pool_options options) {
  options.spill = {.class_count = 1, .buffer_limit = 4};
  return options;
}

[[gnu::noinline]] buffer alloc_of_set(multi_size_ring_pool& pool, std::size_t size) {
  buffer one = pool.alloc(size);
  one.data()[0] = std::byte{2};
  return one;
}

TEST(census_spill, a_lent_buffer_is_in_the_census_of_its_own_class_with_the_size_asked_for) {
  for (const bool hardened : {false, true}) {
    pool_options options = lending(sampled(1));
    options.hardened = hardened;
    multi_size_ring_pool pool({{64, 1}, {512, 16}}, options);
    {
      const buffer own = pool.alloc(64);
      const buffer lent = alloc_of_set(pool, 60);
      EXPECT_EQ(lent.capacity(), 512U);
      const census lender = take_census(pool)[1];
      EXPECT_EQ(lender.held_count, 1U);
      ASSERT_EQ(lender.sample_count, 1U);
      EXPECT_EQ(lender.holders[0].size_bytes, 60U);
      EXPECT_TRUE(
          is_inside(lender.holders[0].frames[0], reinterpret_cast<const void*>(&alloc_of_set)));
      EXPECT_EQ(pool.stats().classes[1].spill_in_use, 1U);
    }
    const census after = take_census(pool)[1];
    EXPECT_EQ(after.sample_count, 0U);
    EXPECT_EQ(std::accumulate(after.ages.begin(), after.ages.end(), std::uint64_t{0}), 1U);
    EXPECT_EQ(pool.stats().classes[1].spill_in_use, 0U);
    test::expect_whole(pool);
  }
}

TEST(census_spill, lent_buffers_are_sampled_as_often_as_others) {
  multi_size_ring_pool pool({{64, 1}, {512, 16}}, lending(sampled(20)));
  const buffer own = pool.alloc(64);
  for (int i = 0; i < 40'000; ++i) {
    const buffer lent = pool.alloc(64);
    ASSERT_EQ(lent.capacity(), 512U);
  }
  const census lender = take_census(pool)[1];
  EXPECT_EQ(lender.alloc_count, 40'000U);
  EXPECT_NEAR(static_cast<double>(lender.sampled_allocs), 2000, 250);
  EXPECT_EQ(pool.stats().classes[1].spill_in_use, 0U);
}

TEST(census_spill, a_double_free_of_a_sampled_lent_buffer_ends_neither_twice) {
  pool_options options = lending(sampled(1));
  options.hardened = true;
  multi_size_ring_pool pool({{64, 1}, {512, 16}}, options);
  const buffer own = pool.alloc(64);
  void* const lent = pool.allocate(64);
  void* const other = pool.allocate(64);
  const test::misuse_recorder recorder;
  pool.deallocate(lent);
  pool.deallocate(lent);
  EXPECT_EQ(recorder.last().kind, misuse_kind::double_free);
  EXPECT_EQ(pool.stats().classes[1].spill_in_use, 1U);
  EXPECT_EQ(take_census(pool)[1].sample_count, 1U);
  pool.deallocate(other);
}

TEST(census_spill, a_forked_child_counts_sampled_buffers_as_lent) {
  multi_size_ring_pool pool({{64, 1}, {512, 16}}, lending(sampled(1)));
  const buffer own = pool.alloc(64);
  const buffer lent = pool.alloc(64);
  const test::child_result child =
      test::run_in_child([&] { return pool.stats().classes[1].spill_in_use == 1 ? 0 : 1; });
  EXPECT_TRUE(child.exited_with(0));
}

// ---- Those who wait -----------------------------------------------------------------------------

/// Keeps a call in front of it from becoming a jump, whose site would be another's.
struct no_tail_call {
  no_tail_call() noexcept { asm volatile("" ::: "memory"); }
  ~no_tail_call() { asm volatile("" ::: "memory"); }
};

template <class Pool>
[[gnu::noinline]] buffer wait_for(Pool& pool) {
  const no_tail_call here;
  return pool.alloc_for(48, std::chrono::minutes(1));
}
template <class Pool>
[[gnu::noinline]] buffer wait_until(Pool& pool) {
  const no_tail_call here;
  return pool.alloc_until(48, std::chrono::steady_clock::now() + std::chrono::minutes(1));
}
template <class Pool>
[[gnu::noinline]] alloc_awaitable ask(Pool& pool) {
  const no_tail_call here;
  return pool.async_alloc(48);
}
template <class Pool>
[[gnu::noinline]] bool enqueue(Pool& pool, buffer_waiter& waiter) {
  const no_tail_call here;
  return pool.enqueue(waiter);
}

/// What a waiter hears of a coroutine.
struct no_coroutine {
  [[nodiscard]] void* address() const noexcept { return nullptr; }
  static no_coroutine from_address(void* /*address*/) noexcept { return {}; }
  void resume() const noexcept {}
};

template <class Function>
void expect_held_by(const census& now, Function* function) {
  ASSERT_EQ(now.holders.size(), 1U);
  EXPECT_EQ(now.holders[0].size_bytes, 48U);
  EXPECT_TRUE(is_inside(now.holders[0].frames[0], reinterpret_cast<const void*>(function)))
      << symbol_of(now.holders[0].frames[0]);
}

census first_census(const ring_buffer_pool& pool) { return take_census(pool); }
census first_census(const multi_size_ring_pool& pool) { return take_census(pool)[0]; }

std::uint64_t waiting(const ring_buffer_pool& pool) { return pool.stats().waiting; }
std::uint64_t waiting(const multi_size_ring_pool& pool) { return pool.stats().classes[0].waiting; }

/// Served at once, and by another's free, within that one's scope.
template <class Pool>
void expect_the_callers_sites(Pool& pool) {
  {
    const buffer got = wait_for(pool);
    expect_held_by(first_census(pool), &wait_for<Pool>);
  }
  {
    const buffer got = wait_until(pool);
    expect_held_by(first_census(pool), &wait_until<Pool>);
  }
  {
    alloc_awaitable wait = ask(pool);
    ASSERT_TRUE(wait.await_ready());
    const buffer got = wait.await_resume();
    expect_held_by(first_census(pool), &ask<Pool>);
  }
  const owner_scope freer("whoever frees");
  buffer held = pool.alloc(64);
  buffer got;
  std::thread sleeper([&] { got = wait_for(pool); });
  while (waiting(pool) == 0) {
    std::this_thread::yield();
  }
  held.reset();
  sleeper.join();
  expect_held_by(first_census(pool), &wait_for<Pool>);
  EXPECT_EQ(first_census(pool).holders[0].owner, nullptr);
  {
    alloc_awaitable wait = ask(pool);
    ASSERT_FALSE(wait.await_ready());
    ASSERT_TRUE(wait.await_suspend(no_coroutine{}));
    got.reset();
    got = wait.await_resume();
    expect_held_by(first_census(pool), &ask<Pool>);
  }
  static buffer called_with;
  buffer_waiter waiter(
      48, [](buffer_waiter& /*self*/, buffer&& from) noexcept { called_with = std::move(from); });
  ASSERT_TRUE(enqueue(pool, waiter));
  got.reset();
  expect_held_by(first_census(pool), &enqueue<Pool>);
  called_with.reset();
}

TEST(census_waits, have_the_site_of_who_asked_whoever_served_them) {
  pool_options options = sampled(1);
  options.upstream = nullptr;
  ring_buffer_pool pool(64, 1, options);
  expect_the_callers_sites(pool);
  multi_size_ring_pool set({{64, 1}, {512, 1}}, options);
  expect_the_callers_sites(set);
}

// ---- What it says -------------------------------------------------------------------------------

[[gnu::noinline]] buffer alloc_deep(ring_buffer_pool& pool, int depth) {
  buffer one = depth == 0 ? pool.alloc(64) : alloc_deep(pool, depth - 1);
  one.data()[0] = std::byte{1};
  return one;
}

TEST(census, keeps_as_many_frames_as_asked_for) {
  ring_buffer_pool pool(64, 16, sampled(1, 4));
  const buffer one = alloc_deep(pool, 8);
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 1U);
  const std::vector<const void*>& frames = now.holders[0].frames;
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_NE(frames[0], frames[1]);  // the call of alloc, and one of alloc_deep
  EXPECT_THAT(symbol_of(frames[3]), HasSubstr("ringpool_unit_tests+0x"));
}

TEST(census, folds_stacks_for_flame_graphs) {
  ring_buffer_pool pool(64, 16, sampled(1, 3));
  const owner_scope room("room", 7);
  const buffer one = alloc_deep(pool, 8);
  const buffer two = alloc_deep(pool, 8);
  EXPECT_THAT(folded_stacks(take_census(pool)),
              testing::MatchesRegex("room 7;class 64;[^;]+;[^;]+;[^; ]+ 2\n"));
}

TEST(census, symbols_of_libraries_have_names_and_others_a_place_in_their_file) {
  const auto* const in_libc = reinterpret_cast<const char*>(&::malloc);
  EXPECT_THAT(symbol_of(in_libc + 1), HasSubstr("malloc+0x1"));
  EXPECT_EQ(symbol_of(reinterpret_cast<const void*>(16)), "0x10");
}

TEST(census, options_out_of_range_are_refused_with_what_is_accepted) {
  const auto message_of = [](const pool_options& options) -> std::string {
    try {
      const ring_buffer_pool pool(64, 16, options);
    } catch (const std::system_error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message_of(sampled(max_sample_interval + 1)),
              HasSubstr("sampling.interval 65537: accepted are 0 to 65536"));
  EXPECT_THAT(message_of(sampled(128, 0)), HasSubstr("sampling.depth 0: accepted are 1 to 10"));
  EXPECT_THAT(message_of(sampled(128, 11)), HasSubstr("sampling.depth 11: accepted are 1 to 10"));
  EXPECT_EQ(message_of(sampled(max_sample_interval, max_sample_depth)), "accepted");
}

// ---- Leaks and first freers ---------------------------------------------------------------------

std::uint64_t leaked = 0;
std::string leak_text;

TEST(census_leak, the_handler_learns_who_held_what) {
  const leak_handler before = set_leak_handler([](const leak& what) noexcept {
    leaked = what.outstanding_count;
    leak_text = dump_outstanding(*what.pool);
  });
  {
    ring_buffer_pool pool(64, 16, sampled(1));
    (void)pool.allocate(64);
    (void)pool.allocate(64);
  }
  EXPECT_EQ(leaked, 2U);
  EXPECT_THAT(leak_text, HasSubstr("class 64: 2 held, 2 of them sampled"));
  leaked = 0;
  { ring_buffer_pool pool(64, 16, sampled(1)); }
  EXPECT_EQ(leaked, 0U) << "nothing was held";
  EXPECT_NE(set_leak_handler(before), nullptr);
}

TEST(census_leak, the_default_handler_writes_to_standard_error_and_goes_on) {
  const test::child_result child = test::run_in_child([] {
    {
      ring_buffer_pool pool(64, 16, sampled(1));
      const owner_scope scope("the owner");
      (void)pool.allocate(48);
    }
    return 0;
  });
  EXPECT_TRUE(child.exited_with(0));
  EXPECT_THAT(child.errors, HasSubstr("ringpool: destroyed while buffers are held\n"
                                      "class 64: 1 held, 1 of them sampled\n"
                                      "  ~1 held for "));
  EXPECT_THAT(child.errors, HasSubstr("48 bytes: the owner: "));
}

/// Each instance is a place of its own.
template <int Place>
[[gnu::noinline]] void free_at(ring_buffer_pool& pool, void* pointer) {
  pool.deallocate(pointer);
  asm volatile("" ::"i"(Place) : "memory");  // neither a tail call nor the other's code
}

template <int Place>
misuse freed_twice(ring_buffer_pool& pool) {
  void* const pointer = pool.allocate(64);
  free_at<Place>(pool, pointer);
  const test::misuse_recorder recorder;
  pool.deallocate(pointer);
  return recorder.last();
}

TEST(census_misuse, a_double_free_names_the_thread_and_the_site_of_the_first_free) {
  pool_options options;
  options.hardened = true;
  ring_buffer_pool pool(64, 16, options);
  const misuse first = freed_twice<1>(pool);
  EXPECT_EQ(first.kind, misuse_kind::double_free);
  EXPECT_EQ(first.last_freer_thread_id, detail::thread_id());
  EXPECT_THAT(symbol_of(first.last_freer_site), HasSubstr("ringpool_unit_tests+0x"));
  EXPECT_EQ(freed_twice<1>(pool).last_freer_site, first.last_freer_site);
  EXPECT_NE(freed_twice<2>(pool).last_freer_site, first.last_freer_site);
}

// ---- Fork ---------------------------------------------------------------------------------------

TEST(census_fork, a_child_knows_what_it_inherited) {
  ring_buffer_pool pool(64, 16, sampled(1));
  const buffer one = alloc_here(pool, 64);
  const test::child_result child = test::run_in_child([&] {
    const census now = take_census(pool);
    return now.holders.size() == 1 && now.sample_count == 1 ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0));
}

}  // namespace
}  // namespace ringpool
