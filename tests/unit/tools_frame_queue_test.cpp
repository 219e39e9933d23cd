// SPDX-License-Identifier: MIT
#include "frame_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace ringpool::tools {
namespace {

/// Counts those that hold bytes.
class text_buffer {
 public:
  text_buffer() noexcept = default;
  explicit text_buffer(std::string text) : text_(std::move(text)), counted_(true) { ++alive; }
  text_buffer(text_buffer&& other) noexcept
      : text_(std::move(other.text_)), counted_(std::exchange(other.counted_, false)) {
    other.text_.clear();
  }
  text_buffer& operator=(text_buffer&& other) noexcept {
    text_.swap(other.text_);
    std::swap(counted_, other.counted_);
    text_buffer(std::move(other)).drop();
    return *this;
  }
  ~text_buffer() { drop(); }
  [[nodiscard]] const std::byte* data() const noexcept {
    return reinterpret_cast<const std::byte*>(text_.data());
  }
  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }

  inline static int alive = 0;

 private:
  void drop() noexcept { alive -= std::exchange(counted_, false) ? 1 : 0; }

  std::string text_;
  bool counted_ = false;
};

using queue = frame_queue<text_buffer>;

std::string header_text(std::size_t length) {
  const frame_header header = encode_frame_header(static_cast<std::uint32_t>(length));
  return {reinterpret_cast<const char*>(header.data()), header.size()};
}

class FrameQueue : public ::testing::Test {
 protected:
  ~FrameQueue() override {
    EXPECT_EQ(chunks_.in_use(), 0U);
    EXPECT_EQ(text_buffer::alive, 0);
  }

  static void push_payload(queue& into, const std::string& text) {
    ASSERT_TRUE(into.make_room());
    into.push_payload(text_buffer(text), text.size());
  }
  static void push_bytes(queue& into, const std::string& text) {
    ASSERT_TRUE(into.make_room());
    into.push_bytes(text_buffer(text), text.size());
  }
  /// A frame in two buffers.
  static void push_parts(queue& into, const std::string& first, const std::string& second) {
    ASSERT_TRUE(into.make_room());
    into.push_first_part(text_buffer(first), first.size() + second.size(), first.size());
    push_bytes(into, second);
  }

  /// What sendmsg(2) would be given, with room for `limit` parts.
  static std::string gathered(const queue& from, std::size_t limit = 16) {
    std::vector<::iovec> parts(limit);
    const queue::gathered sum = from.gather(parts);
    std::string text;
    for (std::size_t i = 0; i < sum.part_count; ++i) {
      EXPECT_NE(parts[i].iov_len, 0U);
      text.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    }
    EXPECT_EQ(text.size(), sum.bytes);
    return text;
  }

  /// Payloads, bytes with headers inside, and frames in two parts, over several chunks.
  static std::string fill(queue& into) {
    std::string expected;
    for (std::size_t i = 1; i <= 20; ++i) {
      const std::string text(i * 3 % 11 + 1, static_cast<char>('a' + i));
      switch (i % 3) {
        case 0:
          push_payload(into, text);
          expected += header_text(text.size()) + text;
          break;
        case 1:
          push_bytes(into, header_text(text.size()) + text);
          expected += header_text(text.size()) + text;
          break;
        default:
          push_parts(into, text, "rest");
          expected += header_text(text.size() + 4) + text + "rest";
      }
    }
    return expected;
  }

  slab<queue::chunk> chunks_{64};
};

TEST_F(FrameQueue, gathers_headers_payloads_and_parts_in_order) {
  queue under_test(chunks_);
  EXPECT_EQ(gathered(under_test), "");
  const std::string expected = fill(under_test);
  EXPECT_EQ(gathered(under_test, 100), expected);
}

TEST_F(FrameQueue, sends_the_same_bytes_in_steps_of_every_size_and_with_any_number_of_parts) {
  for (std::size_t step = 1; step <= 40; ++step) {
    for (const std::size_t limit : {std::size_t{2}, std::size_t{3}, std::size_t{16}}) {
      queue under_test(chunks_);
      const std::string expected = fill(under_test);
      std::string sent;
      while (!under_test.empty()) {
        const std::string offered = gathered(under_test, limit);
        ASSERT_FALSE(offered.empty());
        const std::size_t taken = std::min(step, offered.size());
        sent += offered.substr(0, taken);
        under_test.drop_sent(taken);
      }
      ASSERT_EQ(sent, expected) << step << " bytes a time, " << limit << " parts";
      ASSERT_EQ(under_test.held_bytes(), 0U);
    }
  }
}

TEST_F(FrameQueue, goes_on_behind_a_partial_send_of_every_length) {
  std::size_t length = 0;
  {
    queue counted(chunks_);
    length = fill(counted).size();
  }
  for (std::size_t sent = 0; sent <= length; ++sent) {
    queue under_test(chunks_);
    const std::string expected = fill(under_test);
    under_test.drop_sent(sent);
    ASSERT_EQ(gathered(under_test, 100), expected.substr(sent)) << sent << " bytes sent";
    push_payload(under_test, "more");  // while the front frame is on its way
    ASSERT_EQ(gathered(under_test, 100), expected.substr(sent) + header_text(4) + "more");
  }
}

