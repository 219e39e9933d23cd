// SPDX-License-Identifier: MIT
#include "ringpool/codec/chain_frame.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "../property/frame_streams.hpp"
#include "../support/books.hpp"
#include "ringpool/chain_cursor.hpp"

namespace ringpool::codec_chain_frame_test {
namespace {

using test::bytes;
using test::max_frame;

bytes content_of(const buffer_chain& chain) {
  bytes all(chain.size());
  EXPECT_EQ(chain.copy_to(all), chain.size());
  return all;
}

bytes payload_of(std::size_t size) {
  bytes made(size);
  for (std::size_t i = 0; i < size; ++i) {
    made[i] = static_cast<std::byte>(i * 7 + i / 251);
  }
  return made;
}

void put_frame(bytes& stream, const bytes& payload) {
  const frame_header header = encode_frame_header(static_cast<std::uint32_t>(payload.size()));
  stream.insert(stream.end(), header.begin(), header.end());
  stream.insert(stream.end(), payload.begin(), payload.end());
}

struct chain_frames : testing::Test {
  ~chain_frames() override { test::expect_whole(pool); }

  /// As if it had been received.
  shared_buffer received(std::span<const std::byte> content) {
    buffer made = pool.try_alloc(content.size());
    EXPECT_TRUE(made);
    std::copy(content.begin(), content.end(), made.data());
    return made;
  }
  /// Decodes a stream that comes in buffers of `piece_bytes`.
  test::outcome decode(chain_frame_decoder& decoder, const bytes& stream,
                       const std::vector<std::size_t>& pieces) {
    test::outcome result;
    std::size_t number = 0;
    for (std::size_t at = 0; at < stream.size() && !result.failed;) {
      const std::size_t size = std::min(pieces[number++ % pieces.size()], stream.size() - at);
      shared_buffer input = received(std::span(stream).subspan(at, size));
      at += size;
      decode_status status = decode_status::need_bytes;
      while ((status = decoder.decode(input)) == decode_status::frame_ready) {
        result.frames.push_back(content_of(decoder.take()));
        EXPECT_TRUE(decoder.between_frames());
        EXPECT_FALSE(decoder.held());
      }
      result.failed = status == decode_status::failed;
      EXPECT_EQ(static_cast<bool>(input), result.failed && input) << "input is left behind";
    }
    return result;
  }

  multi_size_ring_pool pool{{{64, 1024}, {512, 128}, {4096, 512}}, {.upstream = nullptr}};
};

TEST_F(chain_frames, are_the_same_however_the_stream_is_cut) {
  bytes stream;
  for (const std::size_t size : {1U, 2U, 63U, 64U, 65U, 300U, 600U, 1U, 599U}) {
    put_frame(stream, payload_of(size));
  }
  const test::outcome right = test::decode_naively(stream);
  ASSERT_EQ(right.frames.size(), 9U);
  for (std::size_t piece = 1; piece < 70; ++piece) {
    chain_frame_decoder decoder(max_frame, pool);
    EXPECT_EQ(decode(decoder, stream, {piece}), right) << piece;
    EXPECT_EQ(decode(decoder, stream, {piece, 3, 4000}), right) << piece;
  }
}

TEST_F(chain_frames, of_random_streams_are_those_of_plain_arithmetic) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    bytes stream;
    for (auto i = random() % 6; i != 0; --i) {
      put_frame(stream, payload_of(1 + random() % max_frame));
    }
    if (random() % 3 == 0) {
      put_frame(stream, payload_of(random() % 2 == 0 ? 0 : 601));
    }
    const auto missing = static_cast<std::ptrdiff_t>(random() % (stream.size() / 8 + 1));
    stream.erase(stream.end() - missing, stream.end());
    std::vector<std::size_t> pieces(1 + random() % 4);
    std::generate(pieces.begin(), pieces.end(), [&] { return 1 + random() % 400; });
    chain_frame_decoder decoder(max_frame, pool);
    EXPECT_EQ(decode(decoder, stream, pieces), test::decode_naively(stream)) << round;
  }
}

