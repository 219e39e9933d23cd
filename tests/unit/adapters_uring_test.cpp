// SPDX-License-Identifier: MIT
#include "ringpool/adapters/uring.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool::uring {
namespace {

constexpr std::uint64_t receive_key = 1;
constexpr std::uint64_t send_key = 2;

::io_uring_cqe completion_of(int result, unsigned flags = 0) {
  ::io_uring_cqe made{};
  made.res = result;
  made.flags = flags;
  return made;
}

/// A ring of this thread and two connected sockets; skipped where io_uring is missing.
class UringAdapter : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = find_missing(); !missing.empty()) {
      GTEST_SKIP() << missing;
    }
    ring_ = std::make_unique<ring>(
        ring_options{.submission_entries = 16, .completion_entries = 64, .direct_descriptors = 8});
    ring_->enable();
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_), 0);
  }
  void TearDown() override {
    for (const int end : ends_) {
      if (end >= 0) {
        ::close(end);
      }
    }
  }

  void say(const std::string& text) {
    ASSERT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<::ssize_t>(text.size()));
  }
  void arm(std::uint16_t group, unsigned flags = 0) {
    ::io_uring_sqe* const entry = ring_->next_entry();
    ASSERT_NE(entry, nullptr);
    ::io_uring_prep_recv_multishot(entry, ends_[0], nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = group;
    entry->ioprio = static_cast<std::uint16_t>(entry->ioprio | flags);
    ::io_uring_sqe_set_data64(entry, receive_key);
  }
  /// The next completion; res -ETIME when none comes in `milliseconds`.
  ::io_uring_cqe next(int milliseconds = 2000) {
    if (ring_->peek() == nullptr) {
      ring_->submit_and_wait(milliseconds);
    }
    ::io_uring_cqe* const found = ring_->peek();
    if (found == nullptr) {
      return completion_of(-ETIME);
    }
    ::io_uring_cqe copy{};
    std::memcpy(&copy, found, sizeof(::io_uring_cqe));
    ring_->seen(found);
    return copy;
  }
  static std::string text_of(const buffer& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::unique_ptr<ring> ring_;
  int ends_[2] = {-1, -1};
};

TEST_F(UringAdapter, a_received_buffer_holds_what_came_and_is_freed_on_any_thread) {
  ring_buffer_pool pool(256, 8);
  receive_buffers receives(*ring_, pool, {.entries = 4, .buffer_bytes = 256});
  EXPECT_EQ(receives.refill(4), 4U);
  EXPECT_EQ(pool.stats().in_use, 4U);
  arm(0);
  say("hello");
  buffer got = receives.take(next(), 0);
  EXPECT_EQ(text_of(got), "hello");
  EXPECT_EQ(receives.kernel_owned(), 3U);
  EXPECT_EQ(pool.stats().in_use, 4U);  // three of the kernel, one of the user
  std::thread([freed = std::move(got)] {}).join();
  EXPECT_EQ(pool.stats().in_use, 3U);
  say("again");
  EXPECT_EQ(text_of(receives.take(next(), 0)), "again");  // the same receive is still armed
}

TEST_F(UringAdapter, an_armed_receive_waits_without_spinning_where_the_ring_is_empty) {
  ring_buffer_pool pool(256, 2);
  receive_buffers receives(*ring_, pool, {.entries = 2, .buffer_bytes = 256});
  arm(0, IORING_RECVSEND_POLL_FIRST);
  EXPECT_EQ(next(50).res, -ETIME);  // nothing came: nothing is said
  say("late");
  const ::io_uring_cqe refused = next();
  EXPECT_EQ(refused.res, -ENOBUFS);
  EXPECT_FALSE(receives.take(refused, 0));
  receives.refill(2);
  arm(0, IORING_RECVSEND_POLL_FIRST);
  EXPECT_EQ(text_of(receives.take(next(), 0)), "late");  // and it was not lost
}

TEST_F(UringAdapter, every_buffer_is_back_when_the_rings_are_gone) {
  ring_buffer_pool pool(64, 64);
  {
    receive_buffers receives(*ring_, pool, {.entries = 32, .buffer_bytes = 64});
    receives.refill(32);
    arm(0);
    say("x");
    const buffer got = receives.take(next(), 0);
    EXPECT_EQ(pool.stats().in_use, 32U);
  }
  EXPECT_EQ(pool.stats().in_use, 0U);
}

TEST_F(UringAdapter, what_is_taken_back_leaves_armed_receives_in_place) {
  ring_buffer_pool pool(64, 64);
  receive_buffers receives(*ring_, pool, {.entries = 32, .buffer_bytes = 64});
  receives.refill(32);
  arm(0);
  ring_->submit();
  receives.shrink(2);
  EXPECT_EQ(receives.kernel_owned(), 2U);
  EXPECT_EQ(pool.stats().in_use, 2U);
  say("still here");
  const ::io_uring_cqe completion = next();
  EXPECT_NE(completion.flags & IORING_CQE_F_MORE, 0U);
  EXPECT_EQ(text_of(receives.take(completion, 0)), "still here");
}

TEST_F(UringAdapter, nothing_is_taken_back_while_a_completion_may_name_it) {
  ring_buffer_pool pool(64, 64);
  receive_buffers receives(*ring_, pool, {.entries = 32, .buffer_bytes = 64});
  receives.refill(32);
  arm(0);
  say("received already");
  ring_->submit_and_wait(2000);
  EXPECT_FALSE(ring_->all_seen());
  receives.shrink(2);
  EXPECT_EQ(receives.kernel_owned(), 32U);
  EXPECT_EQ(text_of(receives.take(next(), 0)), "received already");
  EXPECT_TRUE(ring_->all_seen());
  receives.shrink(2);
  EXPECT_EQ(receives.kernel_owned(), 2U);
}

TEST_F(UringAdapter, more_buffers_than_a_ring_takes_are_spread_over_groups) {
  ring_buffer_pool pool(64, 131072);
  receive_buffers receives(*ring_, pool, {.first_group = 7, .entries = 65536, .buffer_bytes = 64});
  EXPECT_EQ(receives.group_count(), 2U);
  EXPECT_EQ(receives.refill(65536), 65536U);
  const std::uint16_t first = receives.pick_group();
  arm(first);
  say("one");
  EXPECT_EQ(text_of(receives.take(next(), first)), "one");
  EXPECT_NE(receives.pick_group(), first);  // the one that has more
  EXPECT_EQ(receives.kernel_owned(), 65535U);
}

TEST_F(UringAdapter, a_pool_that_is_empty_gives_the_kernel_nothing) {
  ring_buffer_pool pool(64, 2);
  const buffer one = pool.try_alloc(64);
  receive_buffers receives(*ring_, pool, {.entries = 8, .buffer_bytes = 64});
  EXPECT_EQ(receives.refill(8), 1U);
  EXPECT_EQ(receives.refill(8), 1U);
}

TEST_F(UringAdapter, entries_that_are_no_power_of_two_are_refused) {
  ring_buffer_pool pool(64, 4);
  for (const unsigned entries : {0U, 3U, 24U}) {
    try {
      receive_buffers receives(*ring_, pool, {.entries = entries, .buffer_bytes = 64});
      ADD_FAILURE() << entries;
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EINVAL);
      EXPECT_NE(std::string(error.what()).find("power of two"), std::string::npos);
    }
  }
}

