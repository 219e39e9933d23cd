// SPDX-License-Identifier: MIT
#include "ringpool/codec/frame.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

using bytes = std::vector<std::byte>;

/// Heap blocks in power-of-two sizes from 16 bytes; counts what is out, and can be told to refuse.
class test_source {
 public:
  class handle {
   public:
    handle() noexcept = default;
    handle(test_source& home, std::size_t size, std::size_t capacity)
        : memory_(std::make_unique<std::byte[]>(capacity)),
          home_(&home),
          size_(size),
          capacity_(capacity) {
      home.held_bytes += capacity;
      home.most_held_bytes = std::max(home.most_held_bytes, home.held_bytes);
    }
    handle(handle&& other) noexcept { swap(other); }
    handle& operator=(handle&& other) noexcept {
      handle taken(std::move(other));
      swap(taken);
      return *this;
    }
    ~handle() {
      if (memory_ != nullptr) {
        home_->held_bytes -= capacity_;
      }
    }
    [[nodiscard]] std::byte* data() const noexcept { return memory_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    void resize(std::size_t size) noexcept { size_ = size; }
    [[nodiscard]] explicit operator bool() const noexcept { return memory_ != nullptr; }

   private:
    void swap(handle& other) noexcept {
      std::swap(memory_, other.memory_);
      std::swap(home_, other.home_);
      std::swap(size_, other.size_);
      std::swap(capacity_, other.capacity_);
    }
    std::unique_ptr<std::byte[]> memory_;
    test_source* home_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
  };

  [[nodiscard]] handle try_alloc(std::size_t size) noexcept {
    ++requests;
    if (refusals != 0) {
      --refusals;
      return {};
    }
    std::size_t capacity = smallest;
    while (capacity < size) {
      capacity *= 2;
    }
    return {*this, size, capacity};
  }

  static constexpr std::size_t smallest = 16;
  std::size_t refusals = 0;  // how many requests to refuse from now on
  std::size_t requests = 0;
  std::size_t held_bytes = 0;
  std::size_t most_held_bytes = 0;
};

using decoder = basic_frame_decoder<test_source::handle>;

bytes payload_of(std::size_t size, unsigned seed = 1) {
  bytes result(size);
  for (std::size_t i = 0; i < size; ++i) {
    result[i] = static_cast<std::byte>(i * 7 + seed);
  }
  return result;
}

bytes header_of(std::int32_t length) {
  const frame_header header = encode_frame_header(static_cast<std::uint32_t>(length));
  return {header.begin(), header.end()};
}

void append(bytes& stream, const bytes& more) {
  stream.insert(stream.end(), more.begin(), more.end());
}

bytes stream_of(const std::vector<bytes>& payloads) {
  bytes stream;
  for (const bytes& payload : payloads) {
    append(stream, header_of(static_cast<std::int32_t>(payload.size())));
    append(stream, payload);
  }
  return stream;
}

template <class Handle>
bytes content(const Handle& handle) {
  return {handle.data(), handle.data() + handle.size()};
}

/// Feeds one piece and collects the frames; the status of the last call comes back.
template <class Decoder, class Source>
decode_status feed(Decoder& into, Source& source, std::span<const std::byte> piece,
                   std::vector<bytes>& frames) {
  for (;;) {
    const auto [status, consumed] = into.decode(source, piece);
    EXPECT_LE(consumed, piece.size());
    piece = piece.subspan(consumed);
    if (status != decode_status::frame_ready) {
      EXPECT_TRUE(status != decode_status::need_bytes || piece.empty());
      return status;
    }
    frames.push_back(content(into.take()));
  }
}

const std::vector<bytes>& mixed_payloads() {
  static const std::vector<bytes> payloads{payload_of(1),  payload_of(15), payload_of(16),
                                           payload_of(17), payload_of(2),  payload_of(70),
                                           payload_of(1),  payload_of(33)};
  return payloads;
}

TEST(frame_decoder, gives_the_same_frames_at_every_pair_of_cuts) {
  const bytes stream = stream_of(mixed_payloads());
  const std::span<const std::byte> all(stream);
  for (std::size_t first = 0; first <= stream.size(); ++first) {
    for (std::size_t second = first; second <= stream.size(); ++second) {
      test_source source;
      decoder under_test;
      std::vector<bytes> frames;
      feed(under_test, source, all.first(first), frames);
      feed(under_test, source, all.subspan(first, second - first), frames);
      feed(under_test, source, all.subspan(second), frames);
      ASSERT_EQ(frames, mixed_payloads()) << "cut at " << first << " and " << second;
      ASSERT_TRUE(under_test.between_frames());
      ASSERT_EQ(source.held_bytes, 0U);
    }
  }
}

TEST(frame_decoder, gives_the_same_frames_in_pieces_of_every_size) {
  const bytes stream = stream_of(mixed_payloads());
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    test_source source;
    decoder under_test;
    std::vector<bytes> frames;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const std::size_t size = std::min(step, stream.size() - at);
      feed(under_test, source, std::span(stream).subspan(at, size), frames);
    }
    ASSERT_EQ(frames, mixed_payloads()) << "in pieces of " << step;
  }
}

