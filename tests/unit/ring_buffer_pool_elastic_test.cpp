// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/pages.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

using std::chrono::milliseconds;

/// Two ring buffers, then `elastic` more, then nothing.
pool_options elastic_alone(std::size_t elastic, milliseconds decay = milliseconds(1000)) {
  return {.elastic_capacity = elastic, .upstream = nullptr, .elastic_decay = decay};
}

std::vector<void*> allocate_many(ring_buffer_pool& pool, std::size_t count) {
  std::vector<void*> held;
  for (std::size_t i = 0; i < count; ++i) {
    if (void* const pointer = pool.allocate(pool.buffer_size()); pointer != nullptr) {
      held.push_back(pointer);
    }
  }
  return held;
}

void fill(const std::vector<void*>& held, std::size_t bytes) {
  for (void* const pointer : held) {
    std::memset(pointer, 0xAB, bytes);
  }
}

/// Resident bytes of the elastic buffers, which lie behind two ring buffers of one page each.
struct elastic_pages {
  explicit elastic_pages(ring_buffer_pool& pool) : count(pool.options().elastic_capacity) {
    const std::vector<void*> ring = test::take_all(pool, pool.buffer_size(), pool.capacity());
    start = static_cast<std::byte*>(*std::min_element(ring.begin(), ring.end())) + 2 * page;
    test::give_all(pool, ring);
  }
  [[nodiscard]] std::size_t resident() const { return test::resident_bytes(start, count * page); }

  static constexpr std::size_t page = 4096;
  std::size_t count;
  const std::byte* start;
};

