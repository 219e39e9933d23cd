// SPDX-License-Identifier: MIT
#include "account_traffic.hpp"

#include <gtest/gtest.h>

#include "scale.hpp"

namespace ringpool::stress {
namespace {

TEST(account_traffic, of_rooms_below_a_server) {
  verdict log;
  account_traffic<account> body(4, scaled(2'000'000), log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GT(body.crossings(), 0U) << "no mark was ever crossed";
  EXPECT_GT(body.refusals(), 0U) << "no limit was ever met";
}

}  // namespace
}  // namespace ringpool::stress
