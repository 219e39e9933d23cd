// SPDX-License-Identifier: MIT
#include "ringpool/pool_options.hpp"

#include <gtest/gtest.h>

namespace ringpool {
namespace {

TEST(pool_options, the_defaults_are_those_of_a_pool_that_never_refuses_small_requests) {
  const pool_options options;
  EXPECT_NE(options.upstream, nullptr);
  EXPECT_EQ(options.elastic_capacity, 0U);
  EXPECT_EQ(options.faults, nullptr);
  EXPECT_FALSE(options.hardened);
}

}  // namespace
}  // namespace ringpool