TEST(ring_buffer_pool_elastic, serves_after_the_ring_and_before_a_refusal) {
  for (const std::size_t elastic : {1U, 3U, 5U, 100U}) {
    ring_buffer_pool pool(64, 2, elastic_alone(elastic));
    {
      std::vector<buffer> held;
      for (std::size_t i = 0; i < 2 + elastic; ++i) {
        held.push_back(pool.alloc(64));
        EXPECT_EQ(held.back().origin(), i < 2 ? buffer_origin::ring : buffer_origin::elastic);
        EXPECT_EQ(held.back().capacity(), 64U);
        std::memset(held.back().data(), static_cast<int>(i), 64);
      }
      for (std::size_t i = 0; i < held.size(); ++i) {
        EXPECT_EQ(held[i].data()[63], std::byte(i)) << "buffers overlap";
      }
      EXPECT_EQ(pool.allocate(64), nullptr);
      const pool_stats now = pool.stats();
      EXPECT_EQ(now.elastic_capacity, elastic);
      EXPECT_EQ(now.elastic_in_use, elastic);
      EXPECT_EQ(now.elastic_alloc_count, elastic);
      EXPECT_EQ(now.fallback_count, elastic);
      EXPECT_EQ(now.alloc_count, 2 + elastic);
      EXPECT_EQ(now.in_use, 2U);
      EXPECT_EQ(now.ring_size, 2U);
      test::expect_books_balance(now);
    }
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool_elastic, try_alloc_never_takes_one) {
  ring_buffer_pool pool(64, 2, elastic_alone(8));
  const std::vector<void*> held = test::take_all(pool, 64, 2);
  EXPECT_EQ(held.size(), 2U);
  EXPECT_FALSE(pool.try_alloc(64));
  EXPECT_EQ(pool.stats().elastic_alloc_count, 0U);
  test::give_all(pool, held);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, every_elastic_buffer_can_be_had_again_and_again) {
  ring_buffer_pool pool(64, 2, elastic_alone(7));
  for (int round = 0; round < 20; ++round) {
    const std::vector<void*> held = allocate_many(pool, 20);
    ASSERT_EQ(held.size(), 9U);
    EXPECT_EQ(std::set<void*>(held.begin(), held.end()).size(), 9U);
    test::give_all(pool, held);
    if (round % 5 == 4) {
      (void)pool.trim();
    }
  }
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, is_given_back_from_another_thread) {
  ring_buffer_pool pool(64, 2, elastic_alone(100));
  const std::vector<void*> held = allocate_many(pool, 102);
  ASSERT_EQ(held.size(), 102U);
  std::thread([&] { test::give_all(pool, held); }).join();
  const std::vector<void*> again = allocate_many(pool, 103);
  EXPECT_EQ(again.size(), 102U) << "nothing is stranded in the dead thread's cache";
  test::give_all(pool, again);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, memory_becomes_resident_on_first_use_only) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(64));
  const elastic_pages pages(pool);
  EXPECT_EQ(pages.resident(), 0U);
  const std::vector<void*> held = allocate_many(pool, 10);
  EXPECT_EQ(pages.resident(), 0U) << "allocated but not touched";
  fill(held, elastic_pages::page);
  EXPECT_EQ(pages.resident(), 8 * elastic_pages::page);
  test::give_all(pool, held);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, trim_gives_free_memory_back_to_the_system) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(64));
  const elastic_pages pages(pool);
  const std::vector<void*> held = allocate_many(pool, 66);
  fill(held, elastic_pages::page);
  test::give_all(pool, held);
  EXPECT_EQ(pages.resident(), 64 * elastic_pages::page);
  EXPECT_EQ(pool.trim(), 64 * elastic_pages::page);
  EXPECT_EQ(pages.resident(), 0U);
  test::expect_whole(pool);
  const std::vector<void*> again = allocate_many(pool, 66);
  EXPECT_EQ(again.size(), 66U) << "trimmed buffers are to be had again";
  EXPECT_EQ(std::count(static_cast<std::byte*>(again[10]),
                       static_cast<std::byte*>(again[10]) + elastic_pages::page, std::byte{0}),
            elastic_pages::page);
  test::give_all(pool, again);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, trim_leaves_held_buffers_alone) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(16));
  const elastic_pages pages(pool);
  std::vector<void*> held = allocate_many(pool, 18);
  fill(held, elastic_pages::page);
  std::vector<void*> kept;
  for (std::size_t i = 0; i < held.size(); i += 2) {
    kept.push_back(held[i]);
    pool.deallocate(held[i + 1]);
  }
  const std::size_t kept_elastic = pool.stats().elastic_in_use;
  EXPECT_EQ(pool.trim(), (16 - kept_elastic) * elastic_pages::page);
  EXPECT_EQ(pages.resident(), kept_elastic * elastic_pages::page);
  for (void* const pointer : kept) {
    const auto* const bytes = static_cast<const std::byte*>(pointer);
    EXPECT_EQ(std::count(bytes, bytes + elastic_pages::page, std::byte{0xAB}), elastic_pages::page);
  }
  test::give_all(pool, kept);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, trim_of_buffers_smaller_than_a_page_gives_whole_pages) {
  ring_buffer_pool pool(64, 2, elastic_alone(1024));
  std::vector<void*> held = allocate_many(pool, 1026);
  ASSERT_EQ(held.size(), 1026U);
  fill(held, 64);
  std::vector<void*> elastic;
  for (void* const pointer : held) {
    elastic.push_back(pointer);
  }
  std::sort(elastic.begin(), elastic.end());
  elastic.erase(elastic.begin(), elastic.begin() + 2);  // the ring's
  void* const kept = elastic[100];
  for (void* const pointer : held) {
    if (pointer != kept) {
      pool.deallocate(pointer);
    }
  }
  EXPECT_EQ(pool.trim(), 1024 * 64 - arena::page_bytes()) << "all but the held buffer's page";
  EXPECT_EQ(std::count(static_cast<std::byte*>(kept), static_cast<std::byte*>(kept) + 64,
                       std::byte{0xAB}),
            64);
  pool.deallocate(kept);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, trim_without_elastic_buffers_gives_nothing) {
  ring_buffer_pool none(64, 4);
  EXPECT_EQ(none.trim(), 0U);
  EXPECT_EQ(none.decay(), 0U);
  ring_buffer_pool unused(64, 4, elastic_alone(16));
  EXPECT_EQ(unused.trim(), 0U);
  EXPECT_EQ(unused.decay(), 0U);
  test::expect_whole(none);
  test::expect_whole(unused);
}

/// Calls decay() until it gives memory back, for two seconds at most.
std::size_t wait_for_decay(ring_buffer_pool& pool) {
  std::size_t bytes = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (bytes == 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(5));
    bytes = pool.decay();
  }
  return bytes;
}

