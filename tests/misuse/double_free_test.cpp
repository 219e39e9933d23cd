// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

/// Every promise holds for default and for hardened pools.
class double_free : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] pool_options options(std::size_t elastic = 0) {
    return {.elastic_capacity = elastic, .upstream = &upstream, .hardened = GetParam()};
  }
  /// `action` must be reported `count` times as `kind`, and change nothing.
  void expect_caught(ring_buffer_pool& pool, misuse_kind kind, std::size_t count,
                     const std::function<void()>& action) {
    const pool_stats before = pool.stats();
    const test::misuse_recorder recorder;
    action();
    EXPECT_EQ(recorder.count(kind), count);
    EXPECT_EQ(recorder.count(), count);
    test::expect_only_misuse_counted(before, pool.stats(), count);
  }
  test::counting_resource upstream;
};

TEST_P(double_free, of_a_raw_buffer_is_caught_every_time) {
  ring_buffer_pool pool(64, 16, options());
  void* const pointer = pool.allocate(64);
  pool.deallocate(pointer);
  expect_caught(pool, misuse_kind::double_free, 3, [&] {
    for (int i = 0; i < 3; ++i) {
      pool.deallocate(pointer);
    }
  });
  test::expect_whole(pool);
}

TEST_P(double_free, names_the_pointer_and_the_pool) {
  ring_buffer_pool pool(192, 4, options());
  void* const pointer = pool.allocate(100);
  pool.deallocate(pointer);
  const test::misuse_recorder recorder;
  pool.deallocate(pointer);
  EXPECT_EQ(recorder.last().pointer, pointer);
  EXPECT_EQ(recorder.last().buffer_size, 192U);
  EXPECT_EQ(recorder.last().outstanding_count, 0U);
}

TEST_P(double_free, of_a_buffer_in_the_ring_is_caught) {
  ring_buffer_pool pool(64, 1024, options());
  const std::vector<void*> held = test::take_all(pool, 64, 1024);
  test::give_all(pool, held);  // most lie in the ring now, some in the cache
  expect_caught(pool, misuse_kind::double_free, held.size(), [&] { test::give_all(pool, held); });
  test::expect_whole(pool);
}

TEST_P(double_free, on_another_thread_is_caught) {
  ring_buffer_pool pool(64, 16, options());
  void* const pointer = pool.allocate(64);
  std::thread([&] { pool.deallocate(pointer); }).join();
  expect_caught(pool, misuse_kind::double_free, 1, [&] { pool.deallocate(pointer); });
  test::expect_whole(pool);
}

TEST_P(double_free, within_one_bulk_is_caught) {
  ring_buffer_pool pool(64, 16, options());
  void* const a = pool.allocate(64);
  void* const b = pool.allocate(64);
  const test::misuse_recorder recorder;
  pool.deallocate_bulk(std::vector<void*>{a, b, a, b, a});
  EXPECT_EQ(recorder.count(misuse_kind::double_free), 3U);
  EXPECT_EQ(pool.stats().free_count, 2U);
  test::expect_whole(pool);
}

TEST_P(double_free, of_a_bulk_is_caught_pointer_by_pointer) {
  ring_buffer_pool pool(64, 256, options());
  std::vector<void*> out(256, nullptr);
  ASSERT_EQ(pool.allocate_bulk(out), 256U);
  pool.deallocate_bulk(out);
  expect_caught(pool, misuse_kind::double_free, 256, [&] { pool.deallocate_bulk(out); });
  test::expect_whole(pool);
}

TEST_P(double_free, of_a_handles_memory_is_caught) {
  ring_buffer_pool pool(64, 4, options());
  std::byte* data = nullptr;
  {
    const buffer one = pool.alloc(64);
    data = one.data();
  }
  expect_caught(pool, misuse_kind::double_free, 1, [&] { pool.deallocate(data); });
  test::expect_whole(pool);
}

TEST_P(double_free, by_a_handle_after_a_raw_free_is_caught) {
  ring_buffer_pool pool(64, 4, options());
  buffer one = pool.alloc(64);
  pool.deallocate(one.data());
  expect_caught(pool, misuse_kind::double_free, 1, [&] { one.reset(); });
  EXPECT_FALSE(one);
  test::expect_whole(pool);
}

TEST_P(double_free, of_a_buffer_that_was_never_given_out_is_caught) {
  ring_buffer_pool pool(56, 64, options());  // a canary fits into the line
  auto* const first = static_cast<std::byte*>(pool.allocate(56));
  expect_caught(pool, misuse_kind::double_free, 1, [&] { pool.deallocate(first + 64 * 63); });
  pool.deallocate(first);
  test::expect_whole(pool);
}

TEST_P(double_free, of_an_elastic_buffer_is_caught_before_and_after_a_trim) {
  ring_buffer_pool pool(4096, 1, options(4));
  void* const ring = pool.allocate(4096);
  void* const elastic = pool.allocate(4096);
  pool.deallocate(elastic);
  expect_caught(pool, misuse_kind::double_free, 2, [&] {
    pool.deallocate(elastic);
    (void)pool.trim();
    pool.deallocate(elastic);
  });
  pool.deallocate(ring);
  test::expect_whole(pool);
}

TEST_P(double_free, of_an_upstream_block_is_a_foreign_pointer) {
  ring_buffer_pool pool(64, 1, options());
  void* const large = pool.allocate(1000);
  pool.deallocate(large);
  expect_caught(pool, misuse_kind::foreign_pointer, 2, [&] {
    pool.deallocate(large);
    pool.deallocate_bulk(std::vector<void*>{large});
  });
  EXPECT_EQ(upstream.deallocation_count.load(), 1U);
  test::expect_whole(pool);
}

TEST_P(double_free, in_a_set_is_caught_by_the_class) {
  multi_size_ring_pool pool({{64, 4}, {1024, 4}}, options());
  for (const std::size_t size : {64U, 1000U}) {
    void* const pointer = pool.allocate(size);
    pool.deallocate(pointer);
    const test::misuse_recorder recorder;
    pool.deallocate(pointer);
    EXPECT_EQ(recorder.count(misuse_kind::double_free), 1U);
    EXPECT_GE(recorder.last().buffer_size, size);
  }
  EXPECT_EQ(pool.stats().classes[0].misuse_count, 1U);
  EXPECT_EQ(pool.stats().classes[1].misuse_count, 1U);
  test::expect_whole(pool);
}

TEST_P(double_free, never_makes_a_buffer_serve_twice) {
  ring_buffer_pool pool(64, 4, options());
  const test::misuse_recorder recorder;
  for (int round = 0; round < 100; ++round) {
    void* const pointer = pool.allocate(64);
    pool.deallocate(pointer);
    pool.deallocate(pointer);
  }
  EXPECT_EQ(recorder.count(misuse_kind::double_free), 100U);
  test::expect_whole(pool);
}

INSTANTIATE_TEST_SUITE_P(pools, double_free, testing::Bool(), [](const auto& hardened) {
  return hardened.param ? "hardened" : "usual";
});

}  // namespace
}  // namespace ringpool
