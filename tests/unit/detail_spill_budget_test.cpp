// SPDX-License-Identifier: MIT
#include "ringpool/detail/spill_budget.hpp"

#include <gtest/gtest.h>

namespace ringpool::detail {
namespace {

TEST(spill_budget, is_taken_up_to_the_limit_and_not_beyond) {
  spill_budget one;
  EXPECT_FALSE(one.try_take(0));
  EXPECT_TRUE(one.try_take(2));
  EXPECT_TRUE(one.try_take(2));
  EXPECT_FALSE(one.try_take(2));
  EXPECT_EQ(one.held(), 2U);
  one.give_back();
  EXPECT_TRUE(one.try_take(2));
  one.reset(0);
  EXPECT_EQ(one.held(), 0U);
}

}  // namespace
}  // namespace ringpool::detail