TEST(frame_decoder, takes_no_buffer_for_a_header_alone) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  EXPECT_EQ(feed(under_test, source, header_of(16384), frames), decode_status::need_bytes);
  EXPECT_EQ(source.requests, 0U);
  EXPECT_FALSE(under_test.between_frames());
}

TEST(frame_decoder, takes_the_smallest_buffer_for_a_huge_promise_and_few_bytes) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  feed(under_test, source, header_of(16384), frames);
  feed(under_test, source, payload_of(3), frames);
  EXPECT_EQ(source.held_bytes, test_source::smallest);
  EXPECT_EQ(under_test.held_bytes(), test_source::smallest);
}

TEST(frame_decoder, holds_less_than_four_times_what_came_at_any_time) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  feed(under_test, source, header_of(16384), frames);
  const bytes payload = payload_of(16384);
  for (std::size_t at = 0; at + 1 < payload.size(); ++at) {
    feed(under_test, source, std::span(payload).subspan(at, 1), frames);
    ASSERT_LT(source.held_bytes, std::max(test_source::smallest + 1, 4 * (at + 1)));
  }
  feed(under_test, source, std::span(payload).last(1), frames);
  EXPECT_EQ(frames, std::vector<bytes>{payload});
  EXPECT_EQ(source.requests, 11U);  // 16, 32, ... 16384
}

TEST(frame_decoder, takes_one_exact_buffer_for_a_frame_that_is_whole_in_the_input) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  feed(under_test, source, stream_of({payload_of(1000)}), frames);
  EXPECT_EQ(source.requests, 1U);
  EXPECT_EQ(source.most_held_bytes, 1024U);
}

TEST(frame_decoder, holds_nothing_between_frames_and_is_small) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  feed(under_test, source, stream_of(mixed_payloads()), frames);
  EXPECT_EQ(under_test.held_bytes(), 0U);
  EXPECT_EQ(source.held_bytes, 0U);
  EXPECT_LE(sizeof(frame_cursor), 16U);
}

struct lie {
  std::int32_t length;
  frame_errc error;
  const char* message;
};

TEST(frame_decoder, refuses_lengths_outside_1_to_the_maximum_wherever_they_are_cut) {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t highest = std::numeric_limits<std::int32_t>::max();
  const lie lies[] = {
      {0, frame_errc::zero_length, "frame length 0 is zero; accepted: 1 to 100"},
      {-1, frame_errc::negative_length, "frame length -1 is negative; accepted: 1 to 100"},
      {lowest, frame_errc::negative_length,
       "frame length -2147483648 is negative; accepted: 1 to 100"},
      {101, frame_errc::too_long, "frame length 101 is above the maximum; accepted: 1 to 100"},
      {highest, frame_errc::too_long,
       "frame length 2147483647 is above the maximum; accepted: 1 to 100"}};
  for (const lie& one : lies) {
    for (std::size_t cut = 0; cut <= frame_header_bytes; ++cut) {
      test_source source;
      decoder under_test(100);
      std::vector<bytes> frames;
      bytes stream = header_of(one.length);
      append(stream, payload_of(50));
      feed(under_test, source, std::span(stream).first(cut), frames);
      EXPECT_EQ(feed(under_test, source, std::span(stream).subspan(cut), frames),
                decode_status::failed);
      EXPECT_EQ(under_test.error(), one.error);
      EXPECT_EQ(under_test.error_message(), one.message);
      EXPECT_TRUE(frames.empty());
      EXPECT_EQ(source.requests, 0U);
    }
  }
}

