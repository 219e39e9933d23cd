// SPDX-License-Identifier: MIT
#include "ringpool/shared_buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/pages.hpp"
#include "../support/resources.hpp"
#include "ringpool/buffer.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

/// A home of one buffer that writes down what its handles ask for.
struct counting_home {
  struct returned {
    slot_index slot;
    std::byte* data;
    std::size_t bytes;
  };
  void release(slot_index slot, std::byte* data, std::size_t bytes) noexcept {
    returns.push_back({slot, data, bytes});
  }
  detail::reference_count* references_of(slot_index slot, const std::byte*) noexcept {
    return slot == empty_slot ? nullptr : &references;
  }
  void reject_slice(const std::byte* data) noexcept { rejected_slices.push_back(data); }
  void reject_copy(const std::byte* data) noexcept { rejected_copies.push_back(data); }

  /// As if so many handles were about.
  void pretend(std::uint32_t handles) {
    static_assert(sizeof references == sizeof handles);
    std::memcpy(static_cast<void*>(&references), &handles, sizeof handles);
  }

  detail::reference_count references;
  std::vector<returned> returns;
  std::vector<const std::byte*> rejected_slices;
  std::vector<const std::byte*> rejected_copies;
};
static_assert(shared_buffer_home<counting_home>);
static_assert(shared_buffer_home<ring_buffer_pool>);
static_assert(!shared_buffer_home<int>);

using owned = basic_buffer<counting_home>;
using shared = basic_shared_buffer<counting_home>;

struct shared_handle_under_test : testing::Test {
  owned make(std::size_t size, std::uint32_t number = 3) {
    return {home, bytes, size, slot_index{number}};
  }
  counting_home home;
  std::byte bytes[128] = {};
};

TEST_F(shared_handle_under_test, by_default_is_empty) {
  shared none;
  const shared copy(none);
  EXPECT_FALSE(none);
  EXPECT_FALSE(copy);
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size(), 0U);
  EXPECT_TRUE(none.span().empty());
  EXPECT_EQ(none.use_count(), 0U);
  EXPECT_FALSE(none.slice(0, 0));
  EXPECT_FALSE(none.slice(1, 2)) << "as resize of an empty handle: nothing happens";
  EXPECT_FALSE(std::move(none).unique());
  none.reset();
  EXPECT_FALSE(shared(owned{}));
}

TEST_F(shared_handle_under_test, takes_over_what_a_buffer_owned) {
  owned one = make(100);
  const shared all = std::move(one);
  EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): the promise under test
  EXPECT_TRUE(all);
  EXPECT_EQ(all.data(), bytes);
  EXPECT_EQ(all.size(), 100U);
  EXPECT_EQ(all.span().data(), bytes);
  EXPECT_EQ(all.span().size(), 100U);
  EXPECT_EQ(all.use_count(), 1U);
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(shared_handle_under_test, shows_bytes_that_cannot_be_written) {
  static_assert(std::is_same_v<decltype(std::declval<shared&>().data()), const std::byte*>);
  static_assert(
      std::is_same_v<decltype(std::declval<shared&>().span()), std::span<const std::byte>>);
}

TEST_F(shared_handle_under_test, gives_back_once_when_the_last_copy_dies) {
  {
    shared first = make(100, 7);
    {
      const shared second(first);
      EXPECT_EQ(second.data(), bytes);
      EXPECT_EQ(second.size(), 100U);
      EXPECT_EQ(first.use_count(), 2U);
    }
    EXPECT_EQ(first.use_count(), 1U);
    const shared third = first;
    first.reset();
    EXPECT_FALSE(first);
    EXPECT_TRUE(home.returns.empty());
    EXPECT_EQ(third.use_count(), 1U);
  }
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].slot, slot_index{7});
  EXPECT_EQ(home.returns[0].data, bytes);
  EXPECT_EQ(home.returns[0].bytes, 100U);
}