TEST(ring_buffer_pool_elastic, decay_trims_once_nobody_allocated_for_long_enough) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(8, milliseconds(40)));
  const elastic_pages pages(pool);
  const std::vector<void*> held = allocate_many(pool, 10);
  fill(held, elastic_pages::page);
  test::give_all(pool, held);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(pool.decay(), 0U) << "too early";
  EXPECT_EQ(wait_for_decay(pool), 8 * elastic_pages::page);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
  EXPECT_EQ(pages.resident(), 0U);
  EXPECT_EQ(pool.decay(), 0U) << "nothing is left to give";
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, decay_waits_while_elastic_buffers_are_allocated) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(8, milliseconds(300)));
  const std::vector<void*> ring = test::take_all(pool, elastic_pages::page, 2);
  for (int i = 0; i < 8; ++i) {
    void* const one = pool.allocate(elastic_pages::page);
    *static_cast<std::byte*>(one) = std::byte{1};
    pool.deallocate(one);
    std::this_thread::sleep_for(milliseconds(10));
    EXPECT_EQ(pool.decay(), 0U);
  }
  test::give_all(pool, ring);
  test::expect_whole(pool);
}

/// Calls decay() until no elastic page is resident, for two seconds at most.
void wait_until_nothing_is_resident(ring_buffer_pool& pool, const elastic_pages& pages) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (pages.resident() != 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(5));
    (void)pool.decay();
  }
  EXPECT_EQ(pages.resident(), 0U);
}

TEST(ring_buffer_pool_elastic, a_decay_of_zero_gives_back_at_the_next_looks) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(8, milliseconds(0)));
  const elastic_pages pages(pool);
  const std::vector<void*> held = allocate_many(pool, 10);
  fill(held, elastic_pages::page);
  test::give_all(pool, held);  // may trim on its way, while some are held
  wait_until_nothing_is_resident(pool, pages);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, decay_gives_back_what_was_still_held_at_an_earlier_trim) {
  ring_buffer_pool pool(elastic_pages::page, 2, elastic_alone(8, milliseconds(20)));
  const elastic_pages pages(pool);
  const std::vector<void*> held = allocate_many(pool, 10);
  fill(held, elastic_pages::page);
  EXPECT_EQ(pool.trim(), 0U) << "all are held";
  test::give_all(pool, held);
  wait_until_nothing_is_resident(pool, pages);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, committed_bytes_are_those_that_are_resident) {
  constexpr std::size_t page = elastic_pages::page;
  ring_buffer_pool pool(page, 2, elastic_alone(16));
  const elastic_pages pages(pool);
  EXPECT_EQ(pool.stats().elastic_committed_bytes, 0U);
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> held = allocate_many(pool, 12);
    fill(held, page);
    EXPECT_EQ(pool.stats().elastic_committed_bytes, 10 * page);
    EXPECT_EQ(pages.resident(), 10 * page);
    test::give_all(pool, held);
    EXPECT_EQ(pool.stats().elastic_committed_bytes, 10 * page) << "free, and not given back";
    EXPECT_EQ(pool.trim(), 10 * page);
    EXPECT_EQ(pool.trim(), 0U) << "there is nothing more";
    EXPECT_EQ(pool.stats().elastic_committed_bytes, 0U);
    EXPECT_EQ(pages.resident(), 0U);
  }
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, trim_leaves_the_floor_and_what_the_caller_says) {
  constexpr std::size_t page = elastic_pages::page;
  pool_options options = elastic_alone(16);
  options.elastic_floor = 6;
  ring_buffer_pool pool(page, 2, options);
  const elastic_pages pages(pool);
  std::vector<void*> held = allocate_many(pool, 18);
  fill(held, page);
  test::give_all(pool, held);
  EXPECT_EQ(pool.trim(20), 0U) << "all may stay";
  EXPECT_EQ(pool.trim(), 10 * page);
  EXPECT_EQ(pages.resident(), 6 * page);
  EXPECT_EQ(pool.trim(), 0U) << "it stays at the floor";
  EXPECT_EQ(pages.resident(), 6 * page);
  held = allocate_many(pool, 18);
  EXPECT_EQ(held.size(), 18U) << "all can be had again";
  fill(held, page);
  test::give_all(pool, held);
  EXPECT_EQ(pool.trim(2), 14 * page);
  EXPECT_EQ(pages.resident(), 2 * page);
  EXPECT_EQ(pool.stats().elastic_committed_bytes, 2 * page);
  EXPECT_EQ(pool.trim(0), 2 * page);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, held_buffers_count_towards_the_floor) {
  constexpr std::size_t page = elastic_pages::page;
  pool_options options = elastic_alone(8);
  options.elastic_floor = 5;
  ring_buffer_pool pool(page, 2, options);
  const elastic_pages pages(pool);
  std::vector<void*> held = allocate_many(pool, 10);
  fill(held, page);
  const std::vector<void*> kept(held.begin() + 6, held.end());  // four elastic ones
  held.resize(6);
  test::give_all(pool, held);
  EXPECT_EQ(pool.trim(), 3 * page) << "four are held, one of the free ones stays";
  EXPECT_EQ(pages.resident(), 5 * page);
  test::give_all(pool, kept);
  EXPECT_EQ(pool.trim(), 0U);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, decay_stops_at_the_floor) {
  constexpr std::size_t page = elastic_pages::page;
  pool_options options = elastic_alone(8, milliseconds(10));
  options.elastic_floor = 3;
  ring_buffer_pool pool(page, 2, options);
  const elastic_pages pages(pool);
  const std::vector<void*> held = allocate_many(pool, 10);
  fill(held, page);
  test::give_all(pool, held);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (pages.resident() > 3 * page && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(5));
    (void)pool.decay();
  }
  std::this_thread::sleep_for(milliseconds(30));
  (void)pool.decay();
  EXPECT_EQ(pages.resident(), 3 * page);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, buffers_that_share_pages_keep_those_of_the_floor_whole) {
  for (const std::size_t size : {64U, 192U, 1000U, 5000U}) {
    pool_options options = elastic_alone(64);
    options.elastic_floor = 20;
    ring_buffer_pool pool(size, 2, options);
    std::vector<void*> held = allocate_many(pool, 66);
    ASSERT_EQ(held.size(), 66U);
    fill(held, size);
    test::give_all(pool, held);
    (void)pool.trim();
    const pool_stats now = pool.stats();
    const std::uint64_t stride = (size + 63) / 64 * 64;
    EXPECT_GE(now.elastic_committed_bytes, 20 * stride);
    EXPECT_LE(now.elastic_committed_bytes, 20 * stride + 2 * elastic_pages::page + 2 * stride);
    held = allocate_many(pool, 66);
    std::size_t intact = 0;
    for (void* const pointer : held) {
      const auto* const bytes = static_cast<const std::byte*>(pointer);
      intact += std::count(bytes, bytes + size, std::byte{0xAB}) == std::ptrdiff_t(size) ? 1U : 0U;
    }
    EXPECT_GE(intact, 22U) << "two of the ring, and the floor";
    test::give_all(pool, held);
    test::expect_whole(pool);
  }
}