TEST(frame_decoder, accepts_the_maximum_and_one_byte) {
  test_source source;
  decoder under_test(100);
  std::vector<bytes> frames;
  const std::vector<bytes> payloads{payload_of(100), payload_of(1)};
  EXPECT_EQ(feed(under_test, source, stream_of(payloads), frames), decode_status::need_bytes);
  EXPECT_EQ(frames, payloads);
  EXPECT_FALSE(under_test.error());
  EXPECT_EQ(under_test.error_message(), "");
}

TEST(frame_decoder, shows_the_length_of_the_frame_that_is_under_way) {
  test_source source;
  decoder under_test(100);
  std::vector<bytes> frames;
  feed(under_test, source, header_of(30), frames);
  EXPECT_FALSE(under_test.between_frames());
  EXPECT_EQ(under_test.cursor().length(), 30);
  EXPECT_EQ(under_test.cursor().max_frame_bytes(), 100U);
  EXPECT_EQ(under_test.cursor().received(), 0U);
}

TEST(frame_decoder, stays_failed_until_reset) {
  test_source source;
  decoder under_test(100);
  std::vector<bytes> frames;
  feed(under_test, source, header_of(-1), frames);
  const auto [status, consumed] = under_test.decode(source, payload_of(10));
  EXPECT_EQ(status, decode_status::failed);
  EXPECT_EQ(consumed, 0U);
  under_test.reset();
  feed(under_test, source, stream_of({payload_of(5)}), frames);
  EXPECT_EQ(frames, std::vector<bytes>{payload_of(5)});
}

TEST(frame_decoder, clamps_a_maximum_that_the_wire_cannot_carry) {
  EXPECT_EQ(frame_cursor(0).max_frame_bytes(), 1U);
  EXPECT_EQ(frame_cursor(0xffffffffU).max_frame_bytes(), max_frame_limit_bytes);
}

/// Refuses the n-th request once, for every n: the rest of the input is fed again.
TEST(frame_decoder, loses_no_byte_when_any_request_is_refused) {
  const bytes stream = stream_of(mixed_payloads());
  for (std::size_t step : {std::size_t{1}, std::size_t{5}, std::size_t{40}, stream.size()}) {
    for (std::size_t refused = 1; refused <= 40; ++refused) {
      test_source source;
      decoder under_test;
      std::vector<bytes> frames;
      for (std::size_t at = 0, size = 0; at < stream.size(); at += size) {
        const std::size_t end = std::min(at + step, stream.size());
        source.refusals = source.requests + 1 == refused ? 3 : 0;
        const auto [status, consumed] =
            under_test.decode(source, std::span(stream).subspan(at, end - at));
        size = consumed;
        if (status == decode_status::frame_ready) {
          frames.push_back(content(under_test.take()));
        } else if (status == decode_status::need_buffer) {
          ASSERT_LT(consumed, end - at);
          source.refusals = 0;
        }
      }
      ASSERT_EQ(frames, mixed_payloads()) << "request " << refused << ", pieces of " << step;
    }
  }
}

