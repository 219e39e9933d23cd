// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "../support/books.hpp"
#include "../support/child_process.hpp"
#include "../support/pages.hpp"
#include "../support/sanitizers.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

/// Construction must throw `code`, with a text that names every one of `parts`; and the factory
/// must report the same code.
void expect_refused(std::size_t buffer_size, std::size_t capacity, const pool_options& options,
                    errc code, std::initializer_list<std::string> parts) {
  try {
    const ring_buffer_pool pool(buffer_size, capacity, options);
    ADD_FAILURE() << buffer_size << " x " << capacity << " was accepted";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << '"' << error.what() << "\" does not say " << part;
    }
  }
  std::error_code error;
  EXPECT_EQ(ring_buffer_pool::create(buffer_size, capacity, options, error), nullptr);
  EXPECT_EQ(error, code);
}

TEST(ring_buffer_pool_construction, refuses_a_buffer_size_of_zero) {
  expect_refused(0, 4, {}, errc::invalid_size,
                 {"buffer size 0", "1 to " + std::to_string(max_buffer_size)});
}

TEST(ring_buffer_pool_construction, refuses_a_buffer_size_above_the_most) {
  expect_refused(max_buffer_size + 1, 4, {}, errc::invalid_size, {"1 to"});
  expect_refused(std::size_t{1} << 32, 4, {}, errc::invalid_size, {"4294967296"});
  expect_refused(~std::size_t{0}, 4, {}, errc::invalid_size, {"18446744073709551615"});
}

TEST(ring_buffer_pool_construction, refuses_a_capacity_that_is_no_power_of_two) {
  expect_refused(64, 0, {}, errc::invalid_capacity, {"capacity 0", "powers of two", "1073741824"});
  expect_refused(64, 3, {}, errc::invalid_capacity, {"capacity 3", "powers of two"});
  expect_refused(64, 1000, {}, errc::invalid_capacity, {"capacity 1000", "size 64"});
}

TEST(ring_buffer_pool_construction, refuses_a_capacity_above_the_most) {
  expect_refused(64, max_capacity * 2, {}, errc::invalid_capacity, {"2147483648", "1073741824"});
  expect_refused(64, std::size_t{1} << 63, {}, errc::invalid_capacity, {"1073741824"});
}

TEST(ring_buffer_pool_construction, refuses_options_outside_of_their_range) {
  expect_refused(64, 4, {.elastic_capacity = max_capacity + 1}, errc::invalid_option,
                 {"elastic_capacity 1073741825", "0 to 1073741824"});
  expect_refused(64, 4, {.elastic_capacity = ~std::size_t{0}}, errc::invalid_option,
                 {"elastic_capacity"});
  expect_refused(64, 4, {.cache_limit = index_cache::max_items + 1}, errc::invalid_option,
                 {"cache_limit 185", "0 to 184"});
  expect_refused(64, 4, {.memory = {.numa_node = -2}}, errc::invalid_option,
                 {"numa_node -2", "-1"});
  expect_refused(64, 4, {.elastic_decay = std::chrono::milliseconds(-1)}, errc::invalid_option,
                 {"elastic_decay -1 ms", "0 ms and more"});
}

TEST(ring_buffer_pool_construction, refuses_sizes_and_capacities_that_overflow) {
  const memory_options untouched{.prefault = false};  // in case one is accepted
  expect_refused(max_buffer_size, max_capacity, {.memory = untouched}, errc::too_large,
                 {std::to_string(max_buffer_size), "1073741824"});
  expect_refused(std::size_t{1} << 30, max_capacity, {.memory = untouched}, errc::too_large,
                 {"accepted"});
  expect_refused(std::size_t{1} << 30, 1, {.elastic_capacity = max_capacity, .memory = untouched},
                 errc::too_large, {"1 + 1073741824"});
}

/// Address space that this process has now, by proc(5).
std::size_t mapped_bytes() {
  std::size_t pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  EXPECT_EQ(std::fscanf(file, "%zu", &pages), 1);
  std::fclose(file);
  return pages * arena::page_bytes();
}

