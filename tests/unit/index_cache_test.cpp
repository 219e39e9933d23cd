// SPDX-License-Identifier: MIT
#include "ringpool/index_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "ringpool/detail/index_cache_impl.hpp"

namespace ringpool {
namespace {

using detail::gate_state;

/// One thread plays the owners of all slots: `slot` says whose turn it is.
struct scripted_threads : detail::std_atomics {
  using atomics = detail::std_atomics;
  static inline std::uint32_t slot = 1;
  static inline std::uint32_t live = 1;
  static inline detail::heavy_result membarrier = detail::heavy_result::made;
  static inline int heavy_fence_count = 0;
  static inline int full_fence_count = 0;

  static std::size_t thread_cache_offset() noexcept { return slot * detail::cache_stride_bytes; }
  static std::uint32_t ensure_thread_slot() noexcept { return slot; }
  static std::uint32_t live_thread_slots() noexcept { return live; }
  static void light_fence() noexcept {}
  static void full_fence() noexcept { ++full_fence_count; }
  static detail::heavy_result heavy_fence() noexcept {
    ++heavy_fence_count;
    return membarrier;
  }
};

using scripted_cache = basic_index_cache<scripted_threads>;
using number_list = std::vector<std::uint32_t>;

/// Caches of seven slots over a ring, with their memory.
class index_cache_under_test : public testing::Test {
 protected:
  index_cache_under_test() {
    scripted_threads::slot = 1;
    scripted_threads::live = 1;
    scripted_threads::membarrier = detail::heavy_result::made;
    scripted_threads::heavy_fence_count = 0;
    scripted_threads::full_fence_count = 0;
  }
  void make(std::size_t capacity, std::size_t limit = 128, bool fenced = false) {
    entries_ = std::make_unique<index_ring::entry[]>(index_ring::entry_count(capacity));
    slots = std::make_unique<scripted_cache::slot_cache[]>(8);
    ring.reset(entries_.get(), capacity);
    cache.reset(ring, slots.get(), limit, fenced);
  }

  /// What the pool does for a slot's owner: the fast path, then the slow one.
  std::optional<std::uint32_t> take(std::uint32_t slot) {
    scripted_threads::slot = slot;
    std::uintptr_t item = 0;
    if (!cache.try_pop(item) && !cache.pop(map, item)) {
      return std::nullopt;
    }
    return static_cast<std::uint32_t>(map.number_at(item));
  }
  void give(std::uint32_t slot, std::uint32_t number) {
    scripted_threads::slot = slot;
    if (!cache.try_push(map.address_of(number))) {
      cache.push(map, map.address_of(number));
    }
  }
  number_list take_many(std::uint32_t slot, std::size_t count) {
    number_list all;
    while (all.size() < count) {
      const std::optional<std::uint32_t> one = take(slot);
      if (!one) {
        break;
      }
      all.push_back(*one);
    }
    return all;
  }
  void give_many(std::uint32_t slot, const number_list& numbers) {
    for (const std::uint32_t number : numbers) {
      give(slot, number);
    }
  }
  /// Everything is free, and a given slot's owner gets each buffer once.
  void expect_whole(std::uint32_t slot) {
    number_list all = take_many(slot, ring.capacity() + 1);
    std::sort(all.begin(), all.end());
    number_list expected(ring.capacity());
    std::iota(expected.begin(), expected.end(), 0U);
    EXPECT_EQ(all, expected);
    give_many(slot, all);
    EXPECT_EQ(ring.available() + cache.totals().cached, ring.capacity());
  }
  [[nodiscard]] std::uint64_t items_of(std::uint32_t slot) const {
    const std::uint64_t level = slots[slot].level.load();
    return level == 0 ? 0 : level - 1;
  }
  /// Slot 1's owner gives back `count` buffers into its cache, with the ring far from empty.
  void fill_cache_of_slot_1(std::size_t count) { give_many(1, take_many(1, count)); }