TEST_F(UringAdapter, a_second_group_of_one_number_is_an_error_and_leaks_nothing) {
  ring_buffer_pool pool(64, 4);
  receive_buffers receives(*ring_, pool, {.entries = 2, .buffer_bytes = 64});
  EXPECT_THROW((receive_buffers(*ring_, pool, {.entries = 2, .buffer_bytes = 64})),
               std::system_error);
  EXPECT_EQ(receives.refill(2), 2U);
}

TEST_F(UringAdapter, direct_descriptors_are_used_without_a_number_of_their_own) {
  ring_->set_direct(3, std::span<const int>(&ends_[0], 1));
  ::close(std::exchange(ends_[0], -1));
  char received[8] = {};
  ::io_uring_sqe* const entry = ring_->next_entry();
  ::io_uring_prep_recv(entry, 3, received, sizeof received, 0);
  entry->flags |= IOSQE_FIXED_FILE;
  say("direct");
  EXPECT_EQ(next().res, 6);
  EXPECT_STREQ(received, "direct");
  const int some[2] = {ends_[1], ends_[1]};
  EXPECT_THROW(ring_->set_direct(7, some), std::system_error);  // beyond the table
}

TEST_F(UringAdapter, a_zero_copy_send_is_held_until_its_second_completion) {
  send_ledger<int> ledger;
  const std::uint32_t number = ledger.start(7);
  EXPECT_FALSE(ledger.complete(number, completion_of(1, IORING_CQE_F_MORE)));
  EXPECT_EQ(ledger.held(number), 7);
  EXPECT_EQ(ledger.in_flight(), 1U);
  EXPECT_TRUE(ledger.complete(number, completion_of(0, IORING_CQE_F_NOTIF)));
  EXPECT_EQ(ledger.in_flight(), 0U);
  EXPECT_EQ(ledger.start(8), number);  // places are used again
  EXPECT_NE(ledger.start(9), number);
}