TEST_F(chain_frames, are_where_they_were_received) {
  bytes stream;
  put_frame(stream, payload_of(100));
  put_frame(stream, payload_of(50));
  shared_buffer input = received(stream);
  const std::byte* const start = input.data();
  chain_frame_decoder decoder;
  ASSERT_EQ(decoder.decode(input), decode_status::frame_ready);
  const buffer_chain first = decoder.take();
  ASSERT_EQ(decoder.decode(input), decode_status::frame_ready);
  EXPECT_FALSE(input) << "the second frame has the handle itself";
  const buffer_chain second = decoder.take();
  first.for_each_piece([&](std::span<const std::byte> one) { EXPECT_EQ(one.data(), start + 4); });
  second.for_each_piece(
      [&](std::span<const std::byte> one) { EXPECT_EQ(one.data(), start + 108); });
  EXPECT_EQ(first.piece_count() + second.piece_count(), 2U);
  EXPECT_EQ(pool.classes()[1].stats().alloc_count, 1U);
}

TEST_F(chain_frames, may_be_far_larger_than_any_buffer) {
  bytes stream;
  put_frame(stream, payload_of(std::size_t{1} << 20));
  put_frame(stream, payload_of(16384));
  chain_frame_decoder decoder(max_frame_limit_bytes, pool);
  const test::outcome found = decode(decoder, stream, {4096});
  ASSERT_EQ(found.frames.size(), 2U);
  EXPECT_EQ(found.frames[0], payload_of(std::size_t{1} << 20));
  EXPECT_EQ(found.frames[1], payload_of(16384));
}

TEST_F(chain_frames, with_a_bad_length_are_refused_until_reset) {
  for (const std::uint32_t length : {0U, 601U, 0x80000000U}) {
    const frame_header header = encode_frame_header(length);
    shared_buffer input = received(header);
    chain_frame_decoder decoder(max_frame);
    EXPECT_EQ(decoder.decode(input), decode_status::failed);
    EXPECT_EQ(decoder.decode(input), decode_status::failed);
    EXPECT_FALSE(decoder.take());
    EXPECT_TRUE(decoder.error());
    EXPECT_FALSE(decoder.error_message().empty());
    EXPECT_EQ(decoder.cursor().length(), static_cast<std::int32_t>(length));
    decoder.reset();
    EXPECT_FALSE(decoder.error());
    EXPECT_EQ(decoder.error_message(), "");
    EXPECT_EQ(decoder.decode(input), decode_status::need_bytes) << "of an empty input";
  }
}

TEST_F(chain_frames, are_taken_only_when_they_are_complete) {
  bytes stream;
  put_frame(stream, payload_of(100));
  shared_buffer part = received(std::span(stream).first(50));
  chain_frame_decoder decoder;
  EXPECT_FALSE(decoder.take());
  EXPECT_EQ(decoder.decode(part), decode_status::need_bytes);
  EXPECT_FALSE(decoder.take());
  EXPECT_EQ(decoder.held().size(), 46U);
  shared_buffer rest = received(std::span(stream).subspan(50));
  EXPECT_EQ(decoder.decode(rest), decode_status::frame_ready);
  EXPECT_EQ(decoder.decode(rest), decode_status::frame_ready) << "says it again";
  EXPECT_EQ(content_of(decoder.take()), payload_of(100));
  shared_buffer again = received(std::span(stream).first(50));
  EXPECT_EQ(decoder.decode(again), decode_status::need_bytes);
  decoder.reset();
  EXPECT_TRUE(decoder.between_frames());
}

TEST_F(chain_frames, go_on_where_they_stopped_once_there_is_a_block) {
  ring_buffer_pool blocks(512, 1, {.upstream = nullptr});
  buffer held = blocks.try_alloc(1);
  bytes stream;
  put_frame(stream, payload_of(500));
  chain_frame_decoder decoder(max_frame, blocks);
  std::size_t refused_at = 0;
  for (std::size_t at = 0; at < stream.size(); at += 100) {
    shared_buffer input =
        received(std::span(stream).subspan(at, std::min<std::size_t>(100, stream.size() - at)));
    decode_status status = decoder.decode(input);
    if (status == decode_status::need_buffer) {
      refused_at = at;
      EXPECT_EQ(input.size(), 100U) << "nothing of it was taken";
      EXPECT_EQ(decoder.decode(input), decode_status::need_buffer);
      held.reset();
      status = decoder.decode(input);
    }
    EXPECT_EQ(status, at == 500 ? decode_status::frame_ready : decode_status::need_bytes);
  }
  EXPECT_EQ(refused_at, 400U);
  EXPECT_EQ(content_of(decoder.take()), payload_of(500));
  test::expect_whole(blocks);
}