TEST(frame_decoder, says_need_buffer_again_while_there_is_none_and_keeps_what_it_has) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  const bytes payload = payload_of(100);
  feed(under_test, source, header_of(100), frames);
  feed(under_test, source, std::span(payload).first(10), frames);
  source.refusals = 1000;
  const std::span<const std::byte> rest = std::span(payload).subspan(10);
  const auto [status, consumed] = under_test.decode(source, rest);
  EXPECT_EQ(status, decode_status::need_buffer);
  EXPECT_EQ(consumed, 6U);  // what the 16 bytes it holds have room for
  for (int i = 0; i < 3; ++i) {
    const auto [again, more] = under_test.decode(source, rest.subspan(consumed));
    EXPECT_EQ(again, decode_status::need_buffer);
    EXPECT_EQ(more, 0U);
  }
  source.refusals = 0;
  feed(under_test, source, rest.subspan(consumed), frames);
  EXPECT_EQ(frames, std::vector<bytes>{payload});
}

TEST(frame_decoder, announces_a_frame_again_until_it_is_taken) {
  test_source source;
  decoder under_test;
  EXPECT_FALSE(under_test.take());
  const bytes stream = stream_of({payload_of(5), payload_of(6)});
  const auto [status, consumed] = under_test.decode(source, stream);
  EXPECT_EQ(status, decode_status::frame_ready);
  EXPECT_EQ(consumed, 9U);
  const auto [again, more] = under_test.decode(source, std::span(stream).subspan(9));
  EXPECT_EQ(again, decode_status::frame_ready);
  EXPECT_EQ(more, 0U);
  EXPECT_EQ(content(under_test.take()), payload_of(5));
  EXPECT_FALSE(under_test.take());
}

TEST(frame_decoder, gives_its_buffer_back_at_reset_and_at_destruction) {
  test_source source;
  const bytes stream = stream_of({payload_of(50)});
  std::vector<bytes> frames;
  {
    decoder under_test;
    feed(under_test, source, std::span(stream).first(20), frames);
    EXPECT_NE(source.held_bytes, 0U);
    under_test.reset();
    EXPECT_EQ(source.held_bytes, 0U);
    feed(under_test, source, std::span(stream).first(20), frames);
  }
  EXPECT_EQ(source.held_bytes, 0U);
}

TEST(frame_decoder, works_on_both_kinds_of_pool) {
  static_assert(buffer_source<ring_buffer_pool> && buffer_source<multi_size_ring_pool>);
  const std::vector<bytes> payloads{payload_of(60), payload_of(900), payload_of(1)};
  const bytes stream = stream_of(payloads);
  ring_buffer_pool pool(1024, 4);
  multi_size_ring_pool set({{64, 4}, {256, 4}, {1024, 4}});
  basic_frame_decoder<buffer> one;
  basic_frame_decoder<buffer> other;
  std::vector<bytes> frames;
  for (const std::byte& byte : stream) {
    feed(one, pool, {&byte, 1}, frames);
  }
  EXPECT_EQ(frames, payloads);
  frames.clear();
  for (const std::byte& byte : stream) {
    feed(other, set, {&byte, 1}, frames);
    std::uint64_t held = 0;
    for (const pool_stats& stats : set.stats().classes) {
      held += stats.in_use;
    }
    ASSERT_LE(held, 1U);
  }
  EXPECT_EQ(frames, payloads);
  EXPECT_EQ(pool.stats().in_use, 0U);
}

TEST(frame_decoder, resumes_when_the_buffers_of_a_pool_come_back) {
  ring_buffer_pool pool(64, 2);
  buffer held[] = {pool.try_alloc(64), pool.try_alloc(64)};
  basic_frame_decoder<buffer> under_test(64);
  const bytes stream = stream_of({payload_of(64)});
  const auto [status, consumed] = under_test.decode(pool, stream);
  EXPECT_EQ(status, decode_status::need_buffer);
  EXPECT_EQ(consumed, frame_header_bytes);
  held[0] = buffer{};
  std::vector<bytes> frames;
  feed(under_test, pool, std::span(stream).subspan(consumed), frames);
  EXPECT_EQ(frames, std::vector<bytes>{payload_of(64)});
}

/// The header of a payload of `length` bytes and its first `came` bytes have been decoded.
decoder half_a_frame(test_source& source, std::size_t length, std::size_t came) {
  decoder begun;
  std::vector<bytes> frames;
  const bytes payload = payload_of(length);
  feed(begun, source, header_of(static_cast<std::int32_t>(length)), frames);
  feed(begun, source, std::span(payload).first(came), frames);
  return begun;
}