TEST_F(shared_handle_under_test, moving_does_not_count) {
  shared from = make(100);
  {
    const shared to(std::move(from));
    EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move): the promise under test
    EXPECT_EQ(from.use_count(), 0U);
    EXPECT_EQ(to.use_count(), 1U);
  }
  EXPECT_EQ(home.returns.size(), 1U);
}

TEST_F(shared_handle_under_test, shows_more_of_its_buffer_only_to_its_only_owner) {
  shared all = make(100);
  shared part = all.slice(40, 20);
  EXPECT_EQ(part.offset(), 40U);
  EXPECT_EQ(part.tailroom(), 40U);
  EXPECT_EQ(part.home(), &home);
  EXPECT_EQ(part.try_write(), nullptr);
  EXPECT_EQ(part.try_grow_front(1), nullptr);
  EXPECT_EQ(part.try_grow_back(1), nullptr);
  all.reset();
  EXPECT_EQ(part.try_write(), bytes + 40);
  EXPECT_EQ(part.try_grow_front(41), nullptr);
  EXPECT_EQ(part.try_grow_back(41), nullptr);
  EXPECT_EQ(part.try_grow_front(40), bytes);
  EXPECT_EQ(part.size(), 60U);
  EXPECT_EQ(part.offset(), 0U);
  EXPECT_EQ(part.try_grow_back(40), bytes + 60);
  EXPECT_EQ(part.size(), 100U);
  EXPECT_EQ(part.tailroom(), 0U);
  shared none;
  EXPECT_EQ(none.try_write(), nullptr);
  EXPECT_EQ(none.try_grow_front(0), nullptr);
  EXPECT_EQ(none.tailroom(), 0U);
  EXPECT_EQ(none.home(), nullptr);
  EXPECT_TRUE(home.rejected_slices.empty());
}

TEST_F(shared_handle_under_test, shows_less_without_counting) {
  shared one = make(100);
  one.remove_prefix(10);
  one.remove_suffix(20);
  EXPECT_EQ(one.data(), bytes + 10);
  EXPECT_EQ(one.size(), 70U);
  EXPECT_EQ(one.use_count(), 1U);
  one.remove_prefix(71);
  one.remove_suffix(71);
  EXPECT_EQ(home.rejected_slices.size(), 2U);
  EXPECT_EQ(one.size(), 70U);
  one.remove_prefix(70);
  EXPECT_EQ(one.size(), 0U);
  one.reset();
  one.remove_prefix(0);
  one.remove_suffix(1);
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].data, bytes);
  EXPECT_EQ(home.returns[0].bytes, 100U);
}

TEST_F(shared_handle_under_test, joins_what_follows_and_nothing_else) {
  const shared all = make(100);
  shared first = all.slice(0, 10);
  shared second = all.slice(10, 5);
  shared gap = all.slice(16, 5);
  EXPECT_TRUE(first.shares_buffer_with(gap));
  EXPECT_FALSE(first.try_join(first));
  EXPECT_FALSE(second.try_join(first));
  EXPECT_FALSE(first.try_join(gap));
  EXPECT_TRUE(first.try_join(second));
  EXPECT_FALSE(second);
  EXPECT_EQ(first.size(), 15U);
  EXPECT_EQ(all.use_count(), 3U);
  EXPECT_FALSE(first.try_join(second));
  EXPECT_FALSE(second.try_join(first));
  EXPECT_FALSE(second.shares_buffer_with(second)) << "an empty handle has no buffer";
  shared neighbour = owned(home, bytes + 15, 5, slot_index{4});
  EXPECT_FALSE(first.try_join(neighbour)) << "another buffer, which happens to be next to it";
  EXPECT_FALSE(first.shares_buffer_with(neighbour));
}

TEST(shared_handle, pins_all_of_its_buffer) {
  ring_buffer_pool pool(256, 4);
  const shared_buffer part = shared_buffer(pool.alloc(100)).slice(10, 10);
  EXPECT_EQ(part.capacity(), 256U);
  EXPECT_EQ(shared_buffer(pool.alloc(1000)).capacity(), 1000U) << "from upstream";
  EXPECT_EQ(shared_buffer().capacity(), 0U);
}

