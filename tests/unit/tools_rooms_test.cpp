// SPDX-License-Identifier: MIT
#include "rooms.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <ringpool/multi_size_ring_pool.hpp>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "room_members.hpp"
#include "server_loop.hpp"

namespace ringpool::tools {
namespace {

/// A loop that is woken and does nothing.
class sleeping_loop final : public server_loop {
 public:
  sleeping_loop() : server_loop({.limits = {}, .tick = {}, .drain_timeout = {}}) {}
  void run() noexcept override {}
  [[nodiscard]] loop_totals totals() const noexcept override { return {.counts = nullptr}; }

 private:
  void on_message(int /*message*/) noexcept override {}
  void begin_drain() noexcept override {}
  void take_up(const running_settings&) noexcept override {}
};

class Rooms : public ::testing::Test {
 protected:
  Rooms() {
    for (unsigned i = 0; i < 2; ++i) {
      hall_.connect(i, loops_[i]);
    }
  }

  room_frame frame_of(const std::string& text) {
    buffer said = pool_.try_alloc(text.size());
    std::memcpy(said.data(), text.data(), text.size());
    return {shared_buffer(std::move(said)), false};
  }
  static std::string text_of(const room_frame& frame) {
    return {reinterpret_cast<const char*>(frame.bytes.data()), frame.bytes.size()};
  }
  std::vector<room_mail> take(unsigned loop) {
    std::vector<room_mail> mail;
    hall_.take_mail(loop, mail);
    return mail;
  }
  [[nodiscard]] std::uint64_t buffers_in_use() const {
    return pool_.stats().classes.front().in_use;
  }

