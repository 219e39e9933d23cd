// SPDX-License-Identifier: MIT
#include "ringpool/census.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <thread>

#include "../support/books.hpp"
#include "../support/child_process.hpp"
#include "../support/misuse_recorder.hpp"

namespace ringpool {
namespace {

using testing::HasSubstr;

pool_options sampled(std::size_t interval, std::size_t depth = 1) {
  pool_options options;
  options.sampling = {interval, depth};
  return options;
}

[[gnu::noinline]] buffer alloc_here(ring_buffer_pool& pool, std::size_t size) {
  return pool.alloc(size);
}
[[gnu::noinline]] buffer alloc_there(ring_buffer_pool& pool, std::size_t size) {
  buffer one = pool.alloc(size);
  one.data()[0] = std::byte{1};  // so that the two are not folded into one function
  return one;
}

bool is_inside(const void* address, const void* function) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto start = reinterpret_cast<std::uintptr_t>(function);
  return at > start && at < start + 1024;
}

/// Samples in a thousand allocations, of `count` pairs.
double samples_a_thousand(ring_buffer_pool& pool, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    (void)pool.alloc(64);
  }
  const census now = take_census(pool);
  EXPECT_EQ(now.alloc_count, count);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_EQ(std::accumulate(now.ages.begin(), now.ages.end(), std::uint64_t{0}),
            now.sampled_allocs);
  return 1000.0 * static_cast<double>(now.sampled_allocs) / static_cast<double>(count);
}

TEST(census, has_counts_alone_without_sampling) {
  ring_buffer_pool pool(64, 16);
  const buffer one = pool.alloc(64);
  const census now = take_census(pool);
  EXPECT_EQ(now.buffer_size, 64U);
  EXPECT_EQ(now.held_count, 1U);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_TRUE(now.holders.empty());
  EXPECT_EQ(dump_outstanding(pool), "class 64: 1 held, 0 of them sampled\n");
}

TEST(census, tells_holders_apart_by_site_and_owner) {
  ring_buffer_pool pool(512, 64, sampled(1));
  std::vector<buffer> held;
  for (int i = 0; i < 5; ++i) {
    held.push_back(alloc_here(pool, 100));
  }
  {
    const owner_scope room("room", 7);
    for (int i = 0; i < 3; ++i) {
      held.push_back(alloc_here(pool, 100));
    }
    for (int i = 0; i < 2; ++i) {
      held.push_back(alloc_there(pool, 50));
    }
  }
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 3U);
  EXPECT_EQ(now.sample_count, 10U);
  EXPECT_EQ(now.weight(), 1.0);
  const holder& first = now.holders[0];
  EXPECT_EQ(first.held_count, 5U);
  EXPECT_EQ(first.size_bytes, 500U);
  EXPECT_EQ(first.owner, nullptr);
  ASSERT_EQ(first.frames.size(), 1U);
  EXPECT_TRUE(is_inside(first.frames[0], reinterpret_cast<const void*>(&alloc_here)));
  EXPECT_EQ(now.holders[1].held_count, 3U);
  EXPECT_STREQ(now.holders[1].owner, "room");
  EXPECT_EQ(now.holders[1].owner_id, 7U);
  EXPECT_EQ(now.holders[2].held_count, 2U);
  EXPECT_TRUE(is_inside(now.holders[2].frames[0], reinterpret_cast<const void*>(&alloc_there)));
}

TEST(census, forgets_what_came_back_and_counts_its_age) {
  ring_buffer_pool pool(64, 16, sampled(1));
  {
    const buffer one = alloc_here(pool, 64);
    EXPECT_EQ(take_census(pool).sample_count, 1U);
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
  }
  const census now = take_census(pool);
  EXPECT_EQ(now.sample_count, 0U);
  EXPECT_EQ(std::accumulate(now.ages.begin(), now.ages.end(), std::uint64_t{0}), 1U);
  EXPECT_EQ(now.ages[0] + now.ages[1] + now.ages[2] + now.ages[3] + now.ages[4], 0U);  // 16 ms
}

TEST(census, ages_grow) {
  ring_buffer_pool pool(64, 16, sampled(1));
  const buffer one = alloc_here(pool, 64);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const buffer two = alloc_here(pool, 64);
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 1U);
  EXPECT_GE(now.holders[0].oldest_ms, 15);
  EXPECT_LT(now.holders[0].newest_ms, now.holders[0].oldest_ms);
}

// ---- The rate -----------------------------------------------------------------------------------

