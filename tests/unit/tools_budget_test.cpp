// SPDX-License-Identifier: MIT
#include "budget.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "shed_board.hpp"

namespace ringpool::tools {
namespace {

using std::chrono::milliseconds;

TEST(tools_budget, a_connection_is_charged_with_its_room_or_not_at_all) {
  account room(account::settings{.limit_bytes = 100});
  loop_account loop(loop_account::settings{});
  {
    connection_budget one(loop_account::settings{.limit_bytes = 80, .parent = &loop});
    connection_budget other(loop_account::settings{.parent = &loop});
    one.enter(&room);
    other.enter(&room);
    EXPECT_FALSE(one.try_charge(81));
    EXPECT_TRUE(one.try_charge(60));
    EXPECT_FALSE(other.try_charge(41));
    EXPECT_EQ(other.used_bytes(), 0U);
    EXPECT_TRUE(other.try_charge(40));
    EXPECT_TRUE(one.try_charge_input(20));  // the room has nothing to do with it
    EXPECT_EQ(room.used_bytes(), 100U);
    EXPECT_EQ(loop.used_bytes(), 120U);
    one.refund(60);
    other.refund(40);
    EXPECT_EQ(room.used_bytes(), 0U);
  }
  EXPECT_EQ(loop.used_bytes(), 0U);  // input, too
}

TEST(tools_budget, an_account_of_one_thread_crosses_its_marks_as_any_other) {
  connection_budget one(
      loop_account::settings{.limit_bytes = 100, .high_bytes = 60, .low_bytes = 30});
  account reference(account::settings{.limit_bytes = 100, .high_bytes = 60, .low_bytes = 30});
  for (const int step : {50, 10, -20, 40, 40, -40, -15, 30, 35, -65, 60, -30}) {
    const auto size = static_cast<std::uint64_t>(step < 0 ? -step : step);
    if (step > 0) {
      ASSERT_EQ(one.try_charge(size), reference.try_charge(size)) << step;
    } else {
      one.refund(size);
      reference.refund(size);
    }
    ASSERT_EQ(one.used_bytes(), reference.used_bytes()) << step;
    ASSERT_EQ(one.pressed(), reference.pressed()) << step;
  }
}

TEST(tools_budget, a_list_keeps_those_who_hold_most_in_order) {
  holder_list list;
  for (const std::uint64_t held_bytes : {3U, 0U, 9U, 1U, 7U, 5U, 2U, 8U}) {
    list.add(held_bytes, -1);
  }
  std::vector<std::uint64_t> held;
  for (const heavy_peer& one : list) {
    held.push_back(one.bytes);
  }
  EXPECT_EQ(held, (std::vector<std::uint64_t>{9, 8, 7, 5, 3}));
}

TEST(tools_budget, a_lack_that_lasts_is_told_from_one_that_passes) {
  pressure_gauge gauge;
  pressure_gauge::clock::time_point now{std::chrono::hours(1)};
  int said = 0;
  for (int i = 0; i < 10; ++i) {  // a refusal now and then
    said += gauge.refused(now) ? 1 : 0;
    now += milliseconds(30);
  }
  EXPECT_EQ(said, 0);
  for (int i = 0; i < 200; ++i) {  // one a millisecond
    said += gauge.refused(now) ? 1 : 0;
    now += milliseconds(1);
  }
  EXPECT_EQ(said, 3);
}

TEST(tools_budget, a_hog_holds_far_more_than_the_others_and_than_anyone_may) {
  EXPECT_TRUE(shed_board::is_hog(500'000, {.bytes = 600'000, .active = 101}, 16'384));
  EXPECT_TRUE(shed_board::is_hog(500'000, {.bytes = 500'000, .active = 1}, 16'384));
  EXPECT_FALSE(shed_board::is_hog(16'384, {.bytes = 16'384, .active = 1}, 16'384));
  EXPECT_FALSE(shed_board::is_hog(100'000, {.bytes = 1'000'000, .active = 10}, 16'384));
  EXPECT_FALSE(shed_board::is_hog(0, {}, 16'384));
}

}  // namespace
}  // namespace ringpool::tools
