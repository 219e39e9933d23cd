// SPDX-License-Identifier: MIT
#include "ringpool/account.hpp"

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/child_process.hpp"
#include "../support/misuse_recorder.hpp"
#include "ringpool/fault_plan.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool {
namespace {

/// The marks that an account crossed, and on which thread.
struct mark_log {
  std::vector<watermark> crossed;
  std::thread::id last_thread;
};

void note(account& from, watermark crossed, void* context) noexcept {
  auto& log = *static_cast<mark_log*>(context);
  EXPECT_EQ(from.pressed(), crossed == watermark::high);
  log.crossed.push_back(crossed);
  log.last_thread = std::this_thread::get_id();
}

TEST(account, charges_up_to_the_limit_and_not_a_byte_more) {
  account one({.limit_bytes = 100});
  EXPECT_TRUE(one.try_charge(60));
  EXPECT_FALSE(one.try_charge(41));
  EXPECT_TRUE(one.try_charge(40));
  EXPECT_FALSE(one.try_charge(1));
  EXPECT_TRUE(one.try_charge(0));
  EXPECT_EQ(one.used_bytes(), 100U);
  EXPECT_EQ(one.refusal_count(), 2U);
  one.refund(100);
  EXPECT_EQ(one.used_bytes(), 0U);
}

TEST(account, a_charge_near_the_largest_number_does_not_wrap) {
  account one({});
  EXPECT_TRUE(one.try_charge(10));
  EXPECT_FALSE(one.try_charge(~std::uint64_t{0}));
  EXPECT_FALSE(one.try_charge(account::max_bytes));
  EXPECT_TRUE(one.try_charge(account::max_bytes - 10));
  EXPECT_EQ(one.used_bytes(), account::max_bytes);
}

TEST(account, a_refund_of_more_than_is_charged_is_misuse_and_refunds_nothing) {
  account server({.limit_bytes = 100});
  account room({.parent = &server});
  EXPECT_TRUE(server.try_charge(10));
  EXPECT_TRUE(room.try_charge(60));
  const test::misuse_recorder recorder;
  room.refund(65);
  EXPECT_EQ(room.used_bytes(), 60U);
  EXPECT_EQ(server.used_bytes(), 70U) << "though it has so much";
  ASSERT_EQ(recorder.count(misuse_kind::excess_refund), 1U);
  EXPECT_EQ(recorder.last().pointer, &room);
  EXPECT_EQ(recorder.last().outstanding_count, 5U);
  server.refund(20);
  room.refund(60);
  EXPECT_EQ(recorder.count(misuse_kind::excess_refund), 2U) << "the room's bytes were refunded";
  EXPECT_EQ(recorder.last().pointer, &server);
}

TEST(account, a_misused_refund_ends_the_program_with_a_line_that_says_so) {
  const test::child_result seen = test::run_in_child([] {
    account one({});
    one.refund(7);
    return 0;
  });
  EXPECT_TRUE(seen.killed_by(SIGABRT));
  EXPECT_NE(seen.errors.find("ringpool: refund of more than is charged: account 0x"),
            std::string::npos)
      << seen.errors;
  EXPECT_NE(seen.errors.find(", 7 bytes too many"), std::string::npos) << seen.errors;
}

TEST(account, marks_are_told_once_until_the_other_is_crossed) {
  mark_log log;
  account one(
      {.limit_bytes = 100, .high_bytes = 80, .low_bytes = 20, .on_mark = &note, .context = &log});
  EXPECT_TRUE(one.try_charge(79));
  EXPECT_TRUE(log.crossed.empty());
  EXPECT_TRUE(one.try_charge(1));
  EXPECT_TRUE(one.try_charge(10));
  one.refund(69);  // 21 left
  EXPECT_TRUE(one.try_charge(70));
  EXPECT_EQ(log.crossed, std::vector<watermark>{watermark::high});
  one.refund(71);  // 20 left
  one.refund(20);
  EXPECT_EQ(log.crossed, (std::vector<watermark>{watermark::high, watermark::low}));
  EXPECT_FALSE(one.pressed());
}

TEST(account, marks_are_told_on_the_thread_that_crosses_them) {
  mark_log log;
  account one({.high_bytes = 10, .on_mark = &note, .context = &log});
  std::thread other([&] { EXPECT_TRUE(one.try_charge(10)); });
  const std::thread::id id = other.get_id();
  other.join();
  EXPECT_EQ(log.last_thread, id);
  one.refund(10);
  EXPECT_EQ(log.last_thread, std::this_thread::get_id());
}

TEST(account, a_mark_may_be_answered_with_a_refund) {
  account one({.high_bytes = 80,
               .low_bytes = 20,
               .on_mark = [](account& from, watermark crossed, void* /*context*/) noexcept {
                 if (crossed == watermark::high) {
                   from.refund(70);
                 }
               }});
  EXPECT_TRUE(one.try_charge(80));
  EXPECT_EQ(one.used_bytes(), 10U);
  EXPECT_FALSE(one.pressed());
}

TEST(account, a_charge_counts_in_every_account_above) {
  account server({.limit_bytes = 1000});
  account room({.limit_bytes = 600, .parent = &server});
  account member({.limit_bytes = 500, .parent = &room});
  EXPECT_TRUE(member.try_charge(400));
  EXPECT_TRUE(room.try_charge(100));
  EXPECT_EQ(member.used_bytes(), 400U);
  EXPECT_EQ(room.used_bytes(), 500U);
  EXPECT_EQ(server.used_bytes(), 500U);
  member.refund(400);
  room.refund(100);
  EXPECT_EQ(server.used_bytes(), 0U);
}

TEST(account, a_charge_refused_above_is_nowhere) {
  account server({.limit_bytes = 100});
  account room({.parent = &server});
  account member({.parent = &room});
  EXPECT_FALSE(member.try_charge(101));
  EXPECT_EQ(member.used_bytes(), 0U);
  EXPECT_EQ(room.used_bytes(), 0U);
  EXPECT_EQ(server.used_bytes(), 0U);
  EXPECT_EQ(server.refusal_count(), 1U);
  EXPECT_EQ(member.refusal_count(), 0U) << "it was not its limit";
}

TEST(account, a_charged_buffer_is_charged_with_its_capacity_and_refunds_it) {
  ring_buffer_pool pool(256, 4);
  account server({.limit_bytes = 600});
  account room({.parent = &server});
  {
    charged_buffer one = room.alloc(pool, 100);
    ASSERT_TRUE(one);
    EXPECT_EQ(one.size(), 100U);
    EXPECT_EQ(one.charged_bytes(), 256U);
    const charged_buffer two = room.alloc(pool, 256);
    EXPECT_EQ(server.used_bytes(), 512U);
    EXPECT_FALSE(room.alloc(pool, 80)) << "80 bytes would do, the buffer's 256 do not";
    EXPECT_EQ(pool.stats().in_use, 2U);
    charged_buffer moved = std::move(one);
    one = std::move(moved);
    EXPECT_EQ(room.used_bytes(), 512U);
    one.reset();
    EXPECT_EQ(room.used_bytes(), 256U);
  }
  EXPECT_EQ(room.used_bytes(), 0U);
  EXPECT_EQ(server.used_bytes(), 0U);
  test::expect_whole(pool);
}

TEST(account, assigning_a_charged_buffer_refunds_the_one_before) {
  multi_size_ring_pool pool({{64, 4}, {512, 4}});
  account room({});
  charged_buffer one = room.alloc(pool, 512);
  one = room.alloc(pool, 64);
  EXPECT_EQ(room.used_bytes(), 64U);
  one = {};
  EXPECT_EQ(room.used_bytes(), 0U);
}

TEST(account, a_pool_that_refuses_costs_nothing) {
  fault_plan plan({.nth = 1});
  ring_buffer_pool pool(64, 4, {.faults = &plan});
  account room({});
  EXPECT_FALSE(room.alloc(pool, 64));
  EXPECT_EQ(room.used_bytes(), 0U);
  EXPECT_TRUE(room.alloc(pool, 64));
  EXPECT_EQ(room.used_bytes(), 0U);
}

TEST(account, uncharged_gives_the_buffer_without_its_charge) {
  ring_buffer_pool pool(64, 4);
  account room({});
  const buffer bare = room.alloc(pool, 10).uncharged();
  EXPECT_EQ(bare.size(), 10U);
  EXPECT_EQ(room.used_bytes(), 0U);
  EXPECT_EQ(pool.stats().in_use, 1U);
}

TEST(account, a_buffer_of_no_bytes_is_free_of_charge) {
  ring_buffer_pool pool(64, 4);
  account room({.limit_bytes = 0});
  EXPECT_TRUE(room.alloc(pool, 0));
  EXPECT_FALSE(room.alloc(pool, 1));
}

TEST(account_set, largest_are_those_that_use_most_in_order) {
  std::array<account, 4> rooms{account({}), account({}), account({}), account({})};
  account_set set;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    set.add(rooms[i]);
    set.add(rooms[i]);  // once is enough
    EXPECT_TRUE(rooms[i].try_charge(i == 1 ? 50 : 10 + i));
  }
  EXPECT_EQ(set.size(), 4U);
  const auto two = set.largest(2);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].who, &rooms[1]);
  EXPECT_EQ(two[0].used_bytes, 50U);
  EXPECT_EQ(two[1].who, &rooms[3]);
  EXPECT_EQ(set.largest(9).size(), 4U);
  EXPECT_TRUE(set.largest(0).empty());
  set.remove(rooms[1]);
  set.remove(rooms[1]);
  EXPECT_EQ(set.largest(1)[0].who, &rooms[3]);
}

}  // namespace
}  // namespace ringpool
