// SPDX-License-Identifier: MIT
#include "ringpool/buffer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

/// A home that writes down what its handles ask for.
struct recording_home {
  struct returned {
    slot_index slot;
    std::byte* data;
    std::size_t bytes;
  };
  void release(slot_index slot, std::byte* data, std::size_t bytes) noexcept {
    returns.push_back({slot, data, bytes});
  }
  [[nodiscard]] std::size_t capacity_of(slot_index, const std::byte*) const noexcept { return 128; }
  [[nodiscard]] buffer_origin origin_of(slot_index slot) const noexcept {
    return slot == upstream_slot ? buffer_origin::upstream : buffer_origin::ring;
  }
  void shrink(std::byte* data, std::size_t to, std::size_t from) noexcept {
    std::memset(data + to, 0, from - to);
  }
  void reject_resize(const std::byte*) noexcept { ++rejected; }

  std::vector<returned> returns;
  int rejected = 0;
};
static_assert(buffer_home<recording_home>);
static_assert(buffer_home<ring_buffer_pool>);
static_assert(!buffer_home<int>);

using recorded_buffer = basic_buffer<recording_home>;

struct handle_under_test : testing::Test {
  recorded_buffer make(std::size_t size, std::uint32_t number = 3) {
    return {home, bytes, size, slot_index{number}};
  }
  recording_home home;
  std::byte bytes[128] = {};
};

TEST_F(handle_under_test, by_default_is_empty) {
  recorded_buffer none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.capacity(), 0U);
  EXPECT_TRUE(none.span().empty());
  EXPECT_EQ(none.origin(), buffer_origin::none);
  none.reset();
  EXPECT_EQ(none.release(), nullptr);
}

TEST_F(handle_under_test, shows_what_it_holds) {
  const recorded_buffer one = make(100);
  EXPECT_TRUE(one);
  EXPECT_EQ(one.data(), bytes);
  EXPECT_EQ(one.size(), 100U);
  EXPECT_EQ(one.capacity(), 128U);
  EXPECT_EQ(one.span().data(), bytes);
  EXPECT_EQ(one.span().size(), 100U);
  EXPECT_EQ(one.origin(), buffer_origin::ring);
}

TEST_F(handle_under_test, gives_back_once_when_it_dies) {
  { const recorded_buffer one = make(100, 7); }
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].slot, slot_index{7});
  EXPECT_EQ(home.returns[0].data, bytes);
  EXPECT_EQ(home.returns[0].bytes, 100U);
}

TEST_F(handle_under_test, moving_leaves_an_empty_handle_behind) {
  recorded_buffer from = make(100);
  {
    const recorded_buffer to(std::move(from));
    EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move): the promise under test
    EXPECT_EQ(from.size(), 0U);
    EXPECT_EQ(from.capacity(), 0U);
    EXPECT_EQ(to.data(), bytes);
    EXPECT_EQ(to.size(), 100U);
    EXPECT_TRUE(home.returns.empty());
  }
  EXPECT_EQ(home.returns.size(), 1U);
}

TEST_F(handle_under_test, move_assignment_gives_back_what_was_held_before) {
  recorded_buffer one = make(10, 1);
  one = make(20, 2);
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].slot, slot_index{1});
  EXPECT_EQ(one.size(), 20U);
  one = recorded_buffer{};
  ASSERT_EQ(home.returns.size(), 2U);
  EXPECT_EQ(home.returns[1].slot, slot_index{2});
  EXPECT_FALSE(one);
}

