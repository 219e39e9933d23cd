// SPDX-License-Identifier: MIT
#include "zero_pages.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <random>
#include <system_error>

namespace ringpool::tools {
namespace {

TEST(zero_array, is_zero_where_it_was_not_written) {
  const zero_array<std::uint64_t> under_test(1000);
  EXPECT_EQ(under_test.size(), 1000U);
  for (std::uint32_t i = 0; i < under_test.size(); i += 7) {
    EXPECT_EQ(under_test[i], 0U);
    under_test[i] = i + 1;
  }
  for (std::uint32_t i = 0; i < under_test.size(); ++i) {
    EXPECT_EQ(under_test[i], i % 7 == 0 ? i + 1 : 0);
  }
}

TEST(zero_array, knows_where_an_element_is) {
  const zero_array<std::uint32_t> under_test(100);
  EXPECT_EQ(under_test.index_of(under_test[0]), 0U);
  EXPECT_EQ(under_test.index_of(under_test[99]), 99U);
}

TEST(zero_array, is_zero_again_when_it_was_discarded) {
  zero_array<std::uint32_t> under_test(1U << 16);
  for (std::uint32_t i = 0; i < under_test.size(); ++i) {
    under_test[i] = i + 1;
  }
  under_test.discard();
  for (std::uint32_t i = 0; i < under_test.size(); ++i) {
    ASSERT_EQ(under_test[i], 0U);
  }
}

TEST(zero_array, refuses_what_no_address_space_has_room_for) {
  struct large {
    char bytes[1 << 20];
  };
  EXPECT_THROW(zero_array<large>(1U << 31), std::system_error);
}

TEST(number_fifo, gives_numbers_in_the_order_they_came_through_any_wrap) {
  constexpr std::uint32_t limit = 7;
  number_fifo under_test(limit);
  std::deque<std::uint32_t> model;
  std::minstd_rand random(1);
  std::uint32_t next = 0;
  for (int step = 0; step < 20000; ++step) {
    const bool push = model.empty() || (model.size() < limit && random() % 2 == 0);
    if (push) {
      under_test.push(++next);
      model.push_back(next);
    } else {
      ASSERT_EQ(under_test.pop(), model.front());
      model.pop_front();
    }
    ASSERT_EQ(under_test.count(), model.size());
  }
}

TEST(number_fifo, takes_as_many_as_its_limit) {
  number_fifo under_test(3);
  for (int turn = 0; turn < 5; ++turn) {
    for (std::uint32_t i = 0; i < 3; ++i) {
      under_test.push(i + 10);
    }
    EXPECT_EQ(under_test.pop(), 10U);
    under_test.push(13);
    for (std::uint32_t i = 11; i <= 13; ++i) {
      EXPECT_EQ(under_test.pop(), i);
    }
    EXPECT_EQ(under_test.count(), 0U);
  }
}

}  // namespace
}  // namespace ringpool::tools
