// SPDX-License-Identifier: MIT
#include "ringpool/detail/thread_slot.hpp"

#include <gtest/gtest.h>

#include <barrier>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "../support/child_process.hpp"

namespace ringpool::detail {
namespace {

struct thread_slots : testing::Test {
  thread_slots() { prepare_thread_slots(); }
};

TEST_F(thread_slots, a_thread_has_none_before_its_first_call_and_keeps_what_it_got) {
  std::thread([] {
    EXPECT_EQ(thread_slot(), 0U);
    EXPECT_EQ(thread_cache_offset(), 0U);
    const std::uint32_t slot = ensure_thread_slot();
    EXPECT_NE(slot, 0U);
    EXPECT_LT(slot, max_thread_slots);
    EXPECT_EQ(ensure_thread_slot(), slot);
    EXPECT_EQ(thread_slot(), slot);
    EXPECT_EQ(thread_cache_offset(), slot * cache_stride_bytes);
  }).join();
}

TEST_F(thread_slots, live_threads_have_different_ones) {
  constexpr int count = 24;
  std::mutex mutex;
  std::set<std::uint32_t> seen;
  std::barrier<> together(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      const std::uint32_t slot = ensure_thread_slot();
      {
        const std::lock_guard lock(mutex);
        seen.insert(slot);
      }
      together.arrive_and_wait();  // all have theirs
      EXPECT_GE(live_thread_slots(), std::uint32_t{count});
      together.arrive_and_wait();  // all have looked
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(seen.size(), std::size_t{count});
  EXPECT_EQ(seen.count(0), 0U);
}

TEST_F(thread_slots, of_dead_threads_are_used_again) {
  const std::uint32_t before = live_thread_slots();
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 200; ++i) {
    std::thread([&] { seen.insert(ensure_thread_slot()); }).join();
  }
  EXPECT_EQ(seen.size(), 1U) << "one thread at a time, one slot";
  EXPECT_EQ(live_thread_slots(), before);
}

TEST_F(thread_slots, in_a_forked_child_only_the_callers_is_taken) {
  (void)ensure_thread_slot();
  const std::uint32_t mine = thread_slot();
  std::barrier<> alive(2);
  std::barrier<> forked(2);
  std::thread other([&] {
    (void)ensure_thread_slot();
    alive.arrive_and_wait();
    forked.arrive_and_wait();
  });
  alive.arrive_and_wait();
  EXPECT_GE(live_thread_slots(), 2U);
  const test::child_result child = test::run_in_child([&] {
    thread_slots_after_fork();  // pools have this done by an atfork handler
    return live_thread_slots() == 1 && thread_slot() == mine ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
  forked.arrive_and_wait();
  other.join();
}

}  // namespace
}  // namespace ringpool::detail