/// Fills the sockets, sends a buffer that has to wait, lets another thread take and overwrite what
/// the pool has free, and reads it all.
class WaitingSend : public UringAdapter {
 protected:
  std::string read_after(bool keep_until_complete) {
    ring_buffer_pool pool(4096, 1, {.upstream = nullptr});
    buffer sent = pool.try_alloc(4096);
    std::fill_n(sent.data(), 4096, std::byte{'a'});
    std::size_t before = 0;
    const std::string filler(4096, '.');
    for (::ssize_t wrote = 1; wrote > 0;) {
      wrote = ::send(ends_[1], filler.data(), filler.size(), MSG_DONTWAIT);
      before += wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
    }
    ::io_uring_sqe* const entry = ring_->next_entry();
    ::io_uring_prep_send(entry, ends_[1], sent.data(), 4096, 0);
    ::io_uring_sqe_set_data64(entry, send_key);
    ring_->submit();
    send_ledger<buffer> ledger;
    std::uint32_t number = 0;
    if (keep_until_complete) {
      number = ledger.start(std::move(sent));
    } else {
      sent.reset();  // the seeded bug
    }
    std::thread([&pool] {
      if (buffer other = pool.try_alloc(4096)) {
        std::fill_n(other.data(), 4096, std::byte{'X'});
      }
    }).join();
    std::string all(before + 4096, '\0');
    for (std::size_t have = 0; have < all.size();) {
      const ::ssize_t got = ::recv(ends_[0], all.data() + have, all.size() - have, MSG_DONTWAIT);
      have += got > 0 ? static_cast<std::size_t>(got) : 0;
      ring_->submit();
      if (::io_uring_cqe* const done = ring_->peek(); done != nullptr) {
        if (keep_until_complete) {
          EXPECT_TRUE(ledger.complete(number, *done));
        }
        ring_->seen(done);
      }
    }
    EXPECT_EQ(pool.stats().in_use, 0U);
    return all.substr(before);
  }
};

TEST_F(WaitingSend, keeps_its_buffer_from_others_until_the_kernel_has_read_it) {
  EXPECT_EQ(read_after(true), std::string(4096, 'a'));
}

TEST_F(WaitingSend, twin_a_buffer_let_go_at_once_is_sent_with_bytes_of_others) {
  EXPECT_NE(read_after(false), std::string(4096, 'a'));
}