TEST(ring_buffer_pool_construction, refuses_more_address_space_than_the_process_may_have) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "sanitizers need address space of their own";
  }
  const test::child_result child = test::run_in_child([] {
    const rlimit small{mapped_bytes() + 512 * mib, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &small);
    expect_refused(mib, 1024, {}, errc::reservation_failed, {"RLIMIT_AS", "cannot reserve"});
    ring_buffer_pool pool(64, 1024);  // a smaller one still goes
    test::expect_whole(pool);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
}

TEST(ring_buffer_pool_construction, accepts_the_smallest_pool) {
  ring_buffer_pool pool(1, 1, {.upstream = nullptr});
  EXPECT_EQ(pool.buffer_size(), 1U);
  EXPECT_EQ(pool.capacity(), 1U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_construction, accepts_the_largest_buffer) {
  for (const bool hardened : {false, true}) {
    ring_buffer_pool pool(
        max_buffer_size, 2,
        {.upstream = nullptr, .hardened = hardened, .memory = {.prefault = false}});
    {
      const buffer one = pool.alloc(max_buffer_size);
      const buffer other = pool.alloc(1);
      EXPECT_EQ(one.size(), max_buffer_size);
      one.data()[0] = std::byte{1};
      one.data()[one.size() - 1] = std::byte{1};
      EXPECT_GE(std::max(one.data(), other.data()) - std::min(one.data(), other.data()),
                static_cast<std::ptrdiff_t>(max_buffer_size));
    }
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool_construction, the_factory_makes_a_pool_that_works) {
  std::error_code error = errc::invalid_size;
  const std::unique_ptr<ring_buffer_pool> pool =
      ring_buffer_pool::create(1024, 64, {.elastic_capacity = 8}, error);
  ASSERT_NE(pool, nullptr);
  EXPECT_FALSE(error);
  EXPECT_EQ(pool->options().elastic_capacity, 8U);
  static_assert(noexcept(ring_buffer_pool::create(1, 1, pool->options(), error)));
  test::expect_whole(*pool);
}

TEST(ring_buffer_pool_construction, reports_the_memory_it_obtained) {
  const ring_buffer_pool pool(1000, 64, {.elastic_capacity = 10});
  const memory_report& memory = pool.memory();
  EXPECT_GE(memory.resident_bytes, std::size_t{64} * 1024);
  EXPECT_LT(memory.resident_bytes, std::size_t{64} * 1024 + arena::page_bytes());
  EXPECT_GT(memory.reserved_bytes, memory.resident_bytes);
  EXPECT_EQ(memory.locked_bytes, 0U);
  EXPECT_EQ(memory.huge_page_bytes, 0U);
  EXPECT_EQ(memory.pages, huge_pages::none);
  EXPECT_EQ(memory.numa_node, -1);
}

TEST(ring_buffer_pool_construction, prefaults_the_ring_and_nothing_else) {
  ring_buffer_pool pool(4096, 64, {.elastic_capacity = 64});
  void* const first = pool.allocate(4096);
  EXPECT_EQ(test::resident_bytes(first, std::size_t{64} * 4096), std::size_t{64} * 4096);
  const auto* const elastic = static_cast<const std::byte*>(first) + std::size_t{64} * 4096;
  EXPECT_EQ(test::resident_bytes(elastic, std::size_t{64} * 4096), 0U);
  pool.deallocate(first);
  test::expect_whole(pool);
}

/// Page faults of taking and giving back all buffers twice: every state and every entry is written.
long faults_of_two_laps(bool prefault) {
  constexpr std::size_t capacity = 65'536;
  std::vector<void*> all(capacity);
  ring_buffer_pool pool(64, capacity, {.memory = {.prefault = prefault}});
  pool.deallocate(pool.allocate(1));  // the cache of this thread, which follows use
  rusage before{};
  ::getrusage(RUSAGE_THREAD, &before);
  for (int lap = 0; lap < 2; ++lap) {
    EXPECT_EQ(pool.allocate_bulk(all), capacity);
    pool.deallocate_bulk(all);
  }
  rusage after{};
  ::getrusage(RUSAGE_THREAD, &after);
  return after.ru_minflt - before.ru_minflt;
}

TEST(ring_buffer_pool_construction, prefault_is_for_all_that_calls_write_to) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "the sanitizer's own pages fault as well";
  }
  const auto pages_of_metadata =
      static_cast<long>(std::size_t{65'536} * (1 + 2 * 8) / arena::page_bytes());
  EXPECT_GT(faults_of_two_laps(false), pages_of_metadata / 2);
  EXPECT_LT(faults_of_two_laps(true), pages_of_metadata / 8);
}

TEST(ring_buffer_pool_construction, without_prefault_memory_follows_use) {
  ring_buffer_pool pool(4096, 64, {.memory = {.prefault = false}});
  EXPECT_EQ(pool.memory().resident_bytes, 0U);
  void* const first = pool.allocate(4096);
  EXPECT_EQ(test::resident_bytes(first, std::size_t{64} * 4096), 0U);
  *static_cast<std::byte*>(first) = std::byte{1};
  EXPECT_EQ(test::resident_bytes(first, std::size_t{64} * 4096), 4096U);
  pool.deallocate(first);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_construction, huge_pages_of_either_kind_never_fail) {
  for (const huge_pages wish : {huge_pages::transparent, huge_pages::reserved}) {
    ring_buffer_pool pool(64 * 1024, 64, {.memory = {.pages = wish}});
    EXPECT_GE(pool.memory().resident_bytes, 4 * mib);
    EXPECT_LE(pool.memory().huge_page_bytes, pool.memory().resident_bytes);
    for (void* const pointer : test::take_all(pool, 64 * 1024, 63)) {
      static_cast<std::byte*>(pointer)[64 * 1024 - 1] = std::byte{1};
      pool.deallocate(pointer);
    }
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool_construction, a_numa_node_that_does_not_exist_is_refused) {
  expect_refused(64, 4, {.memory = {.numa_node = 1000}}, errc::numa_failed, {"numa_node 1000"});
}

TEST(ring_buffer_pool_construction, a_refused_pool_leaves_no_address_space_behind) {
  std::error_code error;
  (void)ring_buffer_pool::create(64, 64, {.memory = {.numa_node = 1000}}, error);
  const std::size_t before = mapped_bytes();
  for (int i = 0; i < 50; ++i) {
    (void)ring_buffer_pool::create(64, 64, {.memory = {.numa_node = 1000}}, error);
    (void)ring_buffer_pool::create(64, 64, {}, error);
  }
  EXPECT_LT(mapped_bytes(), before + 8 * mib) << "one pool reserves more";
}

}  // namespace
}  // namespace ringpool