TEST(census_rate, is_one_in_the_interval_on_cache_hits) {
  ring_buffer_pool pool(64, 64, sampled(100));
  EXPECT_NEAR(samples_a_thousand(pool, 500'000), 10, 1);
}

TEST(census_rate, is_one_in_the_interval_without_caches) {
  pool_options options = sampled(100);
  options.cache_limit = 0;
  ring_buffer_pool pool(64, 64, options);
  EXPECT_NEAR(samples_a_thousand(pool, 200'000), 10, 1);
}

TEST(census_rate, is_one_in_the_interval_in_hardened_pools) {
  pool_options options = sampled(100);
  options.hardened = true;
  ring_buffer_pool pool(64, 64, options);
  EXPECT_NEAR(samples_a_thousand(pool, 200'000), 10, 1);
}

TEST(census_rate, is_every_allocation_with_an_interval_of_one) {
  ring_buffer_pool pool(64, 64, sampled(1));
  EXPECT_EQ(samples_a_thousand(pool, 10'000), 1000);
}

TEST(census_rate, is_one_in_the_interval_whatever_is_freed_elsewhere) {
  ring_buffer_pool pool(64, 4096, sampled(100));
  std::vector<buffer> held;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 1000; ++i) {
      held.push_back(pool.alloc(64));
    }
    std::thread([&] { held.clear(); }).join();
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 2000, 250);
}

TEST(census_rate, counts_a_bulk_as_its_buffers) {
  ring_buffer_pool pool(64, 256, sampled(100));
  std::array<void*, 16> bulk{};
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(pool.allocate_bulk(bulk), bulk.size());
    pool.deallocate_bulk(bulk);
  }
  EXPECT_NEAR(static_cast<double>(take_census(pool).sampled_allocs), 3200, 400);
  test::expect_whole(pool);
}

// ---- Other kinds of buffers ---------------------------------------------------------------------

TEST(census, knows_elastic_buffers) {
  pool_options options = sampled(1);
  options.elastic_capacity = 8;
  ring_buffer_pool pool(64, 4, options);
  std::vector<buffer> held;
  for (int i = 0; i < 10; ++i) {
    held.push_back(pool.alloc(64));
  }
  EXPECT_EQ(take_census(pool).held_count, 10U);
  EXPECT_EQ(take_census(pool).sample_count, 10U);
  held.clear();
  EXPECT_EQ(take_census(pool).sample_count, 0U);
  test::expect_whole(pool);
}

TEST(census, leaves_upstream_blocks_and_empty_handles_out) {
  ring_buffer_pool pool(64, 1, sampled(1));
  const buffer ring = pool.alloc(64);
  const buffer upstream = pool.alloc(64);
  const buffer nothing = pool.alloc(0);
  EXPECT_EQ(take_census(pool).sample_count, 1U);
}

TEST(census, of_a_set_is_one_for_each_class_and_names_the_callers_site) {
  multi_size_ring_pool pool({{64, 16}, {512, 16}}, sampled(1));
  const auto from_a_lambda = [&]() __attribute__((noinline)) { return pool.alloc(300); };
  const buffer large = from_a_lambda();
  const std::vector<census> now = take_census(pool);
  ASSERT_EQ(now.size(), 2U);
  EXPECT_TRUE(now[0].holders.empty());
  ASSERT_EQ(now[1].holders.size(), 1U);
  EXPECT_EQ(now[1].buffer_size, 512U);
  EXPECT_THAT(symbol_of(now[1].holders[0].frames[0]), HasSubstr("ringpool_unit_tests"));
  EXPECT_THAT(dump_outstanding(pool),
              HasSubstr("class 512: 1 held, 1 of them sampled\n  ~1 held for "));
}

TEST(census, lent_buffers_are_held_without_a_sample) {
  pool_options options = sampled(1);
  options.spill = {.class_count = 1, .buffer_limit = 4};
  multi_size_ring_pool pool({{64, 1}, {512, 16}}, options);
  const buffer own = pool.alloc(64);
  const buffer lent = pool.alloc(64);
  EXPECT_EQ(lent.capacity(), 512U);
  EXPECT_EQ(take_census(pool)[1].held_count, 1U);
  EXPECT_EQ(take_census(pool)[1].sample_count, 0U);
}

// ---- What it says -------------------------------------------------------------------------------

[[gnu::noinline]] buffer alloc_deep(ring_buffer_pool& pool, int depth) {
  buffer one = depth == 0 ? pool.alloc(64) : alloc_deep(pool, depth - 1);
  one.data()[0] = std::byte{1};
  return one;
}

TEST(census, keeps_as_many_frames_as_asked_for) {
  ring_buffer_pool pool(64, 16, sampled(1, 4));
  const buffer one = alloc_deep(pool, 8);
  const census now = take_census(pool);
  ASSERT_EQ(now.holders.size(), 1U);
  const std::vector<const void*>& frames = now.holders[0].frames;
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_NE(frames[0], frames[1]);  // the call of alloc, and one of alloc_deep
  EXPECT_THAT(symbol_of(frames[3]), HasSubstr("ringpool_unit_tests+0x"));
}

TEST(census, folds_stacks_for_flame_graphs) {
  ring_buffer_pool pool(64, 16, sampled(1, 3));
  const owner_scope room("room", 7);
  const buffer one = alloc_deep(pool, 8);
  const buffer two = alloc_deep(pool, 8);
  EXPECT_THAT(folded_stacks(take_census(pool)),
              testing::MatchesRegex("room 7;class 64;[^;]+;[^;]+;[^; ]+ 2\n"));
}

TEST(census, symbols_of_libraries_have_names_and_others_a_place_in_their_file) {
  const auto* const in_libc = reinterpret_cast<const char*>(&::malloc);
  EXPECT_THAT(symbol_of(in_libc + 1), HasSubstr("malloc+0x1"));
  EXPECT_EQ(symbol_of(reinterpret_cast<const void*>(16)), "0x10");
}

TEST(census, options_out_of_range_are_refused_with_what_is_accepted) {
  const auto message_of = [](const pool_options& options) -> std::string {
    try {
      const ring_buffer_pool pool(64, 16, options);
    } catch (const std::system_error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message_of(sampled(max_sample_interval + 1)),
              HasSubstr("sampling.interval 65537: accepted are 0 to 65536"));
  EXPECT_THAT(message_of(sampled(128, 0)), HasSubstr("sampling.depth 0: accepted are 1 to 10"));
  EXPECT_THAT(message_of(sampled(128, 11)), HasSubstr("sampling.depth 11: accepted are 1 to 10"));
  EXPECT_EQ(message_of(sampled(max_sample_interval, max_sample_depth)), "accepted");
}

// ---- Leaks and first freers ---------------------------------------------------------------------

std::uint64_t leaked = 0;
std::string leak_text;

TEST(census_leak, the_handler_learns_who_held_what) {
  const leak_handler before = set_leak_handler([](const leak& what) noexcept {
    leaked = what.outstanding_count;
    leak_text = dump_outstanding(*what.pool);
  });
  {
    ring_buffer_pool pool(64, 16, sampled(1));
    (void)pool.allocate(64);
    (void)pool.allocate(64);
  }
  EXPECT_EQ(leaked, 2U);
  EXPECT_THAT(leak_text, HasSubstr("class 64: 2 held, 2 of them sampled"));
  leaked = 0;
  { ring_buffer_pool pool(64, 16, sampled(1)); }
  EXPECT_EQ(leaked, 0U) << "nothing was held";
  EXPECT_NE(set_leak_handler(before), nullptr);
}

TEST(census_leak, the_default_handler_writes_to_standard_error_and_goes_on) {
  const test::child_result child = test::run_in_child([] {
    {
      ring_buffer_pool pool(64, 16, sampled(1));
      const owner_scope scope("the owner");
      (void)pool.allocate(48);
    }
    return 0;
  });
  EXPECT_TRUE(child.exited_with(0));
  EXPECT_THAT(child.errors, HasSubstr("ringpool: destroyed while buffers are held\n"
                                      "class 64: 1 held, 1 of them sampled\n"
                                      "  ~1 held for "));
  EXPECT_THAT(child.errors, HasSubstr("48 bytes: the owner: "));
}

/// Each instance is a place of its own.
template <int Place>
[[gnu::noinline]] void free_at(ring_buffer_pool& pool, void* pointer) {
  pool.deallocate(pointer);
  asm volatile("" ::"i"(Place) : "memory");  // neither a tail call nor the other's code
}

template <int Place>
misuse freed_twice(ring_buffer_pool& pool) {
  void* const pointer = pool.allocate(64);
  free_at<Place>(pool, pointer);
  const test::misuse_recorder recorder;
  pool.deallocate(pointer);
  return recorder.last();
}

TEST(census_misuse, a_double_free_names_the_thread_and_the_site_of_the_first_free) {
  pool_options options;
  options.hardened = true;
  ring_buffer_pool pool(64, 16, options);
  const misuse first = freed_twice<1>(pool);
  EXPECT_EQ(first.kind, misuse_kind::double_free);
  EXPECT_EQ(first.last_freer_thread_id, detail::thread_id());
  EXPECT_THAT(symbol_of(first.last_freer_site), HasSubstr("ringpool_unit_tests+0x"));
  EXPECT_EQ(freed_twice<1>(pool).last_freer_site, first.last_freer_site);
  EXPECT_NE(freed_twice<2>(pool).last_freer_site, first.last_freer_site);
}

// ---- Fork ---------------------------------------------------------------------------------------

TEST(census_fork, a_child_knows_what_it_inherited) {
  ring_buffer_pool pool(64, 16, sampled(1));
  const buffer one = alloc_here(pool, 64);
  const test::child_result child = test::run_in_child([&] {
    const census now = take_census(pool);
    return now.holders.size() == 1 && now.sample_count == 1 ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0));
}

}  // namespace
}  // namespace ringpool
