// SPDX-License-Identifier: MIT
#include "load_window.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace ringpool::tools {
namespace {

constexpr frame_stamp own{.run = 5, .sequence = 0, .connection = 3};

std::vector<std::byte> payload_of(std::uint64_t sequence, std::uint32_t connection = own.connection,
                                  std::uint64_t run = own.run) {
  const frame_stamp sent{.run = run, .sequence = sequence, .connection = connection};
  std::vector<std::byte> payload(64);
  write_payload(payload, sent, frame_random(1, sent));
  return payload;
}

// A window with frames 0 .. count-1 sent, frame i due at 1000 + i.
echo_window sent(std::uint64_t count) {
  echo_window window;
  for (std::uint64_t i = 0; i < count; ++i) {
    EXPECT_EQ(window.add(1000 + static_cast<std::int64_t>(i)), i);
  }
  return window;
}

TEST(load_window, frames_in_order_give_their_due_times_back) {
  echo_window window = sent(10);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const echo result = window.judge(payload_of(i), own);
    EXPECT_EQ(result.verdict, echo_verdict::in_order);
    EXPECT_EQ(result.due_ns, 1000 + static_cast<std::int64_t>(i));
  }
  EXPECT_EQ(window.outstanding(), 0U);
  EXPECT_EQ(window.give_up(), 0U);
}

TEST(load_window, a_flipped_bit_is_corrupted_and_settles_one_frame) {
  echo_window window = sent(2);
  std::vector<std::byte> payload = payload_of(0);
  payload[30] ^= std::byte{4};
  EXPECT_EQ(window.judge(payload, own).verdict, echo_verdict::corrupted);
  EXPECT_EQ(window.outstanding(), 1U);
  EXPECT_EQ(window.judge(payload_of(1), own).verdict, echo_verdict::in_order);
  EXPECT_EQ(window.give_up(), 0U);
}

TEST(load_window, payloads_swapped_between_two_connections_are_foreign_on_both) {
  echo_window first = sent(1);
  echo_window second = sent(1);
  const frame_stamp other{.run = own.run, .sequence = 0, .connection = own.connection + 1};
  EXPECT_EQ(first.judge(payload_of(0, other.connection), own).verdict, echo_verdict::foreign);
  EXPECT_EQ(second.judge(payload_of(0, own.connection), other).verdict, echo_verdict::foreign);
  EXPECT_EQ(first.outstanding() + second.outstanding(), 0U);
}

TEST(load_window, frames_of_another_run_and_frames_never_sent_are_foreign) {
  echo_window window = sent(3);
  EXPECT_EQ(window.judge(payload_of(0, own.connection, own.run + 1), own).verdict,
            echo_verdict::foreign);
  EXPECT_EQ(window.judge(payload_of(3), own).verdict, echo_verdict::foreign);
  EXPECT_EQ(window.judge(payload_of(UINT64_MAX), own).verdict, echo_verdict::foreign);
}

TEST(load_window, a_frame_overtaken_by_a_later_one_is_out_of_order) {
  echo_window window = sent(3);
  EXPECT_EQ(window.judge(payload_of(1), own).verdict, echo_verdict::in_order);
  const echo late = window.judge(payload_of(0), own);
  EXPECT_EQ(late.verdict, echo_verdict::out_of_order);
  EXPECT_EQ(late.due_ns, 1000);
  EXPECT_EQ(window.judge(payload_of(2), own).verdict, echo_verdict::in_order);
  EXPECT_EQ(window.outstanding(), 0U);
}

TEST(load_window, a_frame_that_comes_twice_is_duplicated) {
  echo_window window = sent(3);
  EXPECT_EQ(window.judge(payload_of(1), own).verdict, echo_verdict::in_order);
  EXPECT_EQ(window.judge(payload_of(1), own).verdict, echo_verdict::duplicated);
  EXPECT_EQ(window.judge(payload_of(0), own).verdict, echo_verdict::out_of_order);
  EXPECT_EQ(window.judge(payload_of(0), own).verdict, echo_verdict::duplicated);
  EXPECT_EQ(window.outstanding(), 1U);
}

TEST(load_window,
     a_frame_that_never_comes_is_given_up_once_and_duplicated_when_it_comes_after_all) {
  echo_window window = sent(3);
  EXPECT_EQ(window.judge(payload_of(0), own).verdict, echo_verdict::in_order);
  EXPECT_EQ(window.judge(payload_of(2), own).verdict, echo_verdict::in_order);
  EXPECT_EQ(window.give_up(), 1U);
  EXPECT_EQ(window.give_up(), 0U);
  EXPECT_EQ(window.judge(payload_of(1), own).verdict, echo_verdict::duplicated);
}

TEST(load_window, a_fault_with_nothing_outstanding_settles_nothing) {
  echo_window window;
  EXPECT_EQ(window.judge(std::vector<std::byte>(64), own).verdict, echo_verdict::corrupted);
  EXPECT_EQ(window.outstanding(), 0U);
  EXPECT_EQ(window.add(1), 0U);
  EXPECT_EQ(window.judge(payload_of(0), own).verdict, echo_verdict::in_order);
}

// Any order of sends and echoes, against a map of what is outstanding.
TEST(load_window, agrees_with_a_map_under_random_reordering_loss_and_duplication) {
  std::mt19937_64 random(7);
  echo_window window;
  std::map<std::uint64_t, std::int64_t> outstanding;
  std::uint64_t next = 0;
  std::uint64_t expected = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (outstanding.size() < 50 && random() % 2 == 0) {
      ASSERT_EQ(window.add(step), next);
      outstanding.emplace(next++, step);
    } else if (next > 0) {
      const std::uint64_t sequence = next - 1 - std::min<std::uint64_t>(random() % 60, next - 1);
      const echo result = window.judge(payload_of(sequence), own);
      const auto found = outstanding.find(sequence);
      if (found == outstanding.end()) {
        ASSERT_EQ(result.verdict, echo_verdict::duplicated);
      } else {
        ASSERT_EQ(result.verdict,
                  sequence < expected ? echo_verdict::out_of_order : echo_verdict::in_order);
        ASSERT_EQ(result.due_ns, found->second);
        outstanding.erase(found);
        expected = std::max(expected, sequence + 1);
      }
    }
    if (step % 1000 == 999) {
      ASSERT_EQ(window.give_up(), outstanding.size());
      outstanding.clear();
      expected = next;
    }
    ASSERT_EQ(window.outstanding(), outstanding.size());
    ASSERT_EQ(window.sent(), next);
  }
}

}  // namespace
}  // namespace ringpool::tools