/// As if they had been received there.
void receive(decoder& into, const bytes& payload) {
  const std::size_t received = into.cursor().received();
  const std::span<std::byte> room = into.writable();
  std::copy_n(payload.begin() + static_cast<std::ptrdiff_t>(received), room.size(), room.begin());
}

TEST(frame_decoder, has_room_to_receive_into_behind_what_came_and_not_beyond_the_frame) {
  test_source source;
  EXPECT_TRUE(decoder{}.writable().empty());
  EXPECT_TRUE(half_a_frame(source, 100, 0).writable().empty());
  EXPECT_EQ(half_a_frame(source, 100, 10).writable().size(), 6U);  // of the 16 it holds
  EXPECT_TRUE(half_a_frame(source, 100, 16).writable().empty());
  EXPECT_EQ(half_a_frame(source, 12, 10).writable().size(), 2U);
}

TEST(frame_decoder, is_ready_when_the_last_byte_was_received_and_ignores_what_has_no_room) {
  test_source source;
  const bytes payload = payload_of(12);
  decoder under_test = half_a_frame(source, 12, 10);
  receive(under_test, payload);
  EXPECT_EQ(under_test.wrote(1), decode_status::need_bytes);
  EXPECT_FALSE(under_test.take());
  EXPECT_EQ(under_test.wrote(100), decode_status::frame_ready);
  EXPECT_EQ(content(under_test.take()), payload);
  EXPECT_EQ(decoder{}.wrote(5), decode_status::need_bytes);  // no frame, no room: nothing came
}

TEST(frame_decoder, makes_room_in_larger_and_larger_buffers_until_the_frame_is_there) {
  test_source source;
  const bytes payload = payload_of(100);
  decoder under_test = half_a_frame(source, 100, 0);
  std::vector<std::size_t> rooms;
  decode_status status = decode_status::need_bytes;
  while (status == decode_status::need_bytes) {
    ASSERT_TRUE(under_test.make_room(source));
    receive(under_test, payload);
    rooms.push_back(under_test.writable().size());
    status = under_test.wrote(rooms.back());
  }
  EXPECT_EQ(rooms, (std::vector<std::size_t>{16, 16, 32, 36}));  // in 16, 32, 64 and 128 bytes
  EXPECT_FALSE(under_test.make_room(source));
  EXPECT_EQ(content(under_test.take()), payload);
  EXPECT_EQ(source.held_bytes, 0U);
}

TEST(frame_decoder, makes_no_room_before_a_header_after_an_error_or_from_an_empty_source) {
  test_source source;
  decoder under_test;
  std::vector<bytes> frames;
  EXPECT_FALSE(under_test.make_room(source));
  const bytes negative = header_of(-1);
  feed(under_test, source, std::span(negative).first(3), frames);
  EXPECT_FALSE(under_test.make_room(source));
  feed(under_test, source, std::span(negative).last(1), frames);
  EXPECT_FALSE(under_test.make_room(source));
  decoder full = half_a_frame(source, 100, 16);
  source.refusals = 1;
  EXPECT_FALSE(full.make_room(source));
  EXPECT_TRUE(full.writable().empty());
  EXPECT_TRUE(full.make_room(source));
  EXPECT_EQ(source.requests, 3U);
}

TEST(frame_decoder, goes_on_in_storage_that_has_the_next_bytes_wherever_they_lie) {
  for (const std::size_t came : {std::size_t{0}, std::size_t{10}, std::size_t{16}}) {
    for (const std::size_t offset : {std::size_t{0}, std::size_t{7}, std::size_t{40}}) {
      test_source source;
      const bytes payload = payload_of(60);
      decoder under_test = half_a_frame(source, 60, came);
      test_source::handle storage = source.try_alloc(64);
      std::copy_n(payload.begin() + static_cast<std::ptrdiff_t>(came), 24, storage.data() + offset);
      ASSERT_TRUE(under_test.adopt(storage, offset, 24));
      EXPECT_FALSE(storage);
      EXPECT_EQ(source.held_bytes, 64U);  // the smaller one went back
      receive(under_test, payload);
      EXPECT_EQ(under_test.wrote(60), decode_status::frame_ready);
      EXPECT_EQ(content(under_test.take()), payload) << came << " bytes, then at " << offset;
    }
  }
}

