// SPDX-License-Identifier: MIT
#include "ringpool/index_ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace ringpool {
namespace {

/// A ring with the memory of its entries.
class ring_under_test {
 public:
  explicit ring_under_test(std::size_t capacity, std::uint64_t first_cycle = 1)
      : entries_(std::make_unique<index_ring::entry[]>(index_ring::entry_count(capacity))) {
    ring.reset(entries_.get(), capacity, first_cycle);
  }
  [[nodiscard]] std::vector<std::uint32_t> pop(std::size_t count) {
    std::vector<slot_index> out(count);
    return numbers(out, ring.pop_bulk(out));
  }
  [[nodiscard]] std::vector<std::uint32_t> pop_returned(std::size_t count) {
    std::vector<slot_index> out(count);
    return numbers(out, ring.pop_returned(out));
  }
  void push(const std::vector<std::uint32_t>& numbers) {
    std::vector<slot_index> slots;
    for (const std::uint32_t number : numbers) {
      slots.push_back(slot_index{number});
    }
    ring.push_bulk(slots);
  }

  index_ring ring;

 private:
  static std::vector<std::uint32_t> numbers(const std::vector<slot_index>& slots,
                                            std::size_t count) {
    std::vector<std::uint32_t> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(to_number(slots[i]));
    }
    return all;
  }

  std::unique_ptr<index_ring::entry[]> entries_;
};

std::vector<std::uint32_t> first_numbers(std::size_t count) {
  std::vector<std::uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0U);
  return all;
}

