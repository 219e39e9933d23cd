// SPDX-License-Identifier: MIT
#pragma once

// What is true of every pool once all its buffers are given back and no call is under way. Tests of
// pools end with expect_whole.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool::test {

/// True of any pool at any quiescent moment.
inline void expect_books_balance(const pool_stats& now) {
  EXPECT_EQ(now.ring_size, now.available + now.in_use);
  EXPECT_LE(now.cached, now.available);
  EXPECT_LE(now.in_use, now.peak_in_use);
  EXPECT_EQ(now.fallback_count, now.elastic_alloc_count + now.upstream_alloc_count);
  EXPECT_LE(now.fallback_count, now.alloc_count);
  EXPECT_LE(now.free_count, now.alloc_count);
}

/// As expect_books_balance, and nothing is held.
inline void expect_all_given_back(const pool_stats& now) {
  expect_books_balance(now);
  EXPECT_EQ(now.in_use, 0U);
  EXPECT_EQ(now.available, now.ring_size);
  EXPECT_EQ(now.elastic_in_use, 0U);
  EXPECT_EQ(now.upstream_in_use_bytes, 0U);
  EXPECT_EQ(now.alloc_count, now.free_count);
}

/// What every misused call must leave behind: nothing changed but the misuse count.
inline void expect_only_misuse_counted(const pool_stats& before, const pool_stats& after,
                                       std::uint64_t misuse_count) {
  EXPECT_EQ(after.misuse_count, before.misuse_count + misuse_count);
  EXPECT_EQ(after.alloc_count, before.alloc_count);
  EXPECT_EQ(after.free_count, before.free_count);
  EXPECT_EQ(after.fallback_count, before.fallback_count);
  EXPECT_EQ(after.available, before.available);
  EXPECT_EQ(after.in_use, before.in_use);
  EXPECT_EQ(after.cached, before.cached);
  EXPECT_EQ(after.elastic_in_use, before.elastic_in_use);
  EXPECT_EQ(after.upstream_in_use_bytes, before.upstream_in_use_bytes);
  EXPECT_EQ(after.refusal_count, before.refusal_count);
}

/// Takes buffers of `size` bytes until refused, at most `capacity` + 1.
template <class Pool>
[[nodiscard]] std::vector<void*> take_all(Pool& pool, std::size_t size, std::size_t capacity) {
  std::vector<void*> held;
  while (held.size() <= capacity) {
    void* const pointer = pool.try_allocate(size);
    if (pointer == nullptr) {
      break;
    }
    held.push_back(pointer);
  }
  return held;
}

template <class Pool>
void give_all(Pool& pool, const std::vector<void*>& held) {
  for (void* const pointer : held) {
    pool.deallocate(pointer);
  }
}

template <class Pool>
void expect_exactly(Pool& pool, std::size_t size, std::size_t capacity) {
  std::vector<void*> held = take_all(pool, size, capacity);
  EXPECT_EQ(held.size(), capacity) << "buffers of " << size << " bytes before the refusal";
  std::vector<void*> distinct = held;
  std::sort(distinct.begin(), distinct.end());
  EXPECT_EQ(std::adjacent_find(distinct.begin(), distinct.end()), distinct.end())
      << "a buffer was given out twice";
  give_all(pool, held);
}

/// Everything was given back, and exactly capacity buffers can be had again.
inline void expect_whole(ring_buffer_pool& pool) {
  expect_all_given_back(pool.stats());
  expect_exactly(pool, pool.buffer_size(), pool.capacity());
  expect_all_given_back(pool.stats());
}

inline void expect_whole(multi_size_ring_pool& pool) {
  for (const ring_buffer_pool& one : pool.classes()) {
    expect_all_given_back(one.stats());
    expect_exactly(pool, one.buffer_size(), one.capacity());
    expect_all_given_back(one.stats());
  }
}

}  // namespace ringpool::test
