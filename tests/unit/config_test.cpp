// SPDX-License-Identifier: MIT
#include "ringpool/config.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace ringpool {
namespace {

TEST(config, slot_index_and_number_are_the_same_value) {
  for (const std::uint32_t number : {0U, 1U, 4095U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    EXPECT_EQ(to_number(slot_index{number}), number);
  }
}

TEST(config, special_slots_lie_above_every_number_a_buffer_can_have) {
  EXPECT_NE(upstream_slot, empty_slot);
  EXPECT_GE(to_number(upstream_slot), 2 * max_capacity);
  EXPECT_GE(to_number(empty_slot), 2 * max_capacity);
}

TEST(config, thread_caches_are_whole_lines_apart) {
  EXPECT_EQ(detail::cache_stride_bytes % contended_line_bytes, 0U);
  EXPECT_EQ(detail::max_thread_slots % 64, 0U);
  EXPECT_EQ(contended_line_bytes % cache_line_bytes, 0U);
}

TEST(config, sizes_fit_the_32_bits_of_a_handle) {
  EXPECT_LE(max_buffer_size, 0xFFFFFFFFU);
  EXPECT_GT(max_buffer_size, 0xFFFF0000U);
}

}  // namespace
}  // namespace ringpool
