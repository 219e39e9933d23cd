// SPDX-License-Identifier: MIT
// Any way of cutting a stream, and any pattern of refused buffers, gives the frames that a decoder
// sees which has the whole stream at once. Decoders with a seeded bug must fail the same check.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "frame_streams.hpp"

namespace ringpool::test {
namespace {

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
                     rc::gen::arbitrary<std::vector<bool>>(),
                     rc::gen::arbitrary<std::vector<std::uint8_t>>()),
      [](const std::tuple<std::vector<bytes>, int, std::vector<std::size_t>, std::vector<bool>,
                          std::vector<std::uint8_t>>& parts) {
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
        result.ways = std::get<4>(parts);
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

TEST(frame_decoder_twins, the_check_catches_a_byte_received_and_not_told) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<says_too_little>));
}

TEST(frame_decoder_twins, the_check_catches_bytes_taken_from_beside) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<points_beside>));
}

TEST(frame_decoder_twins, the_check_catches_a_length_that_is_off_by_one) {
  EXPECT_FALSE(agrees_everywhere(decode_in_pieces<careful, off_by_one_decoder>));
}

}  // namespace
}  // namespace ringpool::test
