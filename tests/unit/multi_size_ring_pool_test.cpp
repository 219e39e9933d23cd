// SPDX-License-Identifier: MIT
#include "ringpool/multi_size_ring_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"

namespace ringpool {
namespace {

using class_list = std::vector<size_class>;

/// Construction must throw `code` and say `part`; the factory must report the same code.
void expect_refused(const class_list& classes, const pool_options& options, errc code,
                    const std::string& part) {
  try {
    const multi_size_ring_pool pool(classes, options);
    ADD_FAILURE() << "accepted, though " << part;
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << '"' << error.what() << "\" does not say " << part;
  }
  std::error_code error;
  EXPECT_EQ(multi_size_ring_pool::create(classes, options, error), nullptr);
  EXPECT_EQ(error, code);
}

/// Which class a request of `size` is served by: its buffer size; 0 if none.
std::size_t served_by(multi_size_ring_pool& pool, std::size_t size) {
  const buffer one = pool.try_alloc(size);
  return one ? one.capacity() : 0;
}

TEST(multi_size_ring_pool, refuses_what_cannot_be_and_says_why) {
  expect_refused({}, {}, errc::no_classes, "1 to 64");
  expect_refused({{64, 4}, {128, 4}, {64, 8}}, {}, errc::duplicate_size, "size 64 is given twice");
  expect_refused({{64, 4}, {128, 3}}, {}, errc::invalid_capacity, "capacity 3 of size 128");
  expect_refused({{64, 0}}, {}, errc::invalid_capacity, "capacity 0");
  expect_refused({{0, 4}, {64, 4}}, {}, errc::invalid_size, "buffer size 0");
  expect_refused({{std::size_t{1} << 32, 4}}, {}, errc::invalid_size, "4294967296");
  expect_refused({{64, 4}, {1 << 30, max_capacity}}, {}, errc::too_large, "1073741824");
  expect_refused({{64, 4}}, {.cache_limit = 1000}, errc::invalid_option, "cache_limit 1000");
  expect_refused({{64, 4}, {128, 4}}, {.memory = {.numa_node = 1000}}, errc::numa_failed, "1000");
}

TEST(multi_size_ring_pool, refuses_more_classes_than_the_most) {
  class_list classes;
  for (std::size_t i = 1; i <= max_class_count; ++i) {
    classes.push_back({i * 64, 1});
  }
  {
    multi_size_ring_pool most(classes);
    EXPECT_EQ(most.class_count(), max_class_count);
    test::expect_whole(most);
  }
  classes.push_back({65 * 64, 1});
  expect_refused(classes, {}, errc::too_many_classes, "65 size classes");
}

TEST(multi_size_ring_pool, refuses_a_set_beyond_the_address_space) {
  class_list classes;
  for (std::size_t i = 0; i < 64; ++i) {
    classes.push_back({(std::size_t{1} << 30) + i * 64, 1 << 14});
  }
  expect_refused(classes, {.memory = {.prefault = false}}, errc::too_large, "64 classes");
}

TEST(multi_size_ring_pool, the_factory_makes_a_pool_that_works) {
  std::error_code error = errc::no_classes;
  const class_list classes = {{64, 16}, {1024, 4}};
  const std::unique_ptr<multi_size_ring_pool> pool =
      multi_size_ring_pool::create(classes, {}, error);
  ASSERT_NE(pool, nullptr);
  EXPECT_FALSE(error);
  test::expect_whole(*pool);
}

TEST(multi_size_ring_pool, takes_classes_in_any_order_and_shows_them_by_size) {
  multi_size_ring_pool pool{{4096, 2}, {64, 16}, {512, 8}};
  EXPECT_EQ(pool.class_count(), 3U);
  EXPECT_EQ(pool.min_size(), 64U);
  EXPECT_EQ(pool.max_size(), 4096U);
  const multi_size_stats now = pool.stats();
  ASSERT_EQ(now.classes.size(), 3U);
  EXPECT_EQ(now.classes[0].buffer_size, 64U);
  EXPECT_EQ(now.classes[1].ring_size, 8U);
  EXPECT_EQ(now.classes[2].buffer_size, 4096U);
  test::expect_whole(pool);
}

/// Every size from 1 to the largest must be served by the smallest class that fits.
void expect_smallest_fit(const class_list& classes) {
  multi_size_ring_pool pool(classes, {.upstream = nullptr});
  for (std::size_t size = 1; size <= pool.max_size(); ++size) {
    std::size_t fit = pool.max_size();
    for (const size_class& one : classes) {
      fit = one.buffer_size >= size ? std::min(fit, one.buffer_size) : fit;
    }
    ASSERT_EQ(served_by(pool, size), fit) << "size " << size;
  }
  EXPECT_EQ(served_by(pool, pool.max_size() + 1), 0U);
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, picks_the_smallest_class_that_fits) {
  expect_smallest_fit({{64, 2}, {128, 2}, {256, 2}, {512, 2}, {1024, 2}, {4096, 2}});
  expect_smallest_fit({{100, 2}, {1000, 2}, {1500, 2}, {9000, 2}});
  expect_smallest_fit({{1, 2}});
  expect_smallest_fit({{65, 2}});
}

TEST(multi_size_ring_pool, picks_the_smallest_of_several_classes_within_one_cache_line) {
  expect_smallest_fit({{8, 2}, {16, 2}, {32, 2}, {64, 2}});
  expect_smallest_fit({{1, 2}, {63, 2}, {64, 2}, {127, 2}});
  expect_smallest_fit({{100, 2}, {110, 2}, {120, 2}, {128, 2}});
}

TEST(multi_size_ring_pool, picks_the_smallest_class_beside_a_very_large_one) {
  multi_size_ring_pool pool({{64, 2}, {256, 2}, {1024, 2}, {4096, 2}, {64 << 20, 1}},
                            {.upstream = nullptr, .memory = {.prefault = false}});
  for (const auto& [size, fit] :
       std::vector<std::pair<std::size_t, std::size_t>>{{1, 64},
                                                        {64, 64},
                                                        {65, 256},
                                                        {257, 1024},
                                                        {1024, 1024},
                                                        {1025, 4096},
                                                        {4096, 4096},
                                                        {4097, 64 << 20},
                                                        {64 << 20, 64 << 20}}) {
    EXPECT_EQ(served_by(pool, size), fit) << "size " << size;
  }
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, does_not_borrow_from_a_larger_class) {
  multi_size_ring_pool pool({{64, 1}, {128, 4}}, {.upstream = nullptr});
  const buffer one = pool.alloc(64);
  EXPECT_FALSE(pool.try_alloc(64));
  EXPECT_THROW((void)pool.alloc(10), std::bad_alloc);
  EXPECT_EQ(pool.allocate(64), nullptr);
  EXPECT_EQ(pool.stats().classes[0].refusal_count, 3U);
  EXPECT_EQ(pool.stats().classes[1].in_use, 0U);
}

TEST(multi_size_ring_pool, a_size_above_the_largest_goes_upstream_as_oversize_and_fallback) {
  test::counting_resource upstream;
  multi_size_ring_pool pool({{64, 4}, {1024, 4}}, {.upstream = &upstream});
  {
    const buffer large = pool.alloc(1025);
    EXPECT_EQ(large.origin(), buffer_origin::upstream);
    EXPECT_EQ(large.capacity(), 1025U);
    void* const larger = pool.allocate(50'000);
    ASSERT_NE(larger, nullptr);
    const multi_size_stats now = pool.stats();
    EXPECT_EQ(now.oversize_count, 2U);
    EXPECT_EQ(now.upstream_in_use_bytes, 51'025U);
    EXPECT_EQ(now.total().fallback_count, 2U);
    EXPECT_EQ(now.total().alloc_count, 2U);
    EXPECT_EQ(now.total().upstream_in_use_bytes, 51'025U);
    EXPECT_EQ(now.total().in_use, 0U);
    EXPECT_FALSE(pool.try_alloc(1025));
    EXPECT_EQ(pool.try_allocate(1025), nullptr);
    pool.deallocate(larger);
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, every_class_falls_back_upstream_within_one_budget) {
  test::counting_resource upstream;
  multi_size_ring_pool pool({{64, 1}, {1024, 1}},
                            {.upstream = &upstream, .upstream_budget_bytes = 1000});
  const buffer a = pool.alloc(64);
  const buffer b = pool.alloc(1024);
  const buffer c = pool.alloc(60);
  const buffer d = pool.alloc(900);
  EXPECT_EQ(c.origin(), buffer_origin::upstream);
  EXPECT_EQ(pool.allocate(64), nullptr) << "40 bytes of the budget are left";
  const buffer e = pool.alloc(40);
  const multi_size_stats now = pool.stats();
  EXPECT_EQ(now.upstream_in_use_bytes, 1000U);
  EXPECT_EQ(now.classes[0].upstream_alloc_count, 2U);
  EXPECT_EQ(now.classes[1].upstream_alloc_count, 1U);
  EXPECT_EQ(now.oversize_count, 0U);
  EXPECT_EQ(now.classes[0].fallback_count, 2U);
}

TEST(multi_size_ring_pool, every_class_has_its_own_elastic_buffers) {
  multi_size_ring_pool pool({{64, 1}, {1024, 1}}, {.elastic_capacity = 2, .upstream = nullptr});
  for (int round = 0; round < 3; ++round) {
    std::vector<buffer> held;
    for (const std::size_t size : {64U, 1024U}) {
      for (int i = 0; i < 3; ++i) {
        held.push_back(pool.alloc(size));
        std::memset(held.back().data(), 0xAB, size);
      }
      EXPECT_EQ(pool.allocate(size), nullptr);
    }
    EXPECT_EQ(pool.stats().total().elastic_in_use, 4U);
    held.clear();
    (void)pool.trim();
    (void)pool.decay();
  }
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, a_size_of_zero_uses_no_buffer) {
  multi_size_ring_pool pool({{64, 1}, {1024, 1}}, {.upstream = nullptr});
  {
    const buffer none = pool.alloc(0);
    EXPECT_TRUE(none);
    EXPECT_TRUE(pool.try_alloc(0));
    void* const raw = pool.allocate(0);
    void* const another = pool.try_allocate(0);
    ASSERT_NE(raw, nullptr);
    const test::misuse_recorder recorder;
    pool.deallocate(raw);
    pool.deallocate_bulk(std::vector<void*>{another, nullptr});
    pool.deallocate(nullptr);
    EXPECT_EQ(recorder.count(), 0U);
    EXPECT_EQ(pool.stats().total().alloc_count, 0U);
  }
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, pointers_find_their_class_again) {
  multi_size_ring_pool pool({{64, 64}, {100, 64}, {1500, 64}, {70'000, 4}}, {.upstream = nullptr});
  std::vector<void*> held;
  for (const std::size_t size : {1U, 65U, 101U, 1501U}) {
    for (int i = 0; i < 4; ++i) {
      held.push_back(pool.allocate(size));
      ASSERT_NE(held.back(), nullptr);
      EXPECT_TRUE(pool.owns(held.back()));
    }
  }
  for (const pool_stats& one : pool.stats().classes) {
    EXPECT_EQ(one.in_use, 4U);
  }
  std::thread([&] { test::give_all(pool, held); }).join();
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, owns_none_but_its_own_addresses) {
  multi_size_ring_pool pool({{64, 4}, {1024, 4}});
  multi_size_ring_pool other({{64, 4}, {1024, 4}});
  int here = 0;
  void* const theirs = other.allocate(1000);
  EXPECT_FALSE(pool.owns(theirs));
  EXPECT_FALSE(pool.owns(&here));
  EXPECT_FALSE(pool.owns(nullptr));
  other.deallocate(theirs);
  test::expect_whole(pool);
  test::expect_whole(other);
}

TEST(multi_size_ring_pool, bulks_take_from_one_class_and_give_to_all) {
  multi_size_ring_pool pool({{64, 8}, {1024, 8}});
  std::vector<void*> out(20, nullptr);
  EXPECT_EQ(pool.allocate_bulk(64, std::span(out).first(10)), 8U) << "the ring alone";
  EXPECT_EQ(pool.allocate_bulk(65, std::span(out).subspan(8, 4)), 4U);
  EXPECT_EQ(pool.allocate_bulk(0, out), 0U);
  EXPECT_EQ(pool.allocate_bulk(1025, out), 0U);
  out[12] = pool.allocate(5000);
  std::swap(out[0], out[9]);
  std::swap(out[1], out[12]);
  EXPECT_EQ(pool.stats().classes[0].in_use, 8U);
  EXPECT_EQ(pool.stats().classes[1].in_use, 4U);
  const test::misuse_recorder recorder;
  pool.deallocate_bulk(out);
  EXPECT_EQ(recorder.count(), 0U);
  test::expect_whole(pool);
}

TEST(multi_size_ring_pool, reports_memory_for_every_class) {
  const multi_size_ring_pool pool({{64, 1024}, {4096, 16}});
  EXPECT_EQ(pool.classes()[0].memory().resident_bytes, 65'536U);
  EXPECT_EQ(pool.classes()[1].memory().resident_bytes, 65'536U);
  EXPECT_EQ(pool.classes()[0].memory().reserved_bytes, pool.classes()[1].memory().reserved_bytes);
}

TEST(multi_size_ring_pool, outlives_its_initializer_list) {
  const auto make = [] {
    return std::make_unique<multi_size_ring_pool>(
        std::initializer_list<size_class>{{64, 2}, {256, 2}});
  };
  const auto pool = make();
  EXPECT_EQ(served_by(*pool, 200), 256U);
  test::expect_whole(*pool);
}

}  // namespace
}  // namespace ringpool
