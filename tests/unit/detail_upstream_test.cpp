// SPDX-License-Identifier: MIT
#include "ringpool/detail/upstream.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "../support/child_process.hpp"
#include "../support/resources.hpp"

namespace ringpool::detail {
namespace {

/// A ledger with its hash table.
struct upstream_ledger_under_test : testing::Test {
  upstream_ledger_under_test()
      : buckets(std::make_unique<upstream_ledger::block*[]>(upstream_ledger::bucket_count)) {}
  test::counting_resource upstream;
  std::unique_ptr<upstream_ledger::block*[]> buckets;
  int owner = 0;
};

TEST_F(upstream_ledger_under_test, without_a_resource_has_nothing_and_knows_nothing) {
  upstream_ledger ledger;
  EXPECT_EQ(ledger.allocate(1, &owner), nullptr);
  EXPECT_FALSE(ledger.deallocate(&owner, false).found);
  EXPECT_EQ(ledger.in_use_bytes(), 0U);
}

TEST_F(upstream_ledger_under_test, remembers_size_and_owner_of_every_block) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 10'000, buckets.get());
  std::byte* const block = ledger.allocate(777, &owner);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(upstream_ledger::bytes_of(block), 777U);
  EXPECT_EQ(ledger.in_use_bytes(), 777U);
  const upstream_ledger::removal removed = ledger.deallocate(block, false);
  EXPECT_TRUE(removed.found);
  EXPECT_EQ(removed.owner, &owner);
  EXPECT_EQ(ledger.in_use_bytes(), 0U);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
}

TEST_F(upstream_ledger_under_test, has_a_count_of_handles_for_every_block) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 10'000, buckets.get());
  std::byte* const one = ledger.allocate(10, &owner);
  std::byte* const other = ledger.allocate(10, &owner);
  upstream_ledger::references_of(one).start();
  EXPECT_EQ(upstream_ledger::references_of(one).handles(), 1U);
  EXPECT_EQ(upstream_ledger::references_of(other).handles(), 0U);
  EXPECT_EQ(upstream_ledger::bytes_of(one), 10U);
}

TEST_F(upstream_ledger_under_test, finds_blocks_that_share_a_bucket) {
  upstream_ledger ledger;
  ledger.reset(&upstream, std::size_t{1} << 40, buckets.get());
  std::vector<std::byte*> blocks;
  for (int i = 0; i < 3000; ++i) {  // some of 2^16 buckets get two
    blocks.push_back(ledger.allocate(1, &owner));
  }
  for (std::size_t i = 0; i < blocks.size(); i += 3) {
    EXPECT_TRUE(ledger.deallocate(blocks[i], false).found);
    EXPECT_FALSE(ledger.deallocate(blocks[i], false).found);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(ledger.deallocate(blocks[i], false).found, i % 3 != 0);
  }
  EXPECT_EQ(ledger.in_use_bytes(), 0U);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
}

TEST_F(upstream_ledger_under_test, a_budget_refuses_the_byte_too_many) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 100, buckets.get());
  EXPECT_EQ(ledger.allocate(101, &owner), nullptr);
  std::byte* const all = ledger.allocate(100, &owner);
  EXPECT_NE(all, nullptr);
  EXPECT_EQ(ledger.allocate(1, &owner), nullptr);
  EXPECT_EQ(ledger.allocate(~std::size_t{0}, &owner), nullptr);
  EXPECT_EQ(ledger.in_use_bytes(), 100U);
  EXPECT_TRUE(ledger.deallocate(all, false).found);
}

TEST_F(upstream_ledger_under_test, a_throwing_resource_gives_the_charge_back) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 100, buckets.get());
  upstream.refuse = true;
  EXPECT_EQ(ledger.allocate(100, &owner), nullptr);
  EXPECT_EQ(ledger.in_use_bytes(), 0U);
}

TEST_F(upstream_ledger_under_test, of_two_racing_frees_exactly_one_finds_the_block) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 1000, buckets.get());
  for (int round = 0; round < 200; ++round) {
    std::byte* const block = ledger.allocate(100, &owner);
    std::atomic<int> found{0};
    const auto free_it = [&] { found += ledger.deallocate(block, true).found ? 1 : 0; };
    std::thread other(free_it);
    free_it();
    other.join();
    ASSERT_EQ(found.load(), 1);
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
}

TEST_F(upstream_ledger_under_test, gives_outstanding_blocks_back_when_it_dies) {
  {
    upstream_ledger ledger;
    ledger.reset(&upstream, 100'000, buckets.get());
    for (int i = 0; i < 100; ++i) {
      EXPECT_NE(ledger.allocate(100, &owner), nullptr);
    }
  }
  EXPECT_EQ(upstream.deallocation_count.load(), 100U);
}

TEST_F(upstream_ledger_under_test, a_forked_child_can_use_it) {
  upstream_ledger ledger;
  ledger.reset(&upstream, 1000, buckets.get());
  std::byte* const before = ledger.allocate(100, &owner);
  const test::child_result child = test::run_in_child([&] {
    std::byte* const another = ledger.allocate(900, &owner);
    return another != nullptr && ledger.deallocate(another, false).found &&
                   ledger.deallocate(before, false).found && ledger.in_use_bytes() == 0
               ? 0
               : 1;
  });
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
  EXPECT_TRUE(ledger.deallocate(before, false).found) << "the parent's own is untouched";
}

}  // namespace
}  // namespace ringpool::detail
