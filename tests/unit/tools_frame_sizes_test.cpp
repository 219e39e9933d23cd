// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "metrics/frame_sizes.hpp"

namespace ringpool::tools {
namespace {

TEST(tools_frame_sizes, every_size_is_in_the_bucket_whose_bounds_hold_it) {
  for (std::size_t i = 0; i < frame_size_counts::bucket_count; ++i) {
    const std::size_t upper = frame_size_counts::upper_bytes(i);
    EXPECT_EQ(frame_size_counts::bucket_of(upper), i);
    if (i + 1 < frame_size_counts::bucket_count) {
      EXPECT_EQ(frame_size_counts::bucket_of(upper + 1), i + 1);
    }
  }
  EXPECT_EQ(frame_size_counts::bucket_of(1), 0U);
  EXPECT_EQ(frame_size_counts::upper_bytes(frame_size_counts::bucket_count - 1), 1U << 31);
}

TEST(tools_frame_sizes, loops_are_added_up) {
  frame_sizes one;
  frame_sizes other;
  one.add(64);
  one.add(65);
  other.add(64);
  frame_size_counts sum;
  one.add_to(sum);
  other.add_to(sum);
  EXPECT_EQ(sum.counts[0], 2U);
  EXPECT_EQ(sum.counts[1], 1U);
}

}  // namespace
}  // namespace ringpool::tools
