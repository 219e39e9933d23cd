// SPDX-License-Identifier: MIT
#include "load_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace ringpool::tools {
namespace {

using bytes = std::vector<std::byte>;

constexpr std::uint32_t max_payload = 1000;

void append_frame(bytes& stream, std::uint32_t length, const bytes& payload) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    stream.push_back(static_cast<std::byte>(length >> shift));
  }
  stream.insert(stream.end(), payload.begin(), payload.end());
}

struct stream_of_frames {
  std::vector<bytes> payloads;
  bytes stream;
};

stream_of_frames some_frames() {
  std::mt19937 random(3);
  stream_of_frames result;
  for (const std::size_t size : {1U, 2U, 3U, 64U, 1000U, 1U, 255U, 256U, 257U}) {
    bytes payload(size);
    for (auto& one : payload) {
      one = static_cast<std::byte>(random());
    }
    append_frame(result.stream, static_cast<std::uint32_t>(size), payload);
    result.payloads.push_back(payload);
  }
  return result;
}

struct outcome {
  std::vector<bytes> payloads;
  bool good = true;
  bool between_frames = true;
};

outcome read(const bytes& stream, const std::vector<std::size_t>& cuts) {
  load_reader reader(max_payload);
  outcome result;
  std::size_t at = 0;
  for (std::size_t i = 0; i <= cuts.size() && result.good; ++i) {
    const std::size_t end = i < cuts.size() ? cuts[i] : stream.size();
    const auto part = std::span<const std::byte>(stream).subspan(at, end - at);
    result.good = reader.feed(part, [&](std::span<const std::byte> payload) {
      result.payloads.emplace_back(payload.begin(), payload.end());
    });
    at = end;
  }
  result.between_frames = reader.between_frames();
  return result;
}

TEST(load_reader, any_two_cuts_give_the_same_frames) {
  const stream_of_frames frames = some_frames();
  for (std::size_t first = 0; first <= frames.stream.size(); ++first) {
    for (std::size_t second = first; second <= frames.stream.size(); second += 97) {
      const outcome result = read(frames.stream, {first, second});
      ASSERT_TRUE(result.good && result.between_frames) << first << ' ' << second;
      ASSERT_EQ(result.payloads, frames.payloads) << first << ' ' << second;
    }
  }
}

TEST(load_reader, single_bytes_give_the_same_frames) {
  const stream_of_frames frames = some_frames();
  std::vector<std::size_t> cuts;
  for (std::size_t i = 0; i < frames.stream.size(); ++i) {
    cuts.push_back(i);
  }
  EXPECT_EQ(read(frames.stream, cuts).payloads, frames.payloads);
}

TEST(load_reader, half_a_frame_gives_nothing_yet) {
  bytes stream;
  append_frame(stream, 10, bytes(9));
  const outcome result = read(stream, {});
  EXPECT_TRUE(result.good);
  EXPECT_FALSE(result.between_frames);
  EXPECT_TRUE(result.payloads.empty());
}

TEST(load_reader, lengths_below_one_and_above_the_maximum_are_refused_however_they_are_cut) {
  for (const std::uint32_t length : {0U, max_payload + 1, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    bytes stream;
    append_frame(stream, 5, bytes(5));
    append_frame(stream, length, bytes(50));
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
      const outcome result = read(stream, {cut});
      ASSERT_FALSE(result.good) << length << " cut at " << cut;
      ASSERT_EQ(result.payloads.size(), 1U);
    }
  }
}

}  // namespace
}  // namespace ringpool::tools