TEST_F(handle_under_test, self_move_assignment_keeps_the_buffer) {
  recorded_buffer one = make(100);
  recorded_buffer& same = one;
  one = std::move(same);
  EXPECT_TRUE(one);
  EXPECT_EQ(one.size(), 100U);
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(handle_under_test, swap_exchanges_everything) {
  recorded_buffer one = make(10, 1);
  recorded_buffer other;
  swap(one, other);
  EXPECT_FALSE(one);
  EXPECT_EQ(other.size(), 10U);
  other.swap(one);
  EXPECT_EQ(one.size(), 10U);
  one.swap(one);
  EXPECT_EQ(one.size(), 10U);
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(handle_under_test, reset_gives_back_now_and_only_once) {
  recorded_buffer one = make(100);
  one.reset();
  EXPECT_FALSE(one);
  EXPECT_EQ(home.returns.size(), 1U);
  one.reset();
  EXPECT_EQ(home.returns.size(), 1U);
}

TEST_F(handle_under_test, release_gives_up_ownership) {
  {
    recorded_buffer one = make(100);
    EXPECT_EQ(one.release(), bytes);
    EXPECT_FALSE(one);
    EXPECT_EQ(one.size(), 0U);
    EXPECT_EQ(one.origin(), buffer_origin::none);
  }
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(handle_under_test, resize_sets_the_size_up_to_the_capacity) {
  recorded_buffer one = make(100);
  for (const std::size_t size : {0U, 1U, 100U, 128U}) {
    one.resize(size);
    EXPECT_EQ(one.size(), size);
    EXPECT_EQ(one.span().size(), size);
    EXPECT_TRUE(one) << "a size of 0 still owns";
  }
  EXPECT_EQ(home.rejected, 0);
}

TEST_F(handle_under_test, resize_beyond_the_capacity_is_rejected_without_effect) {
  recorded_buffer one = make(100);
  for (const std::size_t size : {std::size_t{129}, std::size_t{1} << 32, ~std::size_t{0}}) {
    one.resize(size);
    EXPECT_EQ(one.size(), 100U);
  }
  EXPECT_EQ(home.rejected, 3);
}

TEST_F(handle_under_test, resize_of_an_empty_handle_does_nothing) {
  recorded_buffer none;
  none.resize(0);
  none.resize(10);
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(home.rejected, 0);
}

TEST_F(handle_under_test, shrinking_tells_the_home_which_bytes_go_out_of_sight) {
  std::memset(bytes, 0xAB, sizeof bytes);
  recorded_buffer one = make(100);
  one.resize(40);
  EXPECT_EQ(bytes[39], std::byte{0xAB});
  EXPECT_EQ(bytes[40], std::byte{0});
  EXPECT_EQ(bytes[99], std::byte{0});
  EXPECT_EQ(bytes[100], std::byte{0xAB});
}

// ---- On a real pool
// ------------------------------------------------------------------------------

TEST(buffer, is_24_bytes) { EXPECT_EQ(sizeof(buffer), 24U); }

TEST(buffer, released_memory_goes_back_by_deallocate) {
  ring_buffer_pool pool(64, 4);
  buffer one = pool.alloc(10);
  std::byte* const data = one.release();
  EXPECT_EQ(pool.stats().in_use, 1U);
  pool.deallocate(data);
  test::expect_whole(pool);
}

TEST(buffer, may_die_on_another_thread) {
  ring_buffer_pool pool(64, 16);
  std::vector<buffer> handles;
  for (int i = 0; i < 16; ++i) {
    handles.push_back(pool.alloc(64));
  }
  std::thread([handed = std::move(handles)]() mutable { handed.clear(); }).join();
  test::expect_whole(pool);
}

TEST(buffer, moves_through_containers_without_being_lost) {
  ring_buffer_pool pool(64, 64);
  std::vector<buffer> handles;
  for (int i = 0; i < 64; ++i) {
    handles.push_back(pool.try_alloc(64));
    std::memset(handles.back().data(), i, 64);
  }
  std::swap(handles.front(), handles.back());
  handles.erase(handles.begin() + 10, handles.begin() + 20);
  EXPECT_EQ(handles.front().data()[0], std::byte{63});
  EXPECT_EQ(pool.stats().in_use, 54U);
  handles.clear();
  test::expect_whole(pool);
}

TEST(buffer, from_upstream_has_the_capacity_that_was_asked_for) {
  test::counting_resource upstream;
  ring_buffer_pool pool(64, 1, {.upstream = &upstream});
  {
    buffer large = pool.alloc(1000);
    EXPECT_EQ(large.origin(), buffer_origin::upstream);
    EXPECT_EQ(large.capacity(), 1000U);
    const test::misuse_recorder recorder;
    large.resize(1001);
    EXPECT_EQ(recorder.count(misuse_kind::invalid_resize), 1U);
    EXPECT_EQ(large.size(), 1000U);
    large.resize(10);
    EXPECT_EQ(large.capacity(), 1000U);
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST(buffer, of_size_zero_can_be_resized_to_zero_only) {
  ring_buffer_pool pool(64, 1);
  {
    buffer none = pool.alloc(0);
    EXPECT_TRUE(none);
    EXPECT_EQ(none.capacity(), 0U);
    EXPECT_EQ(none.origin(), buffer_origin::none);
    none.resize(0);
    const test::misuse_recorder recorder;
    none.resize(1);
    EXPECT_EQ(recorder.count(misuse_kind::invalid_resize), 1U);
    EXPECT_EQ(none.size(), 0U);
  }
  test::expect_whole(pool);
}

TEST(buffer, resize_beyond_the_capacity_moves_no_counter_but_the_misuse_count) {
  ring_buffer_pool pool(64, 2);
  {
    buffer one = pool.alloc(10);
    const pool_stats before = pool.stats();
    const test::misuse_recorder recorder;
    one.resize(65);
    EXPECT_EQ(recorder.last().pointer, one.data());
    EXPECT_EQ(recorder.last().buffer_size, 64U);
    const pool_stats after = pool.stats();
    EXPECT_EQ(after.misuse_count, before.misuse_count + 1);
    EXPECT_EQ(after.in_use, before.in_use);
    EXPECT_EQ(after.alloc_count, before.alloc_count);
    EXPECT_EQ(one.size(), 10U);
  }
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
