// SPDX-License-Identifier: MIT
#include "load_frame.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace ringpool::tools {
namespace {

constexpr frame_stamp stamp{.run = 0x1122334455667788U, .sequence = 99, .connection = 7};

std::vector<std::byte> payload_of(const frame_stamp& which, std::size_t size,
                                  std::uint64_t seed = 1) {
  std::vector<std::byte> payload(size);
  write_payload(payload, which, frame_random(seed, which));
  return payload;
}

TEST(load_frame, a_payload_of_any_size_gives_its_stamp_back) {
  for (std::size_t size = stamp_bytes; size < stamp_bytes + 40; ++size) {
    EXPECT_EQ(read_payload(payload_of(stamp, size)), stamp);
  }
  EXPECT_EQ(read_payload(payload_of(stamp, 16384)), stamp);
}

TEST(load_frame, every_single_flipped_bit_is_found) {
  std::vector<std::byte> payload = payload_of(stamp, 100);
  for (std::size_t bit = 0; bit < payload.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    payload[bit / 8] ^= mask;
    ASSERT_EQ(read_payload(payload), std::nullopt) << bit;
    payload[bit / 8] ^= mask;
  }
  EXPECT_EQ(read_payload(payload), stamp);
}

TEST(load_frame, a_shortened_or_lengthened_payload_is_found) {
  std::vector<std::byte> payload = payload_of(stamp, 100);
  for (std::size_t size = 0; size < payload.size(); ++size) {
    ASSERT_EQ(read_payload(std::span<const std::byte>(payload).first(size)), std::nullopt) << size;
  }
  payload.push_back(std::byte{0});
  EXPECT_EQ(read_payload(payload), std::nullopt);
}

TEST(load_frame, two_swapped_bytes_are_found) {
  std::vector<std::byte> payload = payload_of(stamp, 64);
  ASSERT_NE(payload[40], payload[50]);
  std::swap(payload[40], payload[50]);
  EXPECT_EQ(read_payload(payload), std::nullopt);
}

TEST(load_frame, content_depends_on_seed_connection_and_sequence) {
  std::set<std::vector<std::byte>> bodies;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    for (std::uint32_t connection = 0; connection < 8; ++connection) {
      for (std::uint64_t sequence = 0; sequence < 8; ++sequence) {
        const auto payload =
            payload_of({.run = 1, .sequence = sequence, .connection = connection}, 64, seed);
        bodies.emplace(payload.begin() + stamp_bytes, payload.end());
      }
    }
  }
  EXPECT_EQ(bodies.size(), 4U * 8 * 8);
}

TEST(load_frame, content_is_the_same_for_the_same_seed_whatever_the_run) {
  const auto one = payload_of({.run = 1, .sequence = 5, .connection = 2}, 200);
  const auto two = payload_of({.run = 2, .sequence = 5, .connection = 2}, 200);
  EXPECT_TRUE(std::equal(one.begin() + stamp_bytes, one.end(), two.begin() + stamp_bytes));
  EXPECT_NE(one, two);
}

}  // namespace
}  // namespace ringpool::tools
