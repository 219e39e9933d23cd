// SPDX-License-Identifier: MIT
//
// A census while others allocate and free: what it reads of a sample is of one allocation, and
// sites are found as often as they allocate. The twin of the first reads without looking at the
// version; those of the second count frees: tests/unit/census_test.cpp.

#include "ringpool/census.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "../support/books.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

// ---- One record ---------------------------------------------------------------------------------

detail::sample sample_of(std::uint64_t number) {
  detail::sample one;
  one.since_ms = static_cast<std::int64_t>(number);
  one.thread_id = static_cast<std::int32_t>(number);
  one.depth = max_sample_depth;
  one.size = number;
  one.owner_id = number;
  one.frames.fill(reinterpret_cast<const void*>(number));
  return one;
}

bool is_torn(const detail::sample& seen) {
  return seen.since_ms != static_cast<std::int64_t>(seen.size) || seen.owner_id != seen.size ||
         seen.frames[0] != reinterpret_cast<const void*>(seen.size) ||
         seen.frames[max_sample_depth - 1] != reinterpret_cast<const void*>(seen.size);
}

/// How many reads were torn, of a record that another thread writes all the time.
template <class Record>
std::uint64_t torn_reads(std::size_t rounds) {
  Record record{};
  record.write(sample_of(1));
  std::atomic<bool> ends{false};
  std::thread writer([&] {
    for (std::uint64_t number = 2; !ends.load(std::memory_order_relaxed); ++number) {
      record.write(sample_of(number % 1'000'000 + 1));
    }
  });
  std::uint64_t torn = 0;
  std::uint64_t good = 0;
  for (std::size_t i = 0; i < rounds || good == 0; ++i) {
    detail::sample seen;
    if (record.read(seen)) {
      ++good;
      torn += is_torn(seen) ? 1U : 0U;
    }
  }
  ends.store(true, std::memory_order_relaxed);
  writer.join();
  return torn;
}

/// Believes whatever it reads.
class hasty_record : public detail::sample_record {
 public:
  [[nodiscard]] bool read(detail::sample& out) const noexcept {
    (void)detail::sample_record::read(out);
    return true;
  }
};

TEST(census_record, is_read_whole_or_not_at_all) {
  EXPECT_EQ(torn_reads<detail::sample_record>(scaled(2'000'000)), 0U);
}

TEST(census_record, twin_that_does_not_look_at_the_version_is_found) {
  EXPECT_GT(torn_reads<hasty_record>(scaled(2'000'000)), 0U);
}

// ---- Sites --------------------------------------------------------------------------------------

constexpr std::size_t thread_count = 4;
constexpr std::size_t buffer_bytes = 64;

[[gnu::noinline]] void often(ring_buffer_pool& pool, std::array<buffer, 8>& held) {
  for (std::size_t i = 1; i < held.size(); ++i) {
    held[i] = pool.alloc(buffer_bytes);
  }
}
[[gnu::noinline]] void seldom(ring_buffer_pool& pool, std::array<buffer, 8>& held) {
  held[0] = pool.alloc(buffer_bytes);
  held[0].data()[0] = std::byte{1};
}

using site_user = void (*)(ring_buffer_pool&, std::array<buffer, 8>&);

/// The return addresses that a function allocates from: the compiler may have copied its loop, or
/// moved a call away from it.
std::vector<const void*> sites_of(site_user function) {
  pool_options options;
  options.sampling.interval = 1;
  ring_buffer_pool pool(buffer_bytes, 64, options);
  std::vector<const void*> sites;
  for (int again = 0; again < 3; ++again) {  // a first call, and with and without a filled cache
    std::array<buffer, 8> held;
    function(pool, held);
    for (const holder& one : take_census(pool).holders) {
      sites.push_back(one.frames[0]);
    }
  }
  return sites;
}

std::uint64_t samples_of(const std::vector<holder>& holders,
                         const std::vector<const void*>& sites) {
  std::uint64_t sum = 0;
  for (const holder& one : holders) {
    const bool its_own = std::find(sites.begin(), sites.end(), one.frames[0]) != sites.end();
    sum += its_own ? one.sample_count : 0;
  }
  return sum;
}

struct shares {
  std::uint64_t often = 0;
  std::uint64_t seldom = 0;
};

/// Threads hold 7 buffers of one site and 1 of another, most of the time; how many samples a census
/// finds of each, over many looks.
shares look_at_sites(std::size_t interval, std::size_t looks) {
  const std::vector<const void*> often_sites = sites_of(&often);
  const std::vector<const void*> seldom_sites = sites_of(&seldom);
  pool_options options;
  options.sampling.interval = interval;
  ring_buffer_pool pool(buffer_bytes, 256, options);
  std::atomic<bool> ends{false};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < thread_count; ++i) {
    threads.emplace_back([&] {
      std::array<buffer, 8> held;
      while (!ends.load(std::memory_order_relaxed)) {
        seldom(pool, held);
        often(pool, held);
        std::this_thread::yield();
      }
    });
  }
  shares found;
  for (std::size_t i = 0; i < looks; ++i) {
    const census now = take_census(pool);
    found.often += samples_of(now.holders, often_sites);
    found.seldom += samples_of(now.holders, seldom_sites);
    std::this_thread::yield();
  }
  ends.store(true, std::memory_order_relaxed);
  for (std::thread& one : threads) {
    one.join();
  }
  EXPECT_EQ(take_census(pool).sample_count, 0U);
  test::expect_whole(pool);
  return found;
}

TEST(census_sites, are_found_as_often_as_they_hold) {
  const shares found = look_at_sites(8, scaled(20'000));
  const auto all = static_cast<double>(found.often + found.seldom);
  ASSERT_GT(all, 1000);
  EXPECT_NEAR(static_cast<double>(found.seldom) / all, 1.0 / 8, 0.06);
}

}  // namespace
}  // namespace ringpool::stress