TEST(ring_buffer_pool_elastic, trim_may_run_while_others_allocate) {
  ring_buffer_pool pool(256, 2, elastic_alone(32));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> damaged{0};
  std::vector<std::thread> workers;
  for (int number = 1; number <= 2; ++number) {
    workers.emplace_back([&, number] {
      for (int i = 0; i < 2000; ++i) {
        const std::vector<void*> held = allocate_many(pool, 6);
        for (void* const pointer : held) {
          std::memset(pointer, number, 256);
        }
        for (void* const pointer : held) {
          const auto* const bytes = static_cast<const std::byte*>(pointer);
          damaged += std::count(bytes, bytes + 256, std::byte(number)) == 256 ? 0U : 1U;
        }
        test::give_all(pool, held);
      }
      stop = true;
    });
  }
  while (!stop) {
    (void)pool.trim();
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
  EXPECT_EQ(damaged, 0U);
  EXPECT_LE(pool.stats().elastic_committed_bytes, 32 * 256U);
  (void)pool.trim();
  EXPECT_LT(pool.stats().elastic_committed_bytes, elastic_pages::page) << "a page in part";
  const std::vector<void*> all = allocate_many(pool, 35);
  EXPECT_EQ(all.size(), 34U) << "an elastic buffer was lost";
  test::give_all(pool, all);
  test::expect_whole(pool);
}

TEST(ring_buffer_pool_elastic, hardened_pools_take_trimmed_buffers_for_new) {
  ring_buffer_pool pool(elastic_pages::page - 64, 2,
                        {.elastic_capacity = 8, .upstream = nullptr, .hardened = true});
  const test::misuse_recorder recorder;
  for (int round = 0; round < 3; ++round) {
    const std::vector<void*> held = allocate_many(pool, 10);
    ASSERT_EQ(held.size(), 10U);
    fill(held, elastic_pages::page - 64);
    test::give_all(pool, held);
    EXPECT_GT(pool.trim(), 0U);
  }
  EXPECT_EQ(recorder.count(), 0U) << to_string(recorder.last().kind);
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