TEST(frame_decoder, adopts_nothing_that_it_cannot_hold_or_that_ends_the_frame) {
  test_source source;
  test_source::handle storage = source.try_alloc(30);  // of capacity 32
  decoder before_its_header;
  EXPECT_FALSE(before_its_header.adopt(storage, 0, 5));
  decoder under_test = half_a_frame(source, 60, 10);
  EXPECT_FALSE(under_test.adopt(storage, 0, 23));
  decoder nearly = half_a_frame(source, 20, 10);
  EXPECT_FALSE(nearly.adopt(storage, 0, 10));
  EXPECT_FALSE(nearly.adopt(storage, 0, 11));
  EXPECT_TRUE(storage);
  EXPECT_EQ(storage.size(), 30U);
  EXPECT_EQ(under_test.cursor().received(), 10U);
  EXPECT_TRUE(nearly.adopt(storage, 0, 9));
}

TEST(frame_decoder, gives_a_part_up_and_is_between_frames) {
  test_source source;
  decoder under_test = half_a_frame(source, 100, 10);
  const test_source::handle part = under_test.take_part();
  const bytes payload = payload_of(100);
  EXPECT_EQ(content(part), bytes(payload.begin(), payload.begin() + 10));
  EXPECT_TRUE(under_test.between_frames());
  EXPECT_FALSE(half_a_frame(source, 100, 0).take_part());
  std::vector<bytes> frames;
  feed(under_test, source, stream_of({payload_of(5)}), frames);
  EXPECT_EQ(frames, std::vector<bytes>{payload_of(5)});
}

TEST(frame_encoder, writes_big_endian_headers) {
  const frame_header header = encode_frame_header(0x01020304);
  for (std::size_t i = 0; i < header.size(); ++i) {
    EXPECT_EQ(header[i], static_cast<std::byte>(i + 1));
  }
}

TEST(frame_encoder, writes_what_the_decoder_reads_and_nothing_that_does_not_fit) {
  const bytes payload = payload_of(300);
  bytes out(304);
  EXPECT_EQ(encode_frame(std::span(out).first(303), payload), 0U);
  EXPECT_EQ(out, bytes(304));
  EXPECT_EQ(encode_frame(out, {}), 0U);
  EXPECT_EQ(encode_frame(out, payload), 304U);
  EXPECT_EQ(out, stream_of({payload}));
}

TEST(frame_encoder, points_at_header_and_payload_without_a_copy) {
  const bytes payload = payload_of(30);
  const frame_header header = encode_frame_header(30);
  const auto parts = frame_iovecs(header, payload);
  EXPECT_EQ(parts[0].iov_base, header.data());
  EXPECT_EQ(parts[0].iov_len, frame_header_bytes);
  EXPECT_EQ(parts[1].iov_base, payload.data());
  EXPECT_EQ(parts[1].iov_len, 30U);
}

TEST(frame_error, is_an_error_code_of_its_own_category) {
  const std::error_code code = frame_errc::too_long;
  EXPECT_STREQ(code.category().name(), "ringpool.frame");
  EXPECT_EQ(code.message(), "frame length is above the maximum");
  EXPECT_NE(make_error_code(frame_errc::zero_length).message(),
            make_error_code(frame_errc::negative_length).message());
  EXPECT_EQ(frame_category().message(99), "unknown frame error 99");
}

TEST(frame_error, a_value_that_is_no_code_is_described_as_bad) {
  EXPECT_EQ(describe(static_cast<frame_errc>(99), 7, 100),
            "frame length 7 is bad; accepted: 1 to 100");
}

}  // namespace
}  // namespace ringpool