TEST_F(shared_handle_under_test, assignment_drops_what_was_held_before) {
  counting_home other;
  std::byte other_bytes[8] = {};
  shared one = make(10);
  const shared two = owned(other, other_bytes, 8, slot_index{1});
  one = two;
  EXPECT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(two.use_count(), 2U);
  one = make(20);
  EXPECT_EQ(two.use_count(), 1U);
  EXPECT_EQ(one.size(), 20U);
  EXPECT_TRUE(other.returns.empty());
}

TEST_F(shared_handle_under_test, self_assignment_keeps_the_buffer) {
  shared one = make(100);
  shared& same = one;
  one = same;
  EXPECT_EQ(one.use_count(), 1U);
  one = std::move(same);
  EXPECT_EQ(one.use_count(), 1U);
  EXPECT_EQ(one.size(), 100U);
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(shared_handle_under_test, swap_exchanges_everything) {
  shared one = make(100);
  shared part = one.slice(10, 20);
  shared none;
  swap(part, none);
  EXPECT_FALSE(part);
  EXPECT_EQ(none.data(), bytes + 10);
  none.swap(one);
  EXPECT_EQ(one.data(), bytes + 10);
  EXPECT_EQ(none.data(), bytes);
  none.reset();
  one.reset();
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].data, bytes);
}

TEST_F(shared_handle_under_test, slices_show_a_part_and_keep_the_whole_alive) {
  shared all = make(100);
  shared part = all.slice(30, 40);
  EXPECT_EQ(part.data(), bytes + 30);
  EXPECT_EQ(part.size(), 40U);
  EXPECT_EQ(all.use_count(), 2U);
  const shared nested = part.slice(5, 35);
  EXPECT_EQ(nested.data(), bytes + 35);
  EXPECT_EQ(nested.size(), 35U);
  EXPECT_EQ(nested.use_count(), 3U);
  all.reset();
  part.reset();
  EXPECT_TRUE(home.returns.empty());
  EXPECT_EQ(nested.use_count(), 1U);
}

TEST_F(shared_handle_under_test, the_last_slice_gives_back_the_whole_buffer) {
  { const shared part = shared(make(100)).slice(99, 1); }
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].data, bytes);
  EXPECT_EQ(home.returns[0].bytes, 100U);
}

TEST_F(shared_handle_under_test, slices_reach_to_the_end_and_may_be_of_size_zero) {
  const shared all = make(100);
  for (const std::size_t offset : {0U, 50U, 100U}) {
    const shared none = all.slice(offset, 0);
    EXPECT_TRUE(none);
    EXPECT_EQ(none.size(), 0U);
    EXPECT_EQ(all.slice(offset, 100 - offset).size(), 100 - offset);
  }
  EXPECT_TRUE(home.rejected_slices.empty());
}

TEST_F(shared_handle_under_test, a_slice_beyond_the_end_is_rejected_without_effect) {
  constexpr std::size_t huge = ~std::size_t{0};
  const shared all = make(100);
  const shared part = all.slice(20, 50);
  const std::pair<std::size_t, std::size_t> wrong[] = {
      {0, 51},   {51, 0},   {50, 1},   {1, 50},
      {huge, 1}, {1, huge}, {huge, 2}, {std::size_t{1} << 32, 0}};
  for (const auto& [offset, size] : wrong) {
    EXPECT_FALSE(part.slice(offset, size)) << offset << ", " << size;
  }
  EXPECT_EQ(home.rejected_slices.size(), std::size(wrong));
  EXPECT_EQ(home.rejected_slices[0], part.data());
  EXPECT_EQ(all.use_count(), 2U);
}

