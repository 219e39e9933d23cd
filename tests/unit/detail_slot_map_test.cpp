// SPDX-License-Identifier: MIT
#include "ringpool/detail/slot_map.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace ringpool::detail {
namespace {

constexpr std::uint64_t no_number = 0xFFFFFFFF;

std::vector<std::uint32_t> strides() {
  std::vector<std::uint32_t> all;
  for (std::uint32_t lines = 1; lines <= 200; ++lines) {
    all.push_back(lines * 64);
  }
  for (const std::uint32_t other : {1U, 2U, 3U, 7U, 24U, 1500U, 9000U, 65'536U, 70'016U, 1'048'640U,
                                    0x80000000U, 0xFFFFFFC0U, 0xFFFFFFFFU}) {
    all.push_back(other);
  }
  return all;
}

/// What number_at must find, by division.
std::uint64_t by_division(const slot_map& map, std::uintptr_t address) {
  const std::uint64_t offset = address - map.base;
  return offset % map.stride == 0 ? offset / map.stride : no_number + 1;
}

TEST(slot_map, finds_the_number_of_every_buffer_by_its_address) {
  for (const std::uint32_t stride : strides()) {
    const slot_map map = slot_map::make(0x7F12'3460'0000, stride);
    for (std::uint64_t number :
         {0ULL, 1ULL, 2ULL, 3ULL, 63ULL, 1000ULL, 1ULL << 20, (1ULL << 30) - 1}) {
      EXPECT_EQ(map.number_at(map.address_of(number)), number) << "stride " << stride;
    }
  }
}

TEST(slot_map, agrees_with_division_at_every_address_around_the_first_buffers) {
  for (const std::uint32_t stride : strides()) {
    const slot_map map = slot_map::make(1 << 20, stride);
    for (std::uintptr_t address = map.base; address < map.base + 2000; ++address) {
      const std::uint64_t expected = by_division(map, address);
      if (expected <= no_number) {
        ASSERT_EQ(map.number_at(address), expected) << "stride " << stride;
      } else {
        ASSERT_GT(map.number_at(address), no_number) << "stride " << stride << " at " << address;
      }
    }
  }
}

TEST(slot_map, agrees_with_division_at_random_addresses) {
  std::mt19937_64 random(20'240'801);
  for (const std::uint32_t stride : strides()) {
    const slot_map map = slot_map::make(std::uintptr_t{1} << 40, stride);
    for (int i = 0; i < 2000; ++i) {
      const std::uintptr_t near = map.base + random() % (std::uint64_t{stride} << 12);
      const std::uint64_t expected = by_division(map, near);
      const std::uint64_t found = map.number_at(near);
      ASSERT_EQ(found <= no_number, expected <= no_number) << "stride " << stride;
      if (expected <= no_number) {
        ASSERT_EQ(found, expected) << "stride " << stride;
      }
    }
  }
}

TEST(slot_map, no_address_below_the_base_has_a_number) {
  for (const std::uint32_t stride : strides()) {
    const slot_map map = slot_map::make(std::uintptr_t{1} << 46, stride);
    for (std::uintptr_t below = 1; below < 3000; ++below) {
      ASSERT_GT(map.number_at(map.base - below), no_number) << "stride " << stride;
    }
    for (std::uintptr_t buffers = 1; buffers < 100; ++buffers) {
      ASSERT_GT(map.number_at(map.base - buffers * stride), no_number) << "stride " << stride;
    }
    EXPECT_GT(map.number_at(0x10), no_number) << "stride " << stride;
    EXPECT_GT(map.number_at(0), no_number) << "stride " << stride;
  }
}

TEST(slot_map, without_buffers_has_no_number_for_a_real_address) {
  const slot_map none;
  int here = 0;
  EXPECT_GE(none.number_at(reinterpret_cast<std::uintptr_t>(&here)), std::uint64_t{1});
}

}  // namespace
}  // namespace ringpool::detail