  multi_size_ring_pool pool_{{64, 1024}};
  sleeping_loop loops_[2];
  rooms hall_{2};
};

TEST_F(Rooms, one_name_is_one_room_on_all_loops) {
  const std::uint32_t first = hall_.enter("first", 0);
  const std::uint32_t second = hall_.enter("second", 0);
  EXPECT_NE(first, second);
  EXPECT_EQ(hall_.enter("first", 1), first);
  EXPECT_EQ(hall_.count(), 2U);
}

TEST_F(Rooms, a_frame_goes_to_other_loops_with_members_and_in_order) {
  const std::uint32_t shared = hall_.enter("shared", 0);
  EXPECT_EQ(hall_.enter("shared", 1), shared);
  const std::uint32_t own = hall_.enter("own", 0);
  for (int i = 0; i < 3; ++i) {
    hall_.publish(shared, 0, frame_of(std::to_string(i)));
    hall_.publish(own, 0, frame_of("nobody else is in there"));
  }
  const std::vector<room_mail> mail = take(1);
  ASSERT_EQ(mail.size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(mail[static_cast<std::size_t>(i)].room, shared);
    EXPECT_EQ(text_of(mail[static_cast<std::size_t>(i)].frame), std::to_string(i));
    hall_.delivered(shared);
  }
  EXPECT_TRUE(take(0).empty());
  EXPECT_TRUE(take(1).empty());
}

TEST_F(Rooms, a_room_without_members_and_mail_is_forgotten_and_its_number_used_again) {
  const std::uint32_t first = hall_.enter("first", 0);
  hall_.leave(first, 0);
  EXPECT_EQ(hall_.count(), 0U);
  EXPECT_EQ(hall_.enter("second", 1), first);
}

TEST_F(Rooms, a_number_is_no_other_rooms_while_mail_for_it_is_under_way) {
  const std::uint32_t first = hall_.enter("first", 0);
  EXPECT_EQ(hall_.enter("first", 1), first);
  hall_.publish(first, 0, frame_of("late"));
  hall_.leave(first, 1);
  hall_.leave(first, 0);
  EXPECT_EQ(hall_.count(), 1U);
  const std::uint32_t second = hall_.enter("second", 1);
  EXPECT_NE(second, first);  // or it would get what was said in the first
  EXPECT_EQ(hall_.enter("first", 0), first);
  hall_.leave(first, 0);
  EXPECT_EQ(take(1).size(), 1U);
  EXPECT_NE(hall_.enter("third", 1), first);  // taken, and not yet delivered
  hall_.delivered(first);
  EXPECT_EQ(hall_.enter("fourth", 1), first);
}

TEST_F(Rooms, mail_that_nobody_takes_any_more_is_let_go) {
  const std::uint32_t room = hall_.enter("room", 0);
  EXPECT_EQ(hall_.enter("room", 1), room);
  hall_.publish(room, 0, frame_of("too late"));
  EXPECT_EQ(buffers_in_use(), 1U);
  hall_.forget_mail();
  EXPECT_EQ(buffers_in_use(), 0U);
}

/// Enters, speaks and leaves, room after room; what comes must be of a room that it is in, or was
/// in when it was sent.
void visit_rooms(rooms& hall, multi_size_ring_pool& pool, unsigned loop, int visits,
                 std::atomic<int>& strangers) {
  std::minstd_rand random(loop + 1);
  std::vector<room_mail> mail;
  const auto receive = [&](std::uint32_t room, const std::string& name) {
    hall.take_mail(loop, mail);
    for (const room_mail& one : mail) {
      const std::string said(reinterpret_cast<const char*>(one.frame.bytes.data()),
                             one.frame.bytes.size());
      if (one.room == room && said != name) {
        strangers.fetch_add(1, std::memory_order_relaxed);  // summed up after join()
      }
      hall.delivered(one.room);
    }
  };
  for (int i = 0; i < visits; ++i) {
    const std::string name = "room " + std::to_string(random() % 5);
    const std::uint32_t room = hall.enter(name, loop);
    for (auto left = random() % 3; left != 0; --left) {
      if (buffer said = pool.try_alloc(name.size())) {
        std::memcpy(said.data(), name.data(), name.size());
        hall.publish(room, loop, {shared_buffer(std::move(said)), false});
      }
    }
    receive(room, name);
    hall.leave(room, loop);
    if (i % 4 == 0) {
      receive(room, name);
    }
  }
}

TEST_F(Rooms, loops_that_come_speak_and_leave_at_once_hear_no_other_room) {
  std::atomic<int> strangers{0};
  std::thread other([&] { visit_rooms(hall_, pool_, 1, 20000, strangers); });
  visit_rooms(hall_, pool_, 0, 20000, strangers);
  other.join();
  for (unsigned loop = 0; loop < 2; ++loop) {
    for (const room_mail& one : take(loop)) {
      hall_.delivered(one.room);
    }
  }
  EXPECT_EQ(strangers.load(std::memory_order_relaxed), 0);
  EXPECT_EQ(hall_.count(), 0U);
  EXPECT_EQ(buffers_in_use(), 0U);
}

TEST(room_members, the_last_one_takes_the_seat_of_who_leaves_and_is_told) {
  room_members under_test;
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(under_test.enter(3, {7, i}), i);
  }
  room_member moved{};
  EXPECT_TRUE(under_test.leave(3, 1, moved));
  EXPECT_EQ(moved.slot, 3U);
  EXPECT_EQ(under_test.of(3)[1].slot, 3U);
  EXPECT_FALSE(under_test.leave(3, 2, moved));  // the last one itself
  EXPECT_EQ(under_test.of(3).size(), 2U);
  EXPECT_TRUE(under_test.of(2).empty());
  EXPECT_TRUE(under_test.of(1000).empty());
}

TEST(room_members, every_seat_is_right_after_any_coming_and_going) {
  room_members under_test;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> seats(60);  // room + 1 and position, by slot
  std::minstd_rand random(3);
  for (int step = 0; step < 20000; ++step) {
    const auto who = static_cast<std::uint32_t>(random() % seats.size());
    auto& [room, position] = seats[who];
    if (room == 0) {
      room = static_cast<std::uint32_t>(random() % 4) + 1;
      position = under_test.enter(room - 1, {0, who});
    } else {
      room_member moved{};
      if (under_test.leave(room - 1, position, moved)) {
        seats[moved.slot].second = position;
      }
      room = 0;
    }
    std::size_t seated = 0;
    for (std::uint32_t slot = 0; slot < seats.size(); ++slot) {
      const auto [where, seat] = seats[slot];
      if (where != 0) {
        ASSERT_EQ(under_test.of(where - 1)[seat].slot, slot);
        ++seated;
      }
    }
    std::size_t counted = 0;
    for (std::uint32_t number = 0; number < 4; ++number) {
      counted += under_test.of(number).size();
    }
    ASSERT_EQ(seated, counted);
  }
}

}  // namespace
}  // namespace ringpool::tools