TEST_F(UringAdapter, one_registration_covers_a_set_and_knows_what_is_elsewhere) {
  multi_size_ring_pool pool({{256, 16}, {4096, 8}}, {.elastic_capacity = 4});
  const registered_memory memory(*ring_, pool);
  std::vector<buffer> all;
  for (const std::size_t size : {std::size_t{256}, std::size_t{4096}}) {
    for (buffer one = pool.try_alloc(size); one; one = pool.try_alloc(size)) {
      const int index = memory.index_of(one.data());
      ASSERT_GE(index, 0);
      ASSERT_EQ(memory.index_of(one.data() + size - 1), index);
      all.push_back(std::move(one));
    }
  }
  EXPECT_EQ(all.size(), 24U);
  const buffer elastic = pool.alloc(256);
  EXPECT_EQ(elastic.origin(), buffer_origin::elastic);
  EXPECT_EQ(memory.index_of(elastic.data()), -1);
  EXPECT_EQ(memory.index_of(nullptr), -1);
  EXPECT_EQ(memory.index_of(&pool), -1);
}

TEST_F(UringAdapter, a_registered_buffer_is_written_from_by_its_index) {
  ring_buffer_pool pool(4096, 4);
  const registered_memory memory(*ring_, pool);
  buffer bytes = pool.alloc(5);
  std::memcpy(bytes.data(), "fixed", 5);
  ::io_uring_sqe* const entry = ring_->next_entry();
  ::io_uring_prep_write_fixed(entry, ends_[1], bytes.data(), 5, 0, memory.index_of(bytes.data()));
  EXPECT_EQ(next().res, 5);
  char received[8] = {};
  EXPECT_EQ(::recv(ends_[0], received, sizeof received, 0), 5);
  EXPECT_STREQ(received, "fixed");
}

TEST_F(UringAdapter, an_eventfd_is_signalled_for_work_that_was_put_off) {
  ring_buffer_pool pool(64, 4);
  receive_buffers receives(*ring_, pool, {.entries = 2, .buffer_bytes = 64});
  receives.refill(2);
  const int signal = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ring_->signal_to(signal);
  arm(0);
  ring_->submit();
  say("wake");
  std::uint64_t count = 0;
  EXPECT_EQ(::read(signal, &count, sizeof count), static_cast<::ssize_t>(sizeof count));
  EXPECT_EQ(text_of(receives.take(next(), 0)), "wake");
  ::close(signal);
}

TEST(UringRing, a_submission_queue_that_is_full_is_submitted_and_goes_on) {
  if (!find_missing().empty()) {
    GTEST_SKIP() << find_missing();
  }
  ring small({.submission_entries = 4, .completion_entries = 64, .direct_descriptors = 0});
  small.enable();
  for (std::uint64_t i = 0; i < 40; ++i) {
    ::io_uring_sqe* const entry = small.next_entry();
    ASSERT_NE(entry, nullptr);
    ::io_uring_prep_nop(entry);
    ::io_uring_sqe_set_data64(entry, i);
  }
  small.submit();
  for (std::uint64_t i = 0; i < 40; ++i) {
    ::io_uring_cqe* const done = small.peek();
    ASSERT_NE(done, nullptr);
    EXPECT_EQ(done->user_data, i);
    small.seen(done);
  }
  EXPECT_EQ(small.peek(), nullptr);
}

TEST(UringRing, a_table_beyond_the_descriptor_limit_is_an_error_that_says_so) {
  if (!find_missing().empty()) {
    GTEST_SKIP() << find_missing();
  }
  try {
    ring large({.submission_entries = 4, .completion_entries = 8, .direct_descriptors = 1U << 30});
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("RLIMIT_NOFILE"), std::string::npos);
  }
}

}  // namespace
}  // namespace ringpool::uring
