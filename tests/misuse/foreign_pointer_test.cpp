// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

void* address(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

class foreign_pointer : public testing::TestWithParam<bool> {
 protected:
  /// Freed one by one and in bulk, `pointer` must be reported as `kind` and change nothing.
  static void expect_caught(ring_buffer_pool& pool, misuse_kind kind, void* pointer) {
    const pool_stats before = pool.stats();
    const test::misuse_recorder recorder;
    pool.deallocate(pointer);
    pool.deallocate_bulk(std::vector<void*>{pointer});
    EXPECT_EQ(recorder.count(kind), 2U) << pointer;
    EXPECT_EQ(recorder.count(), 2U) << to_string(recorder.last().kind);
    EXPECT_EQ(recorder.last().pointer, pointer);
    test::expect_only_misuse_counted(before, pool.stats(), 2);
  }
  [[nodiscard]] pool_options options(std::size_t elastic = 0) const {
    return {.elastic_capacity = elastic, .hardened = GetParam()};
  }
};

TEST_P(foreign_pointer, from_stack_heap_or_static_memory_is_caught) {
  static int in_static_memory = 0;
  int on_the_stack = 0;
  const auto on_the_heap = std::make_unique<int>(0);
  ring_buffer_pool pool(64, 16, options(4));
  expect_caught(pool, misuse_kind::foreign_pointer, &on_the_stack);
  expect_caught(pool, misuse_kind::foreign_pointer, on_the_heap.get());
  expect_caught(pool, misuse_kind::foreign_pointer, &in_static_memory);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, to_no_memory_at_all_is_caught_without_touching_it) {
  ring_buffer_pool pool(64, 16, options(4));
  for (const std::uintptr_t number :
       {std::uintptr_t{0x10}, std::uintptr_t{1}, std::uintptr_t{0x40}, std::uintptr_t{1} << 46,
        std::uintptr_t{0xDEAD'BEEF'0000'0000}, ~std::uintptr_t{0}, ~std::uintptr_t{63}}) {
    expect_caught(pool, misuse_kind::foreign_pointer, address(number));
  }
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, of_another_pool_is_caught) {
  ring_buffer_pool pool(64, 16, options());
  ring_buffer_pool other(64, 16, options());
  void* const theirs = other.allocate(64);
  void* const their_large = other.allocate(1000);
  expect_caught(pool, misuse_kind::foreign_pointer, theirs);
  expect_caught(pool, misuse_kind::foreign_pointer, their_large);
  EXPECT_EQ(other.stats().in_use, 1U);
  other.deallocate(theirs);
  other.deallocate(their_large);
  test::expect_whole(pool);
  test::expect_whole(other);
}

TEST_P(foreign_pointer, just_outside_of_the_buffers_is_caught) {
  ring_buffer_pool pool(64, 64, options());  // one page
  auto* const first = static_cast<std::byte*>(pool.allocate(64));
  expect_caught(pool, misuse_kind::foreign_pointer, first - 64);
  expect_caught(pool, misuse_kind::foreign_pointer, first - 1);
  expect_caught(pool, misuse_kind::foreign_pointer, static_cast<std::byte*>(pool.allocate(0)) + 64);
  pool.deallocate(first);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, into_a_buffer_is_an_interior_pointer) {
  for (const std::size_t size : {64U, 100U, 1000U, 1500U}) {
    ring_buffer_pool pool(size, 16, options());
    auto* const held = static_cast<std::byte*>(pool.allocate(size));
    for (const std::size_t offset : {std::size_t{1}, std::size_t{8}, size / 2, size - 1}) {
      expect_caught(pool, misuse_kind::interior_pointer, held + offset);
    }
    pool.deallocate(held);
    test::expect_whole(pool);
  }
}

TEST_P(foreign_pointer, into_an_elastic_buffer_is_an_interior_pointer) {
  ring_buffer_pool pool(1500, 1, options(4));
  void* const ring = pool.allocate(1500);
  auto* const elastic = static_cast<std::byte*>(pool.allocate(1500));
  for (const std::size_t offset : {1U, 64U, 1024U, 1499U}) {
    expect_caught(pool, misuse_kind::interior_pointer, elastic + offset);
  }
  pool.deallocate(elastic);
  pool.deallocate(ring);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, between_ring_and_elastic_buffers_is_caught) {
  ring_buffer_pool pool(64, 1, options(1));  // each starts a page of its own
  auto* const ring = static_cast<std::byte*>(pool.allocate(64));
  for (const std::size_t offset : {128U, 192U, 1024U, 2048U}) {
    const test::misuse_recorder recorder;
    pool.deallocate(ring + offset);
    EXPECT_EQ(recorder.count(), 1U) << offset;
  }
  pool.deallocate(ring);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, into_an_upstream_block_is_caught) {
  ring_buffer_pool pool(64, 1, options());
  auto* const large = static_cast<std::byte*>(pool.allocate(1000));
  expect_caught(pool, misuse_kind::foreign_pointer, large + 64);
  expect_caught(pool, misuse_kind::foreign_pointer, large - 64);
  expect_caught(pool, misuse_kind::foreign_pointer, large + 1);
  pool.deallocate(large);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, is_caught_by_a_pool_without_an_upstream) {
  int here = 0;
  pool_options alone = options();
  alone.upstream = nullptr;
  ring_buffer_pool pool(64, 1, alone);
  expect_caught(pool, misuse_kind::foreign_pointer, &here);
  test::expect_whole(pool);
}

TEST_P(foreign_pointer, to_the_empty_buffer_of_another_pool_is_caught) {
  ring_buffer_pool pool(64, 1, options());
  ring_buffer_pool other(64, 1, options());
  expect_caught(pool, misuse_kind::foreign_pointer, other.allocate(0));
}

TEST_P(foreign_pointer, is_caught_by_a_set_wherever_it_points) {
  multi_size_ring_pool pool({{64, 4}, {1024, 4}}, options(2));
  multi_size_ring_pool other({{64, 4}, {1024, 4}}, options(2));
  int here = 0;
  void* const theirs = other.allocate(1000);
  auto* const mine = static_cast<std::byte*>(pool.allocate(1000));
  const test::misuse_recorder recorder;
  for (void* const pointer :
       {static_cast<void*>(&here), theirs, address(0x10), address(1UL << 46)}) {
    pool.deallocate(pointer);
  }
  EXPECT_EQ(recorder.count(misuse_kind::foreign_pointer), 4U);
  pool.deallocate(mine + 64);
  EXPECT_EQ(recorder.last().kind, misuse_kind::interior_pointer);
  EXPECT_EQ(recorder.last().buffer_size, 1024U);
  pool.deallocate_bulk(std::vector<void*>{&here, mine + 1, theirs});
  EXPECT_EQ(recorder.count(), 8U);
  EXPECT_EQ(pool.stats().total().misuse_count, 8U);
  EXPECT_EQ(pool.stats().total().in_use, 1U);
  pool.deallocate(mine);
  other.deallocate(theirs);
  test::expect_whole(pool);
  test::expect_whole(other);
}

INSTANTIATE_TEST_SUITE_P(pools, foreign_pointer, testing::Bool(), [](const auto& hardened) {
  return hardened.param ? "hardened" : "usual";
});

}  // namespace
}  // namespace ringpool