TEST_F(shared_handle_under_test, unique_gives_the_buffer_back_to_one_owner) {
  {
    shared one = make(100, 5);
    owned again = std::move(one).unique();
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): the promise under test
    EXPECT_EQ(one.size(), 0U);
    EXPECT_EQ(again.data(), bytes);
    EXPECT_EQ(again.size(), 100U);
    EXPECT_TRUE(home.returns.empty());
  }
  ASSERT_EQ(home.returns.size(), 1U);
  EXPECT_EQ(home.returns[0].slot, slot_index{5});
}

TEST_F(shared_handle_under_test, unique_changes_nothing_while_others_share) {
  shared one = make(100);
  const shared other = one;
  EXPECT_FALSE(std::move(one).unique());
  EXPECT_EQ(one.data(), bytes);  // NOLINT(bugprone-use-after-move): the promise under test
  EXPECT_EQ(one.size(), 100U);
  EXPECT_EQ(one.use_count(), 2U);
  EXPECT_TRUE(home.returns.empty());
}

TEST_F(shared_handle_under_test, unique_of_a_slice_gives_all_of_the_buffer) {
  shared part = shared(make(100)).slice(10, 20);
  const owned again = std::move(part).unique();
  EXPECT_EQ(again.data(), bytes);
  EXPECT_EQ(again.size(), 100U);
}

TEST_F(shared_handle_under_test, can_be_shared_again_and_again) {
  owned one = make(100);
  for (int i = 0; i < 3; ++i) {
    shared first = std::move(one);
    const shared second = first;
    EXPECT_EQ(first.use_count(), 2U);
    { const shared taken = std::move(first); }
    EXPECT_EQ(second.use_count(), 1U);
    one = shared(second).unique();
    EXPECT_FALSE(one) << "second is about";
    one = make(100);
  }
  EXPECT_EQ(home.returns.size(), 3U);
}

TEST_F(shared_handle_under_test, one_copy_too_many_is_rejected_without_effect) {
  constexpr std::uint32_t most = detail::reference_count::max_handles;
  shared one = make(100);
  home.pretend(most - 1);
  const shared last_possible = one;
  EXPECT_TRUE(last_possible);
  EXPECT_TRUE(home.rejected_copies.empty());

  const shared copy = one;
  const shared part = one.slice(10, 20);
  shared assigned;
  assigned = one;
  EXPECT_FALSE(copy);
  EXPECT_FALSE(part);
  EXPECT_FALSE(assigned);
  EXPECT_EQ(home.rejected_copies, std::vector<const std::byte*>(3, bytes));
  EXPECT_EQ(one.use_count(), most) << "the count does not wrap, and does not grow";
  home.pretend(2);  // as many as there are, so that the buffer goes back
}

TEST_F(shared_handle_under_test, that_owns_no_buffer_works_and_counts_itself_alone) {
  {
    shared nothing = owned(home, bytes, 0, empty_slot);
    const shared copy = nothing;
    const shared part = nothing.slice(0, 0);
    EXPECT_TRUE(nothing);
    EXPECT_TRUE(copy);
    EXPECT_TRUE(part);
    EXPECT_EQ(nothing.use_count(), 1U);
    EXPECT_FALSE(nothing.slice(0, 1));
    EXPECT_EQ(home.rejected_slices.size(), 1U);
    const owned again = std::move(nothing).unique();
    EXPECT_TRUE(again);
    EXPECT_FALSE(nothing);  // NOLINT(bugprone-use-after-move): the promise under test
  }
  EXPECT_EQ(home.returns.size(), 1U) << "by the basic_buffer; a pool takes it for nothing";
}

// ---- On real pools ------------------------------------------------------------------------------

TEST(shared_buffer, is_32_bytes_and_costs_no_heap) {
  EXPECT_EQ(sizeof(shared_buffer), 32U);
  EXPECT_TRUE(std::is_nothrow_copy_constructible_v<shared_buffer>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<shared_buffer>);
  EXPECT_TRUE((std::is_convertible_v<buffer&&, shared_buffer>));
  EXPECT_FALSE((std::is_convertible_v<buffer&, shared_buffer>));
}

