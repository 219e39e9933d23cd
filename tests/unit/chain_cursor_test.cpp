// SPDX-License-Identifier: MIT
#include "ringpool/chain_cursor.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "../support/books.hpp"

namespace ringpool::chain_cursor_test {
namespace {

using bytes = std::vector<std::byte>;

/// A chain of the bytes 1, 2, 3 ... in pieces of `piece_size` bytes.
buffer_chain counted(ring_buffer_pool& pool, std::size_t size, std::size_t piece_size) {
  buffer_chain made;
  for (std::size_t at = 0; at < size; at += piece_size) {
    buffer one = pool.alloc(std::min(piece_size, size - at));
    for (std::size_t i = 0; i < one.size(); ++i) {
      one.data()[i] = static_cast<std::byte>(at + i + 1);
    }
    EXPECT_TRUE(made.append(std::move(one)));
  }
  return made;
}

struct chain_cursors : testing::Test {
  ~chain_cursors() override { test::expect_whole(pool); }
  ring_buffer_pool pool{512, 64, {.upstream = nullptr}};
};

TEST_F(chain_cursors, read_integers_of_either_order_across_pieces) {
  for (const std::size_t piece_size : {1U, 2U, 3U, 5U, 30U}) {
    const buffer_chain chain = counted(pool, 30, piece_size);
    chain_reader reader(chain);
    std::uint8_t one = 0;
    std::uint16_t two = 0;
    std::uint32_t four = 0;
    std::uint64_t eight = 0;
    EXPECT_TRUE(reader.read_be(one));
    EXPECT_EQ(one, 1U);
    EXPECT_TRUE(reader.read_be(two));
    EXPECT_EQ(two, 0x0203U);
    EXPECT_TRUE(reader.read_be(four));
    EXPECT_EQ(four, 0x04050607U);
    EXPECT_TRUE(reader.read_be(eight));
    EXPECT_EQ(eight, 0x08090a0b0c0d0e0fU);
    EXPECT_TRUE(reader.read_le(one));
    EXPECT_EQ(one, 0x10U);
    EXPECT_TRUE(reader.read_le(two));
    EXPECT_EQ(two, 0x1211U);
    EXPECT_TRUE(reader.read_le(four));
    EXPECT_EQ(four, 0x16151413U);
    EXPECT_EQ(reader.position(), 22U);
    EXPECT_TRUE(reader.peek_le(eight));
    EXPECT_EQ(eight, 0x1e1d1c1b1a191817U);
    EXPECT_TRUE(reader.read_le(eight));
    EXPECT_EQ(reader.remaining(), 0U);
    EXPECT_TRUE(reader.peek_piece().empty());
  }
}

TEST_F(chain_cursors, read_signed_integers) {
  buffer_chain chain = counted(pool, 8, 3);
  EXPECT_TRUE(chain_writer(chain).write_be(std::int64_t{-2}));
  std::int64_t wide = 0;
  EXPECT_TRUE(chain_reader(chain).read_be(wide));
  EXPECT_EQ(wide, -2);
  std::int16_t narrow = 0;
  EXPECT_TRUE(chain_reader(chain).read_le(narrow));
  EXPECT_EQ(narrow, -1);
}

TEST_F(chain_cursors, stay_where_they_are_when_the_chain_is_too_short) {
  buffer_chain chain = counted(pool, 7, 3);
  chain_reader reader(chain);
  EXPECT_TRUE(reader.skip(4));
  std::uint32_t four = 99;
  EXPECT_FALSE(reader.read_be(four));
  EXPECT_FALSE(reader.read_le(four));
  EXPECT_FALSE(reader.peek_be(four));
  EXPECT_FALSE(reader.peek_le(four));
  EXPECT_EQ(four, 99U);
  bytes out(4, std::byte{99});
  EXPECT_FALSE(reader.read(out));
  EXPECT_FALSE(reader.peek(out));
  EXPECT_EQ(out, bytes(4, std::byte{99}));
  EXPECT_FALSE(reader.skip(4));
  EXPECT_FALSE(reader.skip(~std::size_t{0}));
  EXPECT_EQ(reader.position(), 4U);
  out.resize(3);
  EXPECT_TRUE(reader.peek(out));
  EXPECT_TRUE(reader.read(out));
  EXPECT_EQ(out, (bytes{std::byte{5}, std::byte{6}, std::byte{7}}));
  EXPECT_TRUE(reader.skip(0));
  EXPECT_FALSE(reader.skip(1));

  chain_writer writer(chain);
  EXPECT_TRUE(writer.skip(6));
  EXPECT_FALSE(writer.write_be(std::uint16_t{1}));
  EXPECT_FALSE(writer.skip(2));
  EXPECT_EQ(writer.remaining(), 1U);
  EXPECT_TRUE(writer.write_le(std::uint8_t{1}));
  EXPECT_FALSE(writer.write_le(std::uint8_t{1}));
}

TEST_F(chain_cursors, show_piece_after_piece) {
  const buffer_chain chain = counted(pool, 100, 10);
  chain_reader reader(chain);
  EXPECT_TRUE(reader.skip(3));
  EXPECT_EQ(reader.peek_piece().size(), 7U);
  EXPECT_TRUE(reader.skip(7));
  EXPECT_EQ(reader.peek_piece().size(), 10U);
  EXPECT_EQ(reader.peek_piece()[0], std::byte{11});
}

TEST_F(chain_cursors, of_an_empty_chain_are_at_its_end) {
  buffer_chain none;
  std::uint8_t one = 0;
  EXPECT_FALSE(chain_reader(none).read_be(one));
  EXPECT_TRUE(chain_reader(none).read({}));
  EXPECT_FALSE(chain_writer(none).write_be(one));
  EXPECT_TRUE(chain_writer(none).write({}));
  buffer_chain room = alloc_with_headroom(pool, 8, 0);
  EXPECT_FALSE(chain_reader(room).read_be(one));
  EXPECT_FALSE(chain_writer(room).write_be(one));
  EXPECT_TRUE(room.append(counted(pool, 1, 1)));
  EXPECT_TRUE(chain_reader(room).read_be(one)) << "pieces without bytes are passed";
  EXPECT_TRUE(chain_writer(room).write_be(one));
}

TEST_F(chain_cursors, write_integers_of_either_order_across_pieces) {
  for (const std::size_t piece_size : {1U, 3U, 15U}) {
    buffer_chain chain = counted(pool, 15, piece_size);
    chain_writer writer(chain);
    EXPECT_TRUE(writer.write_be(std::uint16_t{0x0102}));
    EXPECT_TRUE(writer.write_le(std::uint32_t{0x06050403}));
    EXPECT_TRUE(writer.write_be(std::uint64_t{0x0708090a0b0c0d0e}));
    EXPECT_TRUE(writer.write_be(std::uint8_t{0x0f}));
    EXPECT_EQ(writer.position(), 15U);
    chain_reader reader(chain);
    for (std::uint8_t expected = 1; expected <= 15; ++expected) {
      std::uint8_t one = 0;
      EXPECT_TRUE(reader.read_be(one));
      EXPECT_EQ(one, expected);
    }
  }
}

TEST_F(chain_cursors, write_nothing_where_a_buffer_has_other_owners) {
  buffer_chain chain = counted(pool, 6, 3);
  {
    buffer_chain tail = counted(pool, 3, 3);
    const buffer_chain other = tail.share();
    EXPECT_TRUE(chain.append(std::move(tail)));
    chain_writer writer(chain);
    EXPECT_TRUE(writer.skip(4));
    EXPECT_FALSE(writer.write_be(~std::uint32_t{0})) << "two bytes would be another's";
    EXPECT_EQ(writer.position(), 4U);
    bytes seen(9);
    EXPECT_TRUE(chain_reader(chain).read(seen));
    EXPECT_EQ(seen[4], std::byte{5});
    EXPECT_TRUE(writer.write_be(std::uint16_t{0}));
    EXPECT_TRUE(writer.skip(3)) << "whoever owns them";
  }
  chain_writer writer(chain);
  EXPECT_TRUE(writer.skip(4));
  EXPECT_TRUE(writer.write_be(~std::uint32_t{0})) << "the other is gone";
}

}  // namespace
}  // namespace ringpool::chain_cursor_test