TEST_F(FrameQueue, holds_what_it_was_told_of_until_a_frame_is_sent_to_its_last_byte) {
  queue under_test(chunks_);
  ASSERT_TRUE(under_test.make_room());
  under_test.push_payload(text_buffer("abc"), 64);
  ASSERT_TRUE(under_test.make_room());
  under_test.push_bytes(text_buffer("defgh"), 4096);
  EXPECT_EQ(under_test.held_bytes(), 4160U);
  EXPECT_EQ(under_test.frame_count(), 2U);
  under_test.drop_sent(6);
  EXPECT_EQ(under_test.held_bytes(), 4160U);
  EXPECT_EQ(text_buffer::alive, 2);
  under_test.drop_sent(1);
  EXPECT_EQ(under_test.held_bytes(), 4096U);
  EXPECT_EQ(text_buffer::alive, 1);  // its buffer went back at once
  under_test.drop_sent(5);
  EXPECT_TRUE(under_test.empty());
  EXPECT_EQ(under_test.held_bytes(), 0U);
}

TEST_F(FrameQueue, swaps_all_that_it_is_with_another) {
  queue one(chunks_);
  queue other(chunks_);
  const std::string expected = fill(one);
  one.drop_sent(3);
  push_payload(other, "x");
  const std::size_t held = one.held_bytes();
  one.swap(other);
  EXPECT_EQ(gathered(one), header_text(1) + "x");
  EXPECT_EQ(one.held_bytes(), 1U);
  EXPECT_EQ(gathered(other, 100), expected.substr(3));
  EXPECT_EQ(other.held_bytes(), held);
  queue empty(chunks_);
  empty.swap(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(gathered(empty, 100), expected.substr(3));
  push_payload(other, "again");
  EXPECT_EQ(gathered(other), header_text(5) + "again");
}

TEST_F(FrameQueue, takes_all_that_another_has_behind_its_own) {
  for (std::size_t own = 0; own <= 15; ++own) {
    for (const bool with_room : {false, true}) {  // a chunk that nothing was pushed into
      queue one(chunks_);
      queue other(chunks_);
      std::string expected;
      for (std::size_t i = 0; i < own; ++i) {
        push_payload(one, "own");
        expected += header_text(3) + "own";
      }
      if (with_room) {
        ASSERT_TRUE(one.make_room());
      }
      expected += fill(other);
      const std::size_t held = one.held_bytes() + other.held_bytes();
      const std::uint32_t count = one.frame_count() + other.frame_count();
      one.splice(other);
      ASSERT_TRUE(other.empty());
      ASSERT_EQ(other.held_bytes(), 0U);
      ASSERT_EQ(one.held_bytes(), held);
      ASSERT_EQ(one.frame_count(), count);
      push_payload(one, "more");
      expected += header_text(4) + "more";
      std::string sent;
      while (!one.empty()) {
        const std::string offered = gathered(one, 5);
        ASSERT_FALSE(offered.empty()) << own;
        const std::size_t taken = std::min<std::size_t>(7, offered.size());
        sent += offered.substr(0, taken);
        one.drop_sent(taken);
      }
      ASSERT_EQ(sent, expected) << own;
      push_payload(other, "again");
      ASSERT_EQ(gathered(other), header_text(5) + "again");
    }
  }
}

TEST_F(FrameQueue, gives_its_payer_back_what_it_no_longer_holds) {
  connection_budget payer(loop_account::settings{.limit_bytes = 1000});
  {
    queue under_test(chunks_, &payer);
    for (const std::string text : {"abc", "defgh", "ij"}) {
      ASSERT_TRUE(payer.try_charge(text.size()));
      push_bytes(under_test, text);
    }
    EXPECT_EQ(payer.used_bytes(), 10U);
    under_test.drop_sent(5);
    EXPECT_EQ(payer.used_bytes(), 7U);
    under_test.drop_front();
    EXPECT_EQ(payer.used_bytes(), 2U);
  }
  EXPECT_EQ(payer.used_bytes(), 0U);
}

TEST_F(FrameQueue, takes_frames_off_the_front_with_their_buffers) {
  queue under_test(chunks_);
  for (int i = 0; i < 30; ++i) {
    push_bytes(under_test, std::to_string(i));
  }
  for (int i = 0; i < 30; ++i) {
    const text_buffer taken = std::move(under_test.front().bytes);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(taken.data()), taken.size()),
              std::to_string(i));
    under_test.drop_front();
  }
  EXPECT_TRUE(under_test.empty());
  EXPECT_EQ(chunks_.in_use(), 0U);
}

TEST_F(FrameQueue, says_when_no_chunk_is_left_and_goes_on_when_one_is) {
  slab<queue::chunk> few(2);
  queue under_test(few);
  queue other(few);
  ASSERT_TRUE(other.make_room());
  std::size_t pushed = 0;
  for (; under_test.make_room(); ++pushed) {
    under_test.push_bytes(text_buffer("x"), 1);
  }
  EXPECT_EQ(pushed, queue::chunk::frame_count);
  under_test.drop_sent(1);
  EXPECT_FALSE(under_test.make_room());  // the places of one chunk are used once
  under_test.drop_sent(pushed - 1);
  EXPECT_TRUE(under_test.make_room());
  under_test.clear();
  other.clear();
  EXPECT_EQ(few.in_use(), 0U);
}

}  // namespace
}  // namespace ringpool::tools