TEST(shared_buffer, of_ring_elastic_and_upstream_goes_back_where_it_came_from) {
  test::counting_resource upstream;
  ring_buffer_pool pool(64, 2, {.elastic_capacity = 2, .upstream = &upstream});
  {
    std::vector<shared_buffer> handles;
    for (int i = 0; i < 6; ++i) {
      buffer one = pool.alloc(60);
      std::memset(one.data(), i, 60);
      handles.emplace_back(std::move(one));
    }
    const pool_stats full = pool.stats();
    EXPECT_EQ(full.in_use, 2U);
    EXPECT_EQ(full.elastic_in_use, 2U);
    EXPECT_EQ(full.upstream_in_use_bytes, 120U);
    std::vector<shared_buffer> parts;
    for (int i = 0; i < 6; ++i) {
      parts.push_back(handles[static_cast<std::size_t>(i)].slice(10, 20));
      EXPECT_EQ(handles.back().use_count(), i < 5 ? 1U : 2U) << "each buffer has its own count";
    }
    handles.clear();
    EXPECT_EQ(pool.stats().in_use, 2U);
    EXPECT_EQ(pool.stats().elastic_in_use, 2U);
    EXPECT_EQ(pool.stats().upstream_in_use_bytes, 120U);
    for (int i = 0; i < 6; ++i) {
      const auto bytes = parts[static_cast<std::size_t>(i)].span();
      EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(),
                              [&](std::byte one) { return one == std::byte(i); }));
    }
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST(shared_buffer, becomes_a_buffer_again_that_knows_its_origin) {
  test::counting_resource upstream;
  ring_buffer_pool pool(64, 1, {.elastic_capacity = 1, .upstream = &upstream});
  {
    const buffer_origin origins[] = {buffer_origin::ring, buffer_origin::elastic,
                                     buffer_origin::upstream};
    std::vector<buffer> held;
    for (const buffer_origin origin : origins) {
      shared_buffer one = pool.alloc(30);
      held.push_back(std::move(one).unique());
      EXPECT_EQ(held.back().origin(), origin);
      EXPECT_EQ(held.back().size(), 30U);
      held.back().resize(held.back().capacity());
    }
  }
  test::expect_whole(pool);
}

TEST(shared_buffer, of_size_zero_uses_no_buffer) {
  ring_buffer_pool pool(64, 1);
  {
    shared_buffer nothing = pool.alloc(0);
    const shared_buffer copy = nothing;
    EXPECT_TRUE(copy);
    EXPECT_EQ(copy.size(), 0U);
    EXPECT_EQ(copy.use_count(), 1U);
    EXPECT_EQ(pool.stats().in_use, 0U);
    EXPECT_TRUE(std::move(nothing).unique());
    const test::misuse_recorder recorder;
    EXPECT_FALSE(copy.slice(1, 0));
    EXPECT_EQ(recorder.count(misuse_kind::invalid_slice), 1U);
  }
  test::expect_whole(pool);
}

TEST(shared_buffer, of_a_set_goes_back_to_its_class) {
  multi_size_ring_pool pool({{64, 4}, {512, 4}}, {.elastic_capacity = 4});
  {
    std::vector<shared_buffer> handles;
    for (const std::size_t size : {0U, 10U, 64U, 65U, 512U, 513U, 5000U}) {
      handles.emplace_back(pool.alloc(size));
      handles.push_back(handles.back());
      handles.push_back(handles.back().slice(size / 2, size - size / 2));
      EXPECT_EQ(handles.back().use_count(), size == 0 ? 1U : 3U);
    }
    std::reverse(handles.begin(), handles.end());
    EXPECT_EQ(pool.classes()[0].stats().in_use, 2U);
    EXPECT_EQ(pool.classes()[1].stats().in_use, 2U);
  }
  EXPECT_EQ(pool.stats().upstream_in_use_bytes, 0U);
  test::expect_whole(pool);
}

