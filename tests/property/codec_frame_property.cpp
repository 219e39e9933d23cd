// SPDX-License-Identifier: MIT
// Any way of cutting a stream, and any pattern of refused buffers, gives the frames that a decoder
// sees which has the whole stream at once. Decoders with a seeded bug must fail the same check.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "ringpool/codec/frame.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool {
namespace {

using bytes = std::vector<std::byte>;
constexpr std::uint32_t max_frame = 600;

struct outcome {
  std::vector<bytes> frames;
  bool failed = false;
  friend bool operator==(const outcome&, const outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const outcome& shown) {
    return out << shown.frames.size() << " frames, " << (shown.failed ? "failed" : "no failure");
  }
};

struct stream_case {
  bytes stream;
  std::vector<std::size_t> pieces;  // sizes, used round and round
  std::vector<bool> refusals;       // of the source, used round and round
};

[[maybe_unused]] std::ostream& operator<<(std::ostream& out, const stream_case& shown) {
  out << "stream of " << shown.stream.size() << " bytes:";
  for (const std::byte byte : shown.stream) {
    out << ' ' << std::to_integer<int>(byte);
  }
  out << "; pieces:";
  for (const std::size_t size : shown.pieces) {
    out << ' ' << size;
  }
  out << "; refusals:";
  for (const bool refused : shown.refusals) {
    out << ' ' << refused;
  }
  return out;
}

/// Reads the whole stream with nothing but arithmetic.
outcome decode_naively(const bytes& stream) {
  outcome result;
  std::size_t at = 0;
  while (stream.size() - at >= 4) {
    std::int64_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      length = length * 256 + std::to_integer<int>(stream[at + i]);
    }
    if (length >= (std::int64_t{1} << 31) || length == 0 || length > max_frame) {
      result.failed = true;
      break;
    }
    const auto size = static_cast<std::size_t>(length);
    if (stream.size() - at - 4 < size) {
      break;
    }
    const auto begin = stream.begin() + static_cast<std::ptrdiff_t>(at + 4);
    result.frames.emplace_back(begin, begin + length);
    at += 4 + size;
  }
  return result;
}

/// A pool that refuses as it is told.
class moody_source {
 public:
  explicit moody_source(const std::vector<bool>& refusals) : refusals_(refusals) {}

  [[nodiscard]] buffer try_alloc(std::size_t size) noexcept {
    const bool refuse = !refusals_.empty() && refusals_[next_++ % refusals_.size()];
    return refuse ? buffer{} : pool_.try_alloc(size);
  }
  [[nodiscard]] std::uint64_t held() const { return pool_.stats().total().in_use; }

 private:
  multi_size_ring_pool pool_{{16, 2}, {64, 2}, {256, 2}, {1024, 2}};
  const std::vector<bool>& refusals_;
  std::size_t next_ = 0;
};

/// How a caller feeds the decoder.
struct careful {
  static std::size_t first_byte(std::size_t) { return 0; }
  static std::size_t fed_again(std::size_t left) { return left; }
};
/// Forgets a byte of the input at each refusal.
struct loses_a_byte_at_refusal : careful {
  static std::size_t fed_again(std::size_t left) { return left - 1; }
};
/// Skips the first byte of every input but the first.
struct skips_at_cuts : careful {
  static std::size_t first_byte(std::size_t at) { return at == 0 ? 0 : 1; }
};

/// A decoder with a seeded bug: a frame that is not whole in one input ends one byte early.
class off_by_one_decoder {
 public:
  explicit off_by_one_decoder(std::uint32_t max_frame_bytes) : cursor_(max_frame_bytes) {}

  decode_result decode(moody_source& source, std::span<const std::byte> input) noexcept {
    const std::size_t offered = input.size();
    if (!cursor_.read_header(input)) {
      return {cursor_.failed() ? decode_status::failed : decode_status::need_bytes, offered};
    }
    const auto length = static_cast<std::size_t>(cursor_.length());
    if (!buffer_ && !input.empty()) {
      buffer_ = source.try_alloc(length);
      if (!buffer_) {
        return {decode_status::need_buffer, offered - input.size()};
      }
    }
    const std::size_t bug = cursor_.received() != 0 ? 1 : 0;
    const std::size_t taken = std::min(input.size(), length - bug - cursor_.received());
    std::copy_n(input.begin(), taken, buffer_.data() + cursor_.received());
    cursor_.advance(taken);
    const bool ready = cursor_.received() + bug >= length;
    return {ready ? decode_status::frame_ready : decode_status::need_bytes,
            offered - input.size() + taken};
  }
  [[nodiscard]] buffer take() noexcept {
    cursor_.reset();
    return std::move(buffer_);
  }

