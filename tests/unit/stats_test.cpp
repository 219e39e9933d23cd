// SPDX-License-Identifier: MIT
#include "ringpool/stats.hpp"

#include <gtest/gtest.h>

namespace ringpool {
namespace {

/// Every member another value: `seed`, `seed` + 1, ...
pool_stats distinct_stats(std::uint64_t seed) {
  pool_stats one;
  std::uint64_t next = seed;
  for (std::uint64_t* member :
       {&one.alloc_count, &one.free_count, &one.fallback_count, &one.available, &one.ring_size,
        &one.in_use, &one.cached, &one.peak_in_use, &one.elastic_capacity, &one.elastic_in_use,
        &one.elastic_alloc_count, &one.upstream_alloc_count, &one.upstream_in_use_bytes,
        &one.oversize_count, &one.raid_count, &one.refusal_count, &one.misuse_count,
        &one.injected_count}) {
    *member = next++;
  }
  one.buffer_size = next;
  return one;
}

TEST(stats, utilization_is_the_held_share_of_the_ring) {
  pool_stats one;
  one.ring_size = 8;
  EXPECT_EQ(one.utilization(), 0.0);
  one.in_use = 2;
  EXPECT_EQ(one.utilization(), 0.25);
  one.in_use = 8;
  EXPECT_EQ(one.utilization(), 1.0);
}

TEST(stats, utilization_of_nothing_is_zero) { EXPECT_EQ(pool_stats{}.utilization(), 0.0); }

TEST(stats, total_adds_every_counter_of_every_class) {
  multi_size_stats set;
  set.classes = {distinct_stats(100), distinct_stats(3000)};
  const pool_stats a = set.classes[0];
  const pool_stats b = set.classes[1];
  const pool_stats sum = set.total();
  EXPECT_EQ(sum.alloc_count, a.alloc_count + b.alloc_count);
  EXPECT_EQ(sum.free_count, a.free_count + b.free_count);
  EXPECT_EQ(sum.fallback_count, a.fallback_count + b.fallback_count);
  EXPECT_EQ(sum.available, a.available + b.available);
  EXPECT_EQ(sum.ring_size, a.ring_size + b.ring_size);
  EXPECT_EQ(sum.in_use, a.in_use + b.in_use);
  EXPECT_EQ(sum.cached, a.cached + b.cached);
  EXPECT_EQ(sum.peak_in_use, a.peak_in_use + b.peak_in_use);
  EXPECT_EQ(sum.elastic_capacity, a.elastic_capacity + b.elastic_capacity);
  EXPECT_EQ(sum.elastic_in_use, a.elastic_in_use + b.elastic_in_use);
  EXPECT_EQ(sum.elastic_alloc_count, a.elastic_alloc_count + b.elastic_alloc_count);
  EXPECT_EQ(sum.upstream_alloc_count, a.upstream_alloc_count + b.upstream_alloc_count);
  EXPECT_EQ(sum.oversize_count, a.oversize_count + b.oversize_count);
  EXPECT_EQ(sum.raid_count, a.raid_count + b.raid_count);
  EXPECT_EQ(sum.refusal_count, a.refusal_count + b.refusal_count);
  EXPECT_EQ(sum.misuse_count, a.misuse_count + b.misuse_count);
  EXPECT_EQ(sum.injected_count, a.injected_count + b.injected_count);
}

TEST(stats, total_counts_the_bytes_from_upstream_once) {
  multi_size_stats set;
  set.classes = {distinct_stats(10), distinct_stats(10)};  // each shows the whole set's
  set.upstream_in_use_bytes = 4096;
  EXPECT_EQ(set.total().upstream_in_use_bytes, 4096U);
  EXPECT_EQ(set.total().buffer_size, 0U);
}

TEST(stats, total_of_no_classes_is_nothing) {
  EXPECT_EQ(multi_size_stats{}.total().ring_size, 0U);
  EXPECT_EQ(multi_size_stats{}.total().utilization(), 0.0);
}

}  // namespace
}  // namespace ringpool
