// SPDX-License-Identifier: MIT
// Banks that are replaced: the old one is there until no loop can use it and all is back. A keeper
// that does not wait for a loop must fail the same check.

#include "buffers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include "serve_options.hpp"

namespace ringpool::tools {
namespace {

std::unique_ptr<buffer_bank> bank_of(std::vector<size_class> classes, unsigned loops = 1) {
  serve_options options;
  options.classes = std::move(classes);
  return std::make_unique<buffer_bank>(options, loops);
}

TEST(tools_buffers, a_replaced_bank_is_freed_once_its_last_buffer_is_back) {
  buffer_banks banks(bank_of({{64, 8}}));
  loop_buffer held = banks.current().of_loop(0).try_alloc(50);
  banks.replace(bank_of({{64, 16}}), 1);
  EXPECT_FALSE(banks.free_retired(1, 2));
  EXPECT_EQ(banks.stats().retired_sets, 1U);
  EXPECT_EQ(banks.stats().held, 1U);
  held = {};
  EXPECT_TRUE(banks.free_retired(1, 2));   // all is back: one more round
  EXPECT_FALSE(banks.free_retired(1, 3));  // which is not over
  EXPECT_EQ(banks.retired_count(), 1U);
  EXPECT_FALSE(banks.free_retired(2, 3));
  EXPECT_EQ(banks.retired_count(), 0U);
}

TEST(tools_buffers, what_a_buffer_from_upstream_can_hold_was_taken_from_it) {
  serve_options options;
  options.classes = {{4096, 2}};
  options.cache_limit = 0;
  options.upstream_budget_bytes = 10'000;
  buffer_bank bank(options, 1);
  std::vector<loop_buffer> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(bank.of_loop(0).try_alloc(100));
    ASSERT_TRUE(held.back());
    std::memset(held.back().data(), i, held.back().capacity());
  }
  EXPECT_EQ(bank.class_stats()[0].upstream_in_use_bytes, held[2].capacity() + held[3].capacity());
}

TEST(tools_buffers, holders_are_known_with_sampling_of_replaced_banks_too) {
  const auto sampling_bank = [](std::size_t interval) {
    serve_options options;
    options.classes = {{64, 8}, {512, 8}};
    options.sampling.interval = interval;
    return std::make_unique<buffer_bank>(options, 1);
  };
  buffer_banks banks(sampling_bank(0));
  EXPECT_TRUE(banks.holders().empty());
  banks.replace(sampling_bank(1), 1);
  const loop_buffer held = banks.current().of_loop(0).try_alloc(50);
  banks.replace(sampling_bank(1), 2);
  const std::vector<census> holders = banks.holders();
  ASSERT_EQ(holders.size(), 3U);  // two in force, one that is retired and held
  EXPECT_EQ(holders[0].held_count + holders[1].held_count, 0U);
  EXPECT_EQ(holders[2].buffer_size, 64U);
  EXPECT_EQ(holders[2].held_count, 1U);
}

TEST(tools_buffers, counters_of_a_size_go_on_and_those_of_sizes_that_are_no_more_are_kept) {
  buffer_banks banks(bank_of({{64, 8}, {512, 8}}));
  for (const std::size_t size : {50U, 60U, 500U}) {
    static_cast<void>(banks.current().of_loop(0).try_alloc(size));
  }
  banks.replace(bank_of({{64, 4}, {1024, 4}}), 1);
  static_cast<void>(banks.current().of_loop(0).try_alloc(50));
  for (int look = 0; look < 3; ++look) {
    const buffer_banks::sums sums = banks.stats();
    ASSERT_EQ(sums.classes.size(), 2U);
    EXPECT_EQ(sums.classes[0].alloc_count, 3U);
    EXPECT_EQ(sums.classes[0].free_count, 3U);
    EXPECT_EQ(sums.classes[0].ring_size, 4U);
    EXPECT_EQ(sums.classes[1].alloc_count, 0U);
    ASSERT_EQ(sums.retired.size(), 1U);
    EXPECT_EQ(sums.retired[0].buffer_size, 512U);
    EXPECT_EQ(sums.retired[0].alloc_count, 1U);
    EXPECT_EQ(sums.taken, 4U);
    static_cast<void>(banks.free_retired(9, 9));
  }
  EXPECT_EQ(banks.retired_count(), 0U);
}

TEST(tools_buffers, every_counter_of_a_pool_is_in_the_sums) {
  pool_stats ones;
  std::vector<std::uint64_t> words(sizeof(pool_stats) / sizeof(std::uint64_t), 1);
  static_assert(std::is_trivially_copyable_v<pool_stats>);
  std::memcpy(static_cast<void*>(&ones), words.data(), sizeof ones);
  std::vector<pool_stats> sum;
  add_counters(sum, ones);
  add_counters(sum, ones);
  std::memcpy(words.data(), sum.data(), sizeof ones);
  // Not summed: buffer_size and a peak are one as before; what a pool has now, and not what it
  // counted, is 0: available, ring_size, cached, elastic_capacity, waiting.
  EXPECT_EQ(std::count(words.begin(), words.end(), 1U), 2);
  EXPECT_EQ(std::count(words.begin(), words.end(), 0U), 5);
}

/// A loop that uses the old bank until it answers. True when that was never freed before.
bool waits_for_loops(bool asks_the_loop) {
  buffer_banks banks(bank_of({{64, 8}}));
  std::uint64_t answer = 0;  // of the loop
  banks.replace(bank_of({{64, 8}}), 1);
  bool there = true;
  for (std::uint64_t round = 1; round < 4; ++round) {  // the loop sleeps meanwhile
    static_cast<void>(banks.free_retired(asks_the_loop ? answer : round, round + 1));
    there = there && banks.retired_count() != 0;
  }
  return there;
}

TEST(tools_buffers, a_bank_is_not_freed_while_a_loop_has_not_left_it) {
  EXPECT_TRUE(waits_for_loops(true));
}
TEST(tools_buffers, twin_a_keeper_that_does_not_ask_the_loop_frees_too_early) {
  EXPECT_FALSE(waits_for_loops(false));
}

TEST(tools_buffers, loops_take_and_give_back_while_banks_are_replaced) {
  constexpr unsigned loops = 2;
  buffer_banks banks(bank_of({{64, 64}}, loops));
  std::atomic<buffer_bank*> offered{&banks.current()};
  std::atomic<std::uint64_t> asked{0};
  std::atomic<std::uint64_t> answers[loops] = {};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < loops; ++number) {
    threads.emplace_back([&, number] {
      std::vector<loop_buffer> held(8);
      for (std::size_t turn = 0; !stop.load(std::memory_order_relaxed); ++turn) {
        const std::uint64_t round = asked.load(std::memory_order_acquire);
        loop_buffers& source = offered.load(std::memory_order_acquire)->of_loop(number);
        answers[number].store(round, std::memory_order_release);
        held[turn % 8] = source.try_alloc(50);
      }
    });
  }
  std::uint64_t round = 0;
  for (int replaced = 0; replaced < 8;) {
    std::uint64_t answered = round;
    for (const auto& one : answers) {
      answered = std::min(answered, one.load(std::memory_order_acquire));
    }
    std::this_thread::yield();
    if (banks.free_retired(answered, round + 1)) {
      asked.store(++round, std::memory_order_release);
    } else if (banks.retired_count() == 0) {
      banks.replace(bank_of({{64, 64}}, loops), ++round);
      offered.store(&banks.current(), std::memory_order_release);
      asked.store(round, std::memory_order_release);
      ++replaced;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& one : threads) {
    one.join();
  }
  const buffer_banks::sums sums = banks.stats();
  EXPECT_EQ(sums.held, 0U);
  EXPECT_EQ(sums.classes[0].alloc_count, sums.classes[0].free_count);
  EXPECT_EQ(sums.classes[0].alloc_count, sums.taken);
}

}  // namespace
}  // namespace ringpool::tools