TEST_F(chain_frames, that_come_in_small_parts_of_large_buffers_are_copied_together_on_demand) {
  bytes stream;
  put_frame(stream, payload_of(500));
  chain_frame_decoder decoder(max_frame, pool);
  for (std::size_t at = 0; at < 204; at += 10) {
    buffer large = pool.alloc(4096);
    const std::size_t size = std::min<std::size_t>(10, 204 - at);
    std::copy_n(stream.begin() + static_cast<std::ptrdiff_t>(at), size, large.data());
    large.resize(size);
    shared_buffer input(std::move(large));
    EXPECT_EQ(decoder.decode(input), decode_status::need_bytes);
  }
  EXPECT_EQ(decoder.held().pinned_bytes(), 21 * 4096U);
  EXPECT_EQ(decoder.compact(pool, 64), 21 * 4096U - 512U);
  shared_buffer rest = received(std::span(stream).subspan(204));
  EXPECT_EQ(decoder.decode(rest), decode_status::frame_ready);
  EXPECT_EQ(content_of(decoder.take()), payload_of(500));
}

// ---- Encoding -----------------------------------------------------------------------------------

TEST_F(chain_frames, are_encoded_in_headroom_and_sent_to_many) {
  const bytes payload = payload_of(300);
  buffer_chain frame = alloc_with_headroom(pool, frame_header_bytes, payload.size());
  ASSERT_TRUE(chain_writer(frame).write(payload));
  ASSERT_TRUE(encode_frame(pool, frame));
  EXPECT_EQ(frame.piece_count(), 1U);
  bytes stream;
  put_frame(stream, payload);
  std::vector<buffer_chain> sent;
  for (int i = 0; i < 100; ++i) {
    sent.push_back(frame.share());
    EXPECT_EQ(content_of(sent.back()), stream);
  }
  EXPECT_EQ(pool.classes()[1].stats().in_use, 1U) << "all of them are one buffer";
}

TEST_F(chain_frames, get_a_header_of_their_own_where_others_have_the_payload) {
  buffer_chain payload = alloc_with_headroom(pool, 16, 3);
  ASSERT_TRUE(chain_writer(payload).write(payload_of(3)));
  buffer_chain frame = payload.share();
  ASSERT_TRUE(encode_frame(pool, frame));
  EXPECT_EQ(frame.piece_count(), 2U);
  EXPECT_EQ(content_of(payload), payload_of(3));
  bytes stream;
  put_frame(stream, payload_of(3));
  EXPECT_EQ(content_of(frame), stream);
}

TEST_F(chain_frames, without_payload_or_header_buffer_are_not_encoded) {
  buffer_chain chain;
  EXPECT_FALSE(encode_frame(pool, chain));
  ASSERT_TRUE(chain.append(received(payload_of(10))));
  EXPECT_FALSE(encode_frame(pool_ref(), chain));
  EXPECT_EQ(content_of(chain), payload_of(10));
}

TEST_F(chain_frames, larger_than_a_class_go_out_and_come_back) {
  const bytes payload = payload_of(100000);
  buffer_chain frame = alloc_chain(pool, payload.size(), frame_header_bytes);
  ASSERT_TRUE(chain_writer(frame).write(payload));
  ASSERT_TRUE(encode_frame(pool, frame));
  EXPECT_EQ(frame.piece_count(), 25U) << "24 of 4096 bytes, one of what is left";
  EXPECT_EQ(frame.headroom(), 0U);
  chain_frame_decoder decoder(1000000, pool);
  EXPECT_EQ(decode(decoder, content_of(frame), {1460}).frames, std::vector<bytes>{payload});
}

}  // namespace
}  // namespace ringpool::codec_chain_frame_test