TEST(shared_buffer, a_slice_beyond_the_end_moves_no_counter_but_the_misuse_count) {
  ring_buffer_pool pool(64, 2);
  {
    const shared_buffer one = pool.alloc(10);
    const pool_stats before = pool.stats();
    const test::misuse_recorder recorder;
    EXPECT_FALSE(one.slice(5, 6));
    EXPECT_EQ(recorder.count(misuse_kind::invalid_slice), 1U);
    EXPECT_EQ(recorder.last().pointer, one.data());
    EXPECT_EQ(recorder.last().buffer_size, 64U);
    test::expect_only_misuse_counted(before, pool.stats(), 1);
    EXPECT_EQ(one.use_count(), 1U);
  }
  test::expect_whole(pool);
}

TEST(shared_buffer, one_copy_too_many_is_reported_by_the_pool) {
  ring_buffer_pool pool(64, 2);
  {
    const shared_buffer one = pool.alloc(10);
    auto* const references = pool.references_of(slot_index{0}, one.data());
    ASSERT_EQ(references->handles(), 1U) << "the first buffer of a new pool";
    std::uint32_t word = detail::reference_count::max_handles;
    std::memcpy(static_cast<void*>(references), &word, sizeof word);
    const test::misuse_recorder recorder;
    EXPECT_FALSE(shared_buffer(one));
    EXPECT_EQ(recorder.count(misuse_kind::too_many_references), 1U);
    EXPECT_EQ(recorder.last().pointer, one.data());
    EXPECT_EQ(one.use_count(), detail::reference_count::max_handles);
    word = 1;
    std::memcpy(static_cast<void*>(references), &word, sizeof word);
  }
  test::expect_whole(pool);
}

TEST(shared_buffer, zeroes_what_the_whole_buffer_used_when_its_last_slice_dies) {
  ring_buffer_pool pool(128, 1, {.upstream = nullptr, .zero_on_free = zeroing::used});
  std::byte* data = nullptr;
  {
    buffer one = pool.alloc(100);
    data = one.data();
    std::memset(data, 0xAB, 100);
    const shared_buffer part = shared_buffer(std::move(one)).slice(90, 5);
    EXPECT_EQ(data[0], std::byte{0xAB});
  }
  const buffer again = pool.alloc(100);
  ASSERT_EQ(again.data(), data);
  EXPECT_TRUE(std::all_of(data, data + 100, [](std::byte one) { return one == std::byte{0}; }));
}

TEST(shared_buffer, may_die_on_another_thread) {
  ring_buffer_pool pool(64, 16, {.hardened = true});
  std::vector<shared_buffer> here;
  for (int i = 0; i < 16; ++i) {
    here.emplace_back(pool.alloc(64));
  }
  std::thread other([there = here]() mutable { there.clear(); });
  here.clear();
  other.join();
  test::expect_whole(pool);
}

/// Resident pages of the counts: they are the last of a pool's metadata.
TEST(shared_buffer, counts_have_no_pages_until_a_buffer_is_shared) {
  constexpr std::size_t capacity = std::size_t{1} << 16;
  constexpr std::size_t bytes = capacity * sizeof(detail::reference_count);
  ring_buffer_pool pool(64, capacity, {.memory = {.prefault = true}});
  const auto* const counts = pool.references_of(slot_index{0}, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(counts) % arena::page_bytes(), 0U);
  {
    std::vector<buffer> held;
    for (std::size_t i = 0; i < capacity; ++i) {
      held.push_back(pool.try_alloc(64));
    }
    held.resize(1);
    EXPECT_EQ(test::resident_bytes(counts, bytes), 0U) << "whoever does not share pays nothing";
    const shared_buffer one = std::move(held[0]);
    EXPECT_EQ(test::resident_bytes(counts, bytes), arena::page_bytes());
  }
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