std::vector<std::uint32_t> sorted(std::vector<std::uint32_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

/// Every index is free, and each can be had once.
void expect_whole(ring_under_test& one) {
  const std::size_t capacity = one.ring.capacity();
  EXPECT_EQ(one.ring.available(), capacity);
  const std::vector<std::uint32_t> all = one.pop(capacity + 1);
  EXPECT_EQ(sorted(all), first_numbers(capacity));
  EXPECT_TRUE(one.pop(1).empty());
  one.push(all);
  EXPECT_EQ(one.ring.available(), capacity);
}

TEST(index_ring, hands_out_every_index_once_and_then_none) {
  for (const std::size_t capacity : {1U, 2U, 3U, 4U, 5U, 64U, 100U, 1000U, 4096U}) {
    ring_under_test one(capacity);
    EXPECT_EQ(one.ring.capacity(), capacity);
    std::vector<std::uint32_t> all;
    for (std::vector<std::uint32_t> got; !(got = one.pop(1)).empty();) {
      all.push_back(got.front());
      ASSERT_LE(all.size(), capacity);
      EXPECT_EQ(one.ring.available(), capacity - all.size());
    }
    EXPECT_EQ(sorted(all), first_numbers(capacity));
    one.push(all);
    expect_whole(one);
  }
}

TEST(index_ring, fresh_indices_come_in_order_and_are_counted_as_touched) {
  ring_under_test one(8);
  EXPECT_EQ(one.ring.touched(), 0U);
  EXPECT_EQ(one.pop(3), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(one.ring.touched(), 3U);
  EXPECT_EQ(one.pop(2), (std::vector<std::uint32_t>{3, 4}));
  EXPECT_EQ(one.ring.touched(), 5U);
  one.push({0, 1, 2, 3, 4});
  EXPECT_EQ(one.ring.touched(), 5U);
  expect_whole(one);
}

TEST(index_ring, returned_indices_come_before_fresh_ones) {
  ring_under_test one(8);
  const std::vector<std::uint32_t> held = one.pop(2);
  one.push({held[1]});
  EXPECT_EQ(one.pop(1), (std::vector<std::uint32_t>{1})) << "a touched buffer is warm";
  EXPECT_EQ(one.pop(1), (std::vector<std::uint32_t>{2}));
  EXPECT_EQ(one.ring.touched(), 3U);
  one.push({0, 1, 2});
  expect_whole(one);
}

TEST(index_ring, a_bulk_takes_returned_ones_and_fills_up_with_fresh_ones) {
  ring_under_test one(8);
  (void)one.pop(3);
  one.push({2, 0});
  EXPECT_EQ(sorted(one.pop(5)), (std::vector<std::uint32_t>{0, 2, 3, 4, 5}));
  EXPECT_EQ(sorted(one.pop(5)), (std::vector<std::uint32_t>{6, 7})) << "partly filled";
  EXPECT_TRUE(one.pop(5).empty());
  one.push(first_numbers(8));
  expect_whole(one);
}

TEST(index_ring, pop_returned_leaves_fresh_ones_alone) {
  ring_under_test one(8);
  EXPECT_TRUE(one.pop_returned(8).empty());
  (void)one.pop(3);
  one.push({0, 1, 2});
  EXPECT_EQ(sorted(one.pop_returned(8)), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(one.ring.touched(), 3U);
  one.push({0, 1, 2});
  expect_whole(one);
}

TEST(index_ring, a_bulk_of_nothing_changes_nothing) {
  ring_under_test one(4);
  EXPECT_TRUE(one.pop(0).empty());
  one.push({});
  EXPECT_TRUE(one.pop_returned(0).empty());
  EXPECT_EQ(one.ring.touched(), 0U);
  expect_whole(one);
}

TEST(index_ring, has_twice_as_many_entries_as_its_capacity_rounded_up) {
  EXPECT_EQ(index_ring::entry_count(1), 2U);
  EXPECT_EQ(index_ring::entry_count(4), 8U);
  EXPECT_EQ(index_ring::entry_count(5), 16U);
}

/// Random bulks against the set of free indices, until `tickets` indices were pushed.
void expect_conserved(ring_under_test& one, std::size_t tickets, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::uint32_t> held;
  std::vector<bool> is_held(one.ring.capacity());
  for (std::size_t pushed = 0; pushed < tickets;) {
    if (random() % 2 == 0) {
      for (const std::uint32_t number : one.pop(1 + random() % 7)) {
        ASSERT_LT(number, is_held.size());
        ASSERT_FALSE(is_held[number]) << "given out twice";
        is_held[number] = true;
        held.push_back(number);
      }
    } else {
      std::vector<std::uint32_t> back;
      for (std::size_t i = 0, count = random() % 7; i < count && !held.empty(); ++i) {
        std::swap(held[random() % held.size()], held.back());
        is_held[held.back()] = false;
        back.push_back(held.back());
        held.pop_back();
      }
      one.push(back);
      pushed += back.size();
    }
    ASSERT_EQ(one.ring.available(), one.ring.capacity() - held.size());
  }
  one.push(held);
  expect_whole(one);
}

TEST(index_ring, loses_and_doubles_nothing_over_many_rounds) {
  for (const std::size_t capacity : {1U, 2U, 4U, 13U, 64U, 1000U}) {
    ring_under_test one(capacity);
    expect_conserved(one, 100 * capacity + 1000, 11);
  }
}

TEST(index_ring, keeps_going_where_narrower_cycle_tags_wrap) {
  for (const unsigned bits : {8U, 15U, 16U, 31U, 32U, 47U, 48U}) {
    for (const std::size_t capacity : {1U, 4U, 5U, 64U}) {
      ring_under_test one(capacity, (std::uint64_t{1} << bits) - 3);
      expect_conserved(one, 20 * index_ring::entry_count(capacity), bits);
    }
  }
}

TEST(index_ring, works_up_to_the_last_cycles_that_a_tag_can_hold) {
  for (const std::size_t capacity : {1U, 4U, 64U}) {
    const std::size_t entries = index_ring::entry_count(capacity);
    const auto entry_bits = static_cast<unsigned>(std::countr_zero(entries));
    const std::uint64_t cycles = std::uint64_t{1} << (63 - entry_bits);
    ring_under_test one(capacity, cycles - 40);
    expect_conserved(one, 30 * entries, 3);
  }
}

}  // namespace
}  // namespace ringpool