 private:
  frame_cursor cursor_;
  buffer buffer_;
};

template <class Caller, class Decoder = basic_frame_decoder<buffer>>
outcome decode_in_pieces(const stream_case& given) {
  moody_source source(given.refusals);
  outcome result;
  {
    Decoder decoder(max_frame);
    std::size_t piece_number = 0;
    for (std::size_t at = 0; at < given.stream.size() && !result.failed;) {
      const std::size_t wish = given.pieces[piece_number++ % given.pieces.size()];
      const std::size_t size = std::min(wish, given.stream.size() - at);
      std::span<const std::byte> piece = std::span(given.stream).subspan(at, size);
      piece = piece.subspan(Caller::first_byte(at));
      at += size;
      for (int tries = 0; tries < 10000; ++tries) {
        const auto [status, consumed] = decoder.decode(source, piece);
        piece = piece.subspan(consumed);
        if (status == decode_status::frame_ready) {
          const buffer frame = decoder.take();
          result.frames.emplace_back(frame.data(), frame.data() + frame.size());
        } else if (status == decode_status::need_buffer) {
          RC_ASSERT(!piece.empty());
          piece = piece.last(Caller::fed_again(piece.size()));
        } else {
          result.failed = status == decode_status::failed;
          break;
        }
        RC_ASSERT(source.held() <= 1U);
      }
    }
  }
  RC_ASSERT(source.held() == 0U);
  return result;
}

rc::Gen<bytes> any_frame() {
  return rc::gen::map(
      rc::gen::pair(rc::gen::weightedOneOf<int>({{6, rc::gen::inRange(1, 80)},
                                                 {3, rc::gen::inRange(1, 601)},
                                                 {1, rc::gen::element(0, -1, 601, 1 << 30)}}),
                    rc::gen::arbitrary<std::uint8_t>()),
      [](const std::pair<int, std::uint8_t>& chosen) {
        const auto [length, seed] = chosen;
        const frame_header header = encode_frame_header(static_cast<std::uint32_t>(length));
        bytes result(header.begin(), header.end());
        for (int i = 0; i < std::min(length, 700); ++i) {
          result.push_back(static_cast<std::byte>(i * 31 + seed));
        }
        return result;
      });
}

rc::Gen<stream_case> any_stream() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::container<std::vector<bytes>>(any_frame()),
                     rc::gen::inRange(0, 30),  // bytes cut off at the end
                     rc::gen::nonEmpty<std::vector<std::size_t>>(),
                     rc::gen::arbitrary<std::vector<bool>>()),
      [](const std::tuple<std::vector<bytes>, int, std::vector<std::size_t>, std::vector<bool>>&
             parts) {
        stream_case result;
        for (const bytes& frame : std::get<0>(parts)) {
          result.stream.insert(result.stream.end(), frame.begin(), frame.end());
        }
        const auto cut = static_cast<std::size_t>(std::get<1>(parts));
        result.stream.resize(result.stream.size() - std::min(cut, result.stream.size()));
        for (const std::size_t size : std::get<2>(parts)) {
          result.pieces.push_back(1 + size % 90);
        }
        result.refusals = std::get<3>(parts);
        result.refusals.push_back(false);  // it relents in the end
        return result;
      });
}

/// True when `decode` agrees with the naive decoder on every one of many streams.
template <class Decode>
bool agrees_everywhere(Decode decode) {
  rc::detail::TestParams params;
  params.maxSuccess = 500;
  const auto result = rc::detail::checkTestable(
      [&] {
        const stream_case given = *any_stream();
        RC_ASSERT(decode(given) == decode_naively(given.stream));
      },
      rc::detail::TestMetadata{}, params);
  return result.template is<rc::detail::SuccessResult>();
}

RC_GTEST_PROP(frame_decoder_property, any_cut_and_any_refusals_give_the_frames_of_the_stream, ()) {
  const stream_case given = *any_stream();
  RC_ASSERT(decode_in_pieces<careful>(given) == decode_naively(given.stream));
}

TEST(frame_decoder_twins, the_check_accepts_the_decoder) {
  EXPECT_TRUE(agrees_everywhere(decode_in_pieces<careful>));
}

TEST(frame_decoder_twins, the_check_catches_a_byte_lost_at_a_refusal) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<loses_a_byte_at_refusal>));
}

TEST(frame_decoder_twins, the_check_catches_a_byte_skipped_at_a_cut) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<skips_at_cuts>));
}

TEST(frame_decoder_twins, the_check_catches_a_length_that_is_off_by_one) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<careful, off_by_one_decoder>));
}

}  // namespace
}  // namespace ringpool
