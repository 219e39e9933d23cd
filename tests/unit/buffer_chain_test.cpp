// SPDX-License-Identifier: MIT
#include "ringpool/buffer_chain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"

namespace ringpool::buffer_chain_test {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(const buffer_chain& chain) {
  std::string all;
  chain.for_each_piece([&](std::span<const std::byte> piece) {
    all.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  EXPECT_EQ(all.size(), chain.size());
  return all;
}

shared_buffer piece_of(pool_ref pool, std::string_view text) {
  buffer made = pool.try_alloc(text.size());
  EXPECT_TRUE(made) << "the test's own pool is spent";
  std::copy_n(bytes_of(text).begin(), made.size(), made.data());
  return made;
}

/// Pieces "000", "001" and so on, each in a buffer of its own.
buffer_chain numbered(pool_ref pool, std::size_t pieces, pool_ref blocks = {}) {
  buffer_chain made(blocks);
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::string text = std::to_string(1000 + i).substr(1);
    EXPECT_TRUE(made.append(piece_of(pool, text)));
  }
  return made;
}
std::string numbers(std::size_t count) {
  std::string made;
  for (std::size_t i = 0; i < count; ++i) {
    made += std::to_string(1000 + i).substr(1);
  }
  return made;
}

struct chain_under_test : testing::Test {
  ~chain_under_test() override {
    test::expect_whole(small);
    test::expect_whole(set);
    test::expect_whole(blocks);
  }
  ring_buffer_pool small{64, 128, {.upstream = nullptr}};
  ring_buffer_pool blocks{512, 16, {.upstream = nullptr}};
  multi_size_ring_pool set{{{64, 16}, {512, 8}, {4096, 8}}, {.upstream = nullptr}};
};

TEST_F(chain_under_test, its_pieces_are_walked_forwards_and_backwards_across_blocks) {
  for (const std::size_t count : {0U, 1U, 4U, 5U, 40U}) {
    buffer_chain chain = numbered(small, count, blocks);
    std::string forwards;
    for (const shared_buffer& piece : chain) {
      forwards.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    EXPECT_EQ(forwards, numbers(count));
    std::string backwards;
    for (auto at = chain.end(); at != chain.begin();) {
      const shared_buffer& piece = *--at;
      backwards.insert(0, reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    EXPECT_EQ(backwards, numbers(count));
    chain.trim_front(count == 40 ? 3 * 7 : 0);  // a block that begins within
    EXPECT_EQ(std::distance(chain.begin(), chain.end()),
              static_cast<std::ptrdiff_t>(chain.piece_count()));
  }
}

TEST_F(chain_under_test, is_empty_at_first) {
  buffer_chain none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.piece_count(), 0U);
  EXPECT_EQ(none.pinned_bytes(), 0U);
  EXPECT_EQ(none.headroom(), 0U);
  EXPECT_EQ(none.tailroom(), 0U);
  EXPECT_EQ(none.iovecs({}), 0U);
  EXPECT_FALSE(none.share());
  EXPECT_FALSE(none.split(0));
  EXPECT_FALSE(none.split(1));
  EXPECT_TRUE(none.coalesce(set));
  EXPECT_EQ(none.compact(set, 100), 0U);
  none.trim_front(1);
  none.trim_back(1);
  none.clear();
  EXPECT_EQ(sizeof(buffer_chain), 240U) << "what its comment says";
}

TEST_F(chain_under_test, keeps_pieces_in_order_at_either_end) {
  buffer_chain chain;
  EXPECT_TRUE(chain.append(piece_of(small, "cd")));
  EXPECT_TRUE(chain.prepend(piece_of(small, "ab")));
  EXPECT_TRUE(chain.append(piece_of(small, "ef")));
  EXPECT_TRUE(chain.append(shared_buffer()));
  EXPECT_TRUE(chain.append(piece_of(small, "x").slice(0, 0)));
  EXPECT_EQ(text_of(chain), "abcdef");
  EXPECT_EQ(chain.piece_count(), 3U);
  EXPECT_EQ(chain.pinned_bytes(), 3 * 64U);
  chain.clear();
  EXPECT_EQ(small.stats().in_use, 0U);
}

TEST_F(chain_under_test, goes_on_in_blocks_behind_and_in_front) {
  buffer_chain behind(blocks);
  buffer_chain before(blocks);
  for (std::size_t i = 0; i < 60; ++i) {
    EXPECT_TRUE(behind.append(piece_of(small, std::to_string(1000 + i).substr(1))));
    EXPECT_TRUE(before.prepend(piece_of(small, std::to_string(1059 - i).substr(1))));
    EXPECT_EQ(behind.piece_count(), i + 1);
  }
  EXPECT_EQ(text_of(behind), numbers(60));
  EXPECT_EQ(text_of(before), numbers(60));
  EXPECT_EQ(blocks.stats().in_use, 10U) << "14 pieces to a block of 512 bytes";
  behind.trim_front(3 * 57);
  EXPECT_EQ(blocks.stats().in_use, 6U) << "blocks that have no pieces go back";
  EXPECT_EQ(text_of(behind), "057058059");
}

TEST_F(chain_under_test, takes_blocks_from_the_pool_of_its_pieces_if_none_is_named) {
  const buffer_chain chain = numbered(blocks, 5);
  EXPECT_EQ(blocks.stats().in_use, 6U);
  const buffer_chain of_a_set = numbered(set, 5, set);
  EXPECT_EQ(set.classes()[2].stats().in_use, 1U) << "the smallest class of 1 KiB or more";
}

TEST_F(chain_under_test, takes_blocks_from_upstream_where_buffers_are_too_small) {
  test::counting_resource heap;
  ring_buffer_pool pool(16, 16, {.upstream = &heap});
  {
    const buffer_chain four = numbered(pool, 4);
    EXPECT_EQ(heap.allocation_count, 0U);
    const buffer_chain five = numbered(pool, 5);
    EXPECT_EQ(heap.allocation_count, 1U);
    EXPECT_EQ(text_of(five), numbers(5));
  }
  test::expect_whole(pool);
}

TEST_F(chain_under_test, joins_what_follows_in_the_same_buffer) {
  const shared_buffer whole = piece_of(small, "abcdefgh");
  buffer_chain chain;
  EXPECT_TRUE(chain.append(whole.slice(2, 2)));
  EXPECT_TRUE(chain.append(whole.slice(4, 3)));
  EXPECT_TRUE(chain.prepend(whole.slice(1, 1)));
  EXPECT_EQ(chain.piece_count(), 1U);
  EXPECT_EQ(whole.use_count(), 2U);
  EXPECT_TRUE(chain.append(whole.slice(0, 2)));
  EXPECT_EQ(chain.piece_count(), 2U);
  EXPECT_EQ(text_of(chain), "bcdefgab");
  EXPECT_EQ(chain.pinned_bytes(), 64U) << "neighbours in one buffer count it once";
}

TEST_F(chain_under_test, leaves_piece_and_chain_alone_where_no_block_is_to_be_had) {
  const std::vector<void*> held = test::take_all(blocks, 512, 16);
  buffer_chain chain = numbered(small, 4, blocks);
  shared_buffer fifth = piece_of(small, "004");
  EXPECT_FALSE(chain.append(std::move(fifth)));
  EXPECT_FALSE(chain.prepend(std::move(fifth)));
  EXPECT_TRUE(fifth);  // NOLINT(bugprone-use-after-move): the promise under test
  EXPECT_FALSE(chain.append_bytes(set, bytes_of(std::string(100, 'x'))));
  EXPECT_FALSE(chain.prepend_bytes(set, bytes_of("x")));
  buffer_chain other = numbered(small, 2, blocks);
  EXPECT_FALSE(chain.append(std::move(other)));
  EXPECT_FALSE(chain.prepend(std::move(other)));
  EXPECT_EQ(text_of(other), numbers(2));  // NOLINT(bugprone-use-after-move): likewise
  EXPECT_EQ(text_of(chain), numbers(4));
  test::give_all(blocks, held);
  EXPECT_TRUE(chain.append(std::move(fifth)));
  EXPECT_EQ(text_of(chain), numbers(5));
}

TEST_F(chain_under_test, is_moved_with_its_blocks_or_without) {
  for (const std::size_t pieces : {0U, 3U, 40U}) {
    buffer_chain from = numbered(small, pieces, blocks);
    buffer_chain to(std::move(from));
    EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move): the promise under test
    EXPECT_EQ(from.size(), 0U);
    EXPECT_EQ(text_of(to), numbers(pieces));
    from = std::move(to);
    EXPECT_EQ(text_of(from), numbers(pieces));
    buffer_chain& self = from;
    from = std::move(self);
    EXPECT_TRUE(from.append(std::move(self)));
    EXPECT_TRUE(from.prepend(std::move(self)));
    EXPECT_EQ(text_of(from), numbers(pieces));
    EXPECT_TRUE(from.append(piece_of(small, "x")));
    from = buffer_chain();
    EXPECT_EQ(small.stats().in_use, 0U);
  }
}

TEST_F(chain_under_test, is_split_anywhere_and_put_together_again) {
  for (const std::size_t pieces : {1U, 2U, 4U, 5U, 6U, 14U, 15U, 33U}) {
    const std::string all = numbers(pieces);
    buffer_chain chain = numbered(small, pieces, blocks);
    for (std::size_t offset = 0; offset <= all.size(); ++offset) {
      buffer_chain rest = chain.split(offset);
      EXPECT_EQ(text_of(chain), all.substr(0, offset));
      EXPECT_EQ(text_of(rest), all.substr(offset));
      if (offset % 2 == 0) {
        EXPECT_TRUE(chain.append(std::move(rest)));
      } else {
        EXPECT_TRUE(rest.prepend(std::move(chain)));
        chain = std::move(rest);
      }
      EXPECT_EQ(text_of(chain), all) << pieces << " pieces, split at " << offset;
      chain = numbered(small, pieces, blocks);
    }
    EXPECT_FALSE(chain.split(all.size() + 1));
  }
}

TEST_F(chain_under_test, stays_whole_where_a_split_finds_no_block) {
  for (const std::size_t pieces : {12U, 20U, 40U}) {  // in one block, in two, in three
    buffer_chain chain = numbered(small, pieces, blocks);
    const std::string all = numbers(pieces);
    std::vector<void*> held = test::take_all(blocks, 512, 16);
    std::size_t refusals = 0;
    for (std::size_t offset = 0; offset <= all.size(); ++offset) {
      buffer_chain rest = chain.split(offset);
      if (!rest) {
        refusals += offset < all.size() ? 1U : 0U;
        EXPECT_EQ(text_of(chain), all);
        continue;
      }
      EXPECT_EQ(text_of(rest), all.substr(offset));
      chain.clear();
      rest.clear();
      test::give_all(blocks, held);
      chain = numbered(small, pieces, blocks);
      held = test::take_all(blocks, 512, 16);
    }
    EXPECT_GT(refusals, 10U);
    test::give_all(blocks, held);
  }
}

TEST_F(chain_under_test, is_shared_without_a_copy_of_its_bytes) {
  for (const std::size_t pieces : {4U, 40U}) {
    buffer_chain chain = numbered(small, pieces, blocks);
    const buffer_chain copy = chain.share();
    EXPECT_EQ(small.stats().in_use, pieces);
    chain.clear();
    EXPECT_EQ(text_of(copy), numbers(pieces));
    EXPECT_EQ(small.stats().in_use, pieces);
    const std::vector<void*> held = test::take_all(blocks, 512, 16);
    EXPECT_EQ(static_cast<bool>(copy.share()), pieces == 4);
    test::give_all(blocks, held);
  }
}

TEST_F(chain_under_test, is_trimmed_at_both_ends) {
  buffer_chain chain = numbered(small, 20, blocks);
  const std::string all = numbers(20);
  chain.trim_front(0);
  chain.trim_front(4);
  chain.trim_back(5);
  EXPECT_EQ(text_of(chain), all.substr(4, 51));
  EXPECT_EQ(chain.piece_count(), 18U);
  EXPECT_EQ(small.stats().in_use, 18U);
  chain.trim_back(1000);
  EXPECT_FALSE(chain);
  EXPECT_EQ(blocks.stats().in_use, 0U);
}

TEST_F(chain_under_test, fills_iovecs_from_an_offset_and_as_many_as_there_is_room_for) {
  const buffer_chain chain = numbered(small, 20, blocks);
  const std::string all = numbers(20);
  std::vector<::iovec> out(20);
  for (std::size_t offset = 0; offset <= all.size() + 1; ++offset) {
    const std::size_t filled = chain.iovecs(out, offset);
    std::string seen;
    for (std::size_t i = 0; i < filled; ++i) {
      seen.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
    }
    EXPECT_EQ(seen, all.substr(std::min(offset, all.size())));
    EXPECT_EQ(filled, 20 - std::min<std::size_t>(offset / 3, 20));
  }
  EXPECT_EQ(chain.iovecs(std::span(out).first(3), 4), 3U);
  EXPECT_EQ(out[0].iov_len, 2U);
}

TEST_F(chain_under_test, copies_out_from_an_offset) {
  const buffer_chain chain = numbered(small, 4);
  std::string out(5, ' ');
  EXPECT_EQ(chain.copy_to(std::as_writable_bytes(std::span(out)), 2), 5U);
  EXPECT_EQ(out, numbers(4).substr(2, 5));
  EXPECT_EQ(chain.copy_to(std::as_writable_bytes(std::span(out)), 10), 2U);
  EXPECT_EQ(chain.copy_to(std::as_writable_bytes(std::span(out)), 100), 0U);
}

// ---- Headroom and tailroom ----------------------------------------------------------------------

TEST_F(chain_under_test, has_the_headroom_it_was_allocated_with_and_the_rest_behind) {
  buffer_chain chain = alloc_with_headroom(set, 16, 100);
  EXPECT_EQ(chain.size(), 100U);
  EXPECT_EQ(chain.headroom(), 16U);
  EXPECT_EQ(chain.tailroom(), 512U - 116U);
  chain.clear();
  chain = alloc_with_headroom(set, 16, 0);
  EXPECT_TRUE(chain);
  EXPECT_EQ(chain.size(), 0U);
  EXPECT_TRUE(chain.append_bytes(set, bytes_of("body")));
  EXPECT_TRUE(chain.prepend_bytes(set, bytes_of("head ")));
  EXPECT_EQ(text_of(chain), "head body");
  EXPECT_EQ(chain.piece_count(), 1U);
  EXPECT_FALSE(alloc_with_headroom(set, 4000, 97)) << "above every class, and no upstream";
  EXPECT_FALSE(alloc_with_headroom(set, 8, std::numeric_limits<std::size_t>::max()));
  EXPECT_FALSE(alloc_with_headroom(pool_ref(), 8, 8));
}

TEST_F(chain_under_test, writes_headers_into_headroom_only_as_the_only_owner) {
  buffer_chain chain = alloc_with_headroom(set, 10, 0);
  EXPECT_TRUE(chain.append_bytes(set, bytes_of("body")));
  EXPECT_TRUE(chain.prepend_bytes(set, bytes_of("tcp ")));
  EXPECT_EQ(chain.piece_count(), 1U);
  EXPECT_EQ(chain.headroom(), 6U);
  {
    const buffer_chain other = chain.share();
    EXPECT_TRUE(chain.prepend_bytes(set, bytes_of("ip ")));
    EXPECT_EQ(chain.piece_count(), 2U) << "another has the buffer too";
    EXPECT_EQ(text_of(other), "tcp body");
  }
  EXPECT_TRUE(chain.prepend_bytes(set, bytes_of("eth ")));
  EXPECT_EQ(chain.piece_count(), 2U) << "the piece that was added has headroom";
  EXPECT_EQ(text_of(chain), "eth ip tcp body");
  EXPECT_TRUE(chain.prepend_bytes(set, bytes_of(std::string(5000, 'x'))));
  EXPECT_EQ(text_of(chain), std::string(5000, 'x') + "eth ip tcp body");
  EXPECT_TRUE(chain.prepend_bytes(set, {}));
}

TEST_F(chain_under_test, appends_bytes_to_tailroom_and_then_to_buffers) {
  buffer_chain chain(set);
  std::string all;
  for (std::size_t size = 1; size < 3000; size = size * 3 / 2 + 1) {
    const std::string more(size, static_cast<char>('a' + size % 26));
    all += more;
    EXPECT_TRUE(chain.append_bytes(set, bytes_of(more)));
  }
  EXPECT_EQ(text_of(chain), all);
  EXPECT_EQ(chain.piece_count(), 9U);
  const buffer_chain other = chain.share();
  EXPECT_TRUE(chain.append_bytes(set, bytes_of("more")));
  EXPECT_EQ(text_of(other), all) << "no writing where others read";
  EXPECT_EQ(text_of(chain), all + "more");
}

TEST_F(chain_under_test, keeps_its_bytes_when_the_rings_are_spent) {
  buffer_chain chain;
  EXPECT_TRUE(chain.append_bytes(blocks, bytes_of("abc")));
  const std::vector<void*> held = test::take_all(blocks, 512, 16);
  EXPECT_FALSE(chain.append_bytes(blocks, bytes_of(std::string(1000, 'x'))));
  EXPECT_FALSE(chain.prepend_bytes(blocks, bytes_of("x")));
  EXPECT_EQ(text_of(chain), "abc");
  EXPECT_EQ(chain.tailroom(), 509U);
  EXPECT_TRUE(chain.append_bytes(blocks, bytes_of(std::string(509, 'y'))));
  EXPECT_FALSE(chain.append_bytes(blocks, bytes_of("z")));
  test::give_all(blocks, held);
}

// ---- Large data ---------------------------------------------------------------------------------

TEST_F(chain_under_test, of_a_large_size_takes_several_buffers_and_no_heap) {
  buffer_chain chain = alloc_chain(set, 2 * 4096 + 300, 100);
  EXPECT_EQ(chain.size(), 2 * 4096 + 300U);
  EXPECT_EQ(chain.headroom(), 100U);
  EXPECT_EQ(chain.piece_count(), 3U);
  EXPECT_EQ(chain.tailroom(), 112U);
  EXPECT_EQ(chain.pinned_bytes(), 2 * 4096 + 512U);
  EXPECT_FALSE(alloc_chain(set, 0));
  EXPECT_FALSE(alloc_chain(pool_ref(), 1));
  EXPECT_EQ(alloc_chain(small, 100).piece_count(), 2U);
}

TEST_F(chain_under_test, of_a_large_size_is_all_or_nothing) {
  const std::size_t everything = 8 * 4096 + 8 * 512 + 16 * 64;
  EXPECT_FALSE(alloc_chain(set, everything + 1));
  EXPECT_FALSE(alloc_chain(set, std::numeric_limits<std::size_t>::max(), 8));
  EXPECT_FALSE(alloc_chain(set, everything)) << "its own blocks have no buffer";
  for (const ring_buffer_pool& one : set.classes()) {
    EXPECT_EQ(one.stats().in_use, 0U);
  }
}

TEST_F(chain_under_test, of_a_large_size_makes_do_with_other_classes) {
  std::vector<void*> held = test::take_all(set, 4096, 8);
  buffer_chain chain = alloc_chain(set, 1000);
  EXPECT_EQ(chain.piece_count(), 2U) << "two of 512 bytes";
  EXPECT_FALSE(alloc_chain(set, 512, 600)) << "no buffer is above the headroom";
  test::give_all(set, held);
  held = test::take_all(set, 64, 16);
  EXPECT_EQ(alloc_chain(set, 10).pinned_bytes(), 512U) << "a larger one, where small ones are held";
  test::give_all(set, held);
}

// ---- Pinned bytes -------------------------------------------------------------------------------

TEST_F(chain_under_test, coalesces_into_one_buffer_of_a_class) {
  buffer_chain chain = numbered(small, 40, blocks);
  EXPECT_TRUE(chain.coalesce(set));
  EXPECT_EQ(chain.piece_count(), 1U);
  EXPECT_EQ(text_of(chain), numbers(40));
  EXPECT_EQ(small.stats().in_use, 0U);
  EXPECT_EQ(blocks.stats().in_use, 0U);
  chain = alloc_chain(set, 5000);
  EXPECT_FALSE(chain.coalesce(set)) << "no class is so large";
  EXPECT_EQ(chain.size(), 5000U);
}

TEST_F(chain_under_test, compacts_small_slices_that_pin_large_buffers) {
  buffer_chain chain(blocks);
  std::string all;
  for (int i = 0; i < 7; ++i) {
    const std::string text(i == 3 ? 3000 : 20, static_cast<char>('a' + i));
    all += text;
    buffer large = set.alloc(4096);
    std::copy_n(bytes_of(text).begin(), text.size(), large.data());
    EXPECT_TRUE(chain.append(shared_buffer(std::move(large)).slice(0, text.size())));
  }
  EXPECT_EQ(chain.pinned_bytes(), 7 * 4096U);
  EXPECT_EQ(chain.compact(set, 19), 0U);
  EXPECT_EQ(chain.compact(set, 20), 6 * 4096 - 2 * 64U);
  EXPECT_EQ(chain.piece_count(), 3U);
  EXPECT_EQ(chain.pinned_bytes(), 4096 + 2 * 64U);
  EXPECT_EQ(text_of(chain), all);
  EXPECT_EQ(chain.compact(set, 20), 0U) << "nothing to be had any more";
  EXPECT_EQ(set.classes()[2].stats().in_use, 1U);
}

TEST_F(chain_under_test, does_not_copy_slices_whose_buffer_stays_pinned) {
  const shared_buffer whole = piece_of(set, std::string(4000, 'w'));
  buffer_chain chain;
  EXPECT_TRUE(chain.append(whole.slice(0, 10)));
  EXPECT_TRUE(chain.append(whole.slice(100, 2000)));
  EXPECT_TRUE(chain.append(whole.slice(3000, 10)));
  EXPECT_EQ(chain.compact(set, 10), 0U);
  EXPECT_EQ(set.classes()[0].stats().alloc_count, 0U);
  chain.trim_back(1);
  buffer_chain tail = chain.split(10 + 2000);
  EXPECT_EQ(tail.compact(set, 10), 4096U - 64U);
}

// ---- Pools --------------------------------------------------------------------------------------

TEST_F(chain_under_test, refers_to_either_kind_of_pool) {
  EXPECT_FALSE(pool_ref());
  EXPECT_EQ(pool_ref().max_size(), 0U);
  EXPECT_FALSE(pool_ref().try_alloc(1));
  EXPECT_FALSE(pool_ref().alloc(1, std::nothrow));
  EXPECT_FALSE(pool_ref().try_alloc_part(1));
  EXPECT_EQ(pool_ref(small).max_size(), 64U);
  EXPECT_EQ(pool_ref(small).try_alloc_part(100).size(), 64U);
  EXPECT_EQ(pool_ref(set).max_size(), 4096U);
  EXPECT_EQ(pool_ref(set).alloc(100, std::nothrow).capacity(), 512U);
  EXPECT_EQ(pool_ref(set).try_alloc_part(10000).size(), 4096U);
  EXPECT_EQ(pool_ref(set).try_alloc_part(65).size(), 65U);
}

}  // namespace
}  // namespace ringpool::buffer_chain_test
