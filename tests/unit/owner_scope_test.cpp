// SPDX-License-Identifier: MIT
#include "ringpool/owner_scope.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "ringpool/detail/sampling.hpp"

namespace ringpool {
namespace {

std::string owner_here() {
  const detail::sample now = detail::sample_here(1, nullptr, 1);
  return now.owner == nullptr ? "nobody" : now.owner + std::to_string(now.owner_id);
}

TEST(owner_scope, the_innermost_one_counts_and_the_outer_one_comes_back) {
  EXPECT_EQ(owner_here(), "nobody");
  {
    const owner_scope room("room", 7);
    EXPECT_EQ(owner_here(), "room7");
    {
      const owner_scope peer("peer");
      EXPECT_EQ(owner_here(), "peer0");
    }
    EXPECT_EQ(owner_here(), "room7");
  }
  EXPECT_EQ(owner_here(), "nobody");
}

TEST(owner_scope, is_of_one_thread) {
  const owner_scope room("room", 7);
  std::string elsewhere;
  std::thread([&] { elsewhere = owner_here(); }).join();
  EXPECT_EQ(elsewhere, "nobody");
}

}  // namespace
}  // namespace ringpool