  const detail::slot_map map = detail::slot_map::make(1 << 20, 64);
  index_ring ring;
  std::unique_ptr<scripted_cache::slot_cache[]> slots;
  scripted_cache cache;

 private:
  std::unique_ptr<index_ring::entry[]> entries_;
};

TEST(gate_state, survives_its_packing_in_every_combination) {
  for (const unsigned items : {0U, 1U, 64U, 184U, 65535U}) {
    const auto target = static_cast<std::uint16_t>(items);
    for (const std::uint32_t raiders : {0U, 1U, 2U, 16384U, (1U << 21) - 1}) {
      for (unsigned flags = 0; flags < 16; ++flags) {
        const gate_state one{.target = target,
                             .open = (flags & 1) != 0,
                             .fenced = (flags & 2) != 0,
                             .clean = (flags & 4) != 0,
                             .opening = (flags & 8) != 0,
                             .waited = static_cast<std::uint8_t>(flags * 8 + 7),
                             .raiders = raiders};
        const gate_state other = gate_state::unpack(one.pack());
        EXPECT_EQ(other.target, one.target);
        EXPECT_EQ(other.open, one.open);
        EXPECT_EQ(other.fenced, one.fenced);
        EXPECT_EQ(other.clean, one.clean);
        EXPECT_EQ(other.opening, one.opening);
        EXPECT_EQ(other.waited, one.waited);
        EXPECT_EQ(other.raiders, one.raiders);
      }
    }
  }
}

TEST(gate_state, limit_is_the_target_only_while_open_and_not_raided) {
  EXPECT_EQ((gate_state{.target = 64, .open = true, .fenced = false, .raiders = 0}).limit(), 64U);
  EXPECT_EQ((gate_state{.target = 64, .open = false, .fenced = false, .raiders = 0}).limit(), 0U);
  EXPECT_EQ((gate_state{.target = 64, .open = true, .fenced = false, .raiders = 1}).limit(), 0U);
  EXPECT_EQ((gate_state{.target = 64, .open = true, .fenced = true, .raiders = 0}).limit(), 64U)
      << "on the slow path";
}

TEST(gate_state, the_fast_path_sees_a_limit_of_zero_wherever_it_must_not_go) {
  EXPECT_EQ(gate_state::fast_limit(
                gate_state{.target = 64, .open = true, .fenced = false, .raiders = 0}.pack()),
            64U);
  EXPECT_EQ(gate_state::fast_limit(
                gate_state{.target = 64, .open = false, .fenced = false, .raiders = 0}.pack()),
            0U);
  EXPECT_EQ(gate_state::fast_limit(
                gate_state{.target = 64, .open = true, .fenced = false, .raiders = 3}.pack()),
            0U);
  EXPECT_EQ(gate_state::fast_limit(
                gate_state{.target = 64, .open = true, .fenced = true, .raiders = 0}.pack()),
            0U);
}

TEST_F(index_cache_under_test, one_owner_gets_every_buffer_and_then_none) {
  for (const std::size_t capacity : {1U, 2U, 4U, 64U, 1024U}) {
    make(capacity);
    expect_whole(1);
    expect_whole(1);
  }
}

TEST_F(index_cache_under_test, aims_at_half_of_the_pool_shared_by_all_threads) {
  make(64);
  EXPECT_EQ(cache.limit(), 32U);
  make(1024);
  EXPECT_EQ(cache.limit(), 128U) << "the option's limit";
  make(1 << 16, scripted_cache::max_items + 1000);
  EXPECT_EQ(cache.limit(), scripted_cache::max_items);
  scripted_threads::live = 4;
  make(64);
  EXPECT_EQ(cache.limit(), 8U);
  scripted_threads::live = 100;
  make(64);
  EXPECT_EQ(cache.limit(), 0U) << "more threads than half of the buffers: no caches";
  expect_whole(1);
}

TEST_F(index_cache_under_test, a_cache_never_holds_more_than_its_limit) {
  make(1024, 16);
  const number_list all = take_many(1, 1024);
  for (const std::uint32_t number : all) {
    give(1, number);
    ASSERT_LE(items_of(1), 16U);
  }
  EXPECT_GT(items_of(1), 0U);
  expect_whole(1);
}

TEST_F(index_cache_under_test, the_buffer_given_back_last_comes_first) {
  make(256);
  const number_list held = take_many(1, 10);
  give_many(1, {held[3], held[7]});
  EXPECT_EQ(take(1), held[7]);
  EXPECT_EQ(take(1), held[3]);
  give_many(1, held);
  expect_whole(1);
}

TEST_F(index_cache_under_test, a_full_cache_flushes_what_was_given_back_longest_ago) {
  make(1024, 8);
  const number_list held = take_many(1, 40);
  while (items_of(1) != 0) {
    (void)take(1);
  }
  give_many(1, {held.begin(), held.begin() + 9});
  EXPECT_EQ(items_of(1), 5U) << "half of the limit stays, and the new one";
  for (std::size_t i = 9; i-- > 4;) {
    EXPECT_EQ(take(1), held[i]) << "the hot ones stayed";
  }
}

TEST_F(index_cache_under_test, with_a_limit_of_zero_everything_goes_by_the_ring) {
  make(16, 0);
  give_many(1, take_many(1, 10));
  EXPECT_EQ(cache.totals().cached, 0U);
  EXPECT_EQ(ring.available(), 16U);
  expect_whole(2);
}

TEST_F(index_cache_under_test, nobodys_slot_is_always_missed) {
  make(64);
  give_many(0, take_many(0, 20));
  EXPECT_EQ(items_of(0), 0U);
  EXPECT_EQ(ring.available(), 64U);
  EXPECT_EQ(cache.totals().alloc_count, 20U);
  expect_whole(0);
}

TEST_F(index_cache_under_test, an_idle_owners_cache_is_raided_to_the_last_buffer) {
  make(64);
  fill_cache_of_slot_1(32);
  ASSERT_GT(items_of(1), 0U);
  const number_list all = take_many(2, 65);
  EXPECT_EQ(all.size(), 64U);
  EXPECT_EQ(items_of(1), 0U);
  EXPECT_GE(cache.raid_count(), 1U);
  EXPECT_GE(scripted_threads::heavy_fence_count, 1);
  give_many(2, all);
  expect_whole(3);
}

TEST_F(index_cache_under_test, every_idle_cache_is_raided) {
  make(1024);
  for (const std::uint32_t slot : {1U, 3U, 7U}) {
    give_many(slot, take_many(slot, 100));
    EXPECT_GT(items_of(slot), 0U);
  }
  expect_whole(2);
}

TEST_F(index_cache_under_test, a_cache_whose_owner_is_under_way_is_left_alone) {
  make(64);
  fill_cache_of_slot_1(32);
  const std::uint64_t inside = items_of(1);
  ASSERT_GT(inside, 0U);
  slots[1].seq.fetch_add(1);  // the owner is inside a call
  const number_list others = take_many(2, 65);
  EXPECT_EQ(others.size(), 64 - inside);
  EXPECT_EQ(items_of(1), inside);
  slots[1].seq.fetch_add(1);  // and has ended it
  EXPECT_EQ(take_many(2, 65).size(), inside);
}

TEST_F(index_cache_under_test, a_re_entered_cache_is_missed_and_not_touched) {
  make(64);
  fill_cache_of_slot_1(32);
  const std::uint64_t inside = items_of(1);
  ASSERT_GT(inside, 0U);
  slots[1].seq.fetch_add(1);  // a signal handler runs inside the owner's call
  std::uintptr_t item = 0;
  EXPECT_FALSE(cache.try_pop(item));
  EXPECT_FALSE(cache.try_push(map.address_of(0)));
  const std::optional<std::uint32_t> mine = take(1);
  ASSERT_TRUE(mine.has_value());
  give(1, *mine);
  EXPECT_EQ(items_of(1), inside);
  slots[1].seq.fetch_add(1);
  expect_whole(1);
}

TEST_F(index_cache_under_test, a_raid_halves_the_target_and_keeps_caches_closed_under_pressure) {
  make(64);
  fill_cache_of_slot_1(32);
  ASSERT_EQ(cache.limit(), 32U);
  const number_list all = take_many(2, 65);
  ASSERT_EQ(all.size(), 64U);
  EXPECT_EQ(cache.limit(), 0U) << "closed since the refusal";
  give_many(2, {all.begin(), all.begin() + 16});
  EXPECT_EQ(cache.limit(), 0U) << "a quarter of the pool is no slack yet";
  give_many(2, {all.begin() + 16, all.begin() + 18});
  EXPECT_GT(cache.limit(), 0U) << "open again";
  EXPECT_LT(cache.limit(), 32U);
  give_many(2, {all.begin() + 18, all.end()});
  expect_whole(1);
}

TEST_F(index_cache_under_test, a_pool_that_stays_empty_is_not_raided_again) {
  make(64);
  const number_list all = take_many(1, 65);
  ASSERT_EQ(all.size(), 64U);
  EXPECT_FALSE(take(2).has_value());
  const std::uint64_t raids = cache.raid_count();
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(take(2).has_value());
  }
  EXPECT_EQ(cache.raid_count(), raids) << "all caches were seen empty, and nobody used one since";
  give_many(1, all);
  expect_whole(2);
}

TEST_F(index_cache_under_test, the_target_grows_back_after_calm) {
  make(1024, 64);
  give_many(1, take_many(1, 1024));
  (void)take_many(2, 1024);
  ASSERT_EQ(cache.limit(), 0U);
  number_list all(1024);
  std::iota(all.begin(), all.end(), 0U);
  give_many(2, all);
  const std::size_t under_pressure = cache.limit();
  ASSERT_LT(under_pressure, 64U);
  for (int move = 0; move < 1000; ++move) {  // each fills and empties the cache
    give_many(1, take_many(1, 200));
  }
  EXPECT_EQ(cache.limit(), 64U);
  expect_whole(1);
}

TEST_F(index_cache_under_test, the_target_falls_at_once_when_threads_come) {
  make(256);
  fill_cache_of_slot_1(128);
  ASSERT_EQ(cache.limit(), 128U);
  scripted_threads::live = 8;
  const number_list held = take_many(2, 1);  // a miss
  EXPECT_EQ(cache.limit(), 16U);
  give_many(2, held);
  expect_whole(3);
}

TEST_F(index_cache_under_test, without_membarrier_the_slow_path_fences_and_caches) {
  make(64, 128, true);
  fill_cache_of_slot_1(16);
  std::uintptr_t item = 0;
  EXPECT_GT(items_of(1), 0U);
  EXPECT_FALSE(cache.try_pop(item)) << "the fast path has no fence";
  EXPECT_GT(scripted_threads::full_fence_count, 0);
  expect_whole(2);
  EXPECT_EQ(scripted_threads::heavy_fence_count, 0);
}

TEST_F(index_cache_under_test, membarrier_refused_at_run_time_turns_to_fences_for_ever) {
  make(64);
  fill_cache_of_slot_1(32);
  scripted_threads::membarrier = detail::heavy_result::made_once;
  expect_whole(2);
  EXPECT_EQ(scripted_threads::heavy_fence_count, 1);
  give_many(1, take_many(1, 20));
  std::uintptr_t item = 0;
  EXPECT_FALSE(cache.try_pop(item)) << "the fast path has no fence";
  expect_whole(2);
  EXPECT_EQ(scripted_threads::heavy_fence_count, 1) << "not asked again";
}

TEST_F(index_cache_under_test, a_raider_without_any_fence_touches_no_cache) {
  make(64);
  fill_cache_of_slot_1(32);
  const std::uint64_t inside = items_of(1);
  scripted_threads::membarrier = detail::heavy_result::refused;
  const number_list held = take_many(2, 65);
  EXPECT_EQ(held.size(), 64 - inside);
  EXPECT_EQ(items_of(1), inside) << "their owner may be under way, unseen";
  give_many(2, held);
  expect_whole(2);  // owners fence by now, and so raids are safe again
}

TEST_F(index_cache_under_test, drain_gives_what_idle_owners_cached_to_the_ring) {
  make(1024);
  for (const std::uint32_t slot : {1U, 2U, 5U}) {
    give_many(slot, take_many(slot, 64));
  }
  slots[5].seq.fetch_add(1);  // under way: not idle
  const std::uint64_t busy = items_of(5);
  ASSERT_GT(cache.totals().cached, busy);
  cache.drain(map);
  EXPECT_EQ(cache.totals().cached, busy);
  EXPECT_EQ(ring.available(), 1024 - busy);
  slots[5].seq.fetch_add(1);
  expect_whole(2);
}

TEST_F(index_cache_under_test, a_bulk_takes_from_own_cache_ring_and_other_caches) {
  make(64);
  fill_cache_of_slot_1(32);
  give_many(2, take_many(2, 8));
  const std::uint64_t counted = cache.totals().alloc_count;
  scripted_threads::slot = 2;
  std::vector<std::uintptr_t> out(100);
  EXPECT_EQ(cache.pop_bulk(map, out), 64U);
  EXPECT_EQ(cache.totals().alloc_count, counted + 64);
  EXPECT_EQ(cache.pop_bulk(map, out), 0U);
  out.resize(64);
  cache.push_bulk(map, out);
  EXPECT_EQ(ring.available() + cache.totals().cached, 64U);
  expect_whole(1);
}

TEST_F(index_cache_under_test, a_bulk_larger_than_any_cache_goes_through) {
  make(4096);
  std::vector<std::uintptr_t> out(4096);
  EXPECT_EQ(cache.pop_bulk(map, out), 4096U);
  cache.push_bulk(map, out);
  cache.push_bulk(map, {});
  EXPECT_LE(items_of(1), 128U);
  expect_whole(1);
}

TEST_F(index_cache_under_test, every_buffer_given_out_and_back_is_counted_once) {
  make(256, 32);
  std::uint64_t expected = 0;
  for (std::size_t round = 1; round < 40; ++round) {
    for (const std::uint32_t slot : {1U, 2U, 0U}) {
      const number_list held = take_many(slot, round);
      expected += held.size();
      ASSERT_EQ(cache.totals().alloc_count, expected);
      ASSERT_EQ(cache.totals().free_count, expected - held.size());
      give_many(slot, held);
      ASSERT_EQ(cache.totals().free_count, expected);
    }
  }
}

TEST_F(index_cache_under_test, a_forked_child_ends_the_calls_of_threads_that_are_no_more) {
  make(64);
  fill_cache_of_slot_1(32);
  slots[1].seq.fetch_add(1);  // this owner stays behind in the parent, inside a call
  cache.after_fork(2);
  EXPECT_EQ(slots[1].seq.load() % 2, 0U);
  expect_whole(2);
}

TEST_F(index_cache_under_test, the_thread_that_forks_inside_a_call_can_end_it) {
  make(64);
  fill_cache_of_slot_1(32);
  slots[1].seq.fetch_add(1);  // forked from a signal handler of this thread
  cache.after_fork(1);
  EXPECT_EQ(slots[1].seq.load() % 2, 1U);
  slots[1].seq.fetch_add(1);
  expect_whole(1);
}

}  // namespace
}  // namespace ringpool
