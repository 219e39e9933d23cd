// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

pool_options hardened(std::size_t elastic = 0) {
  return {.elastic_capacity = elastic, .upstream = nullptr, .hardened = true};
}

TEST(hardened, honest_use_is_never_reported) {
  for (const std::size_t size : {1U, 7U, 8U, 16U, 56U, 57U, 64U, 1000U}) {
    ring_buffer_pool pool(size, 16, hardened(4));
    const test::misuse_recorder recorder;
    for (int round = 0; round < 50; ++round) {
      std::vector<void*> held;
      for (int i = 0; i < 20; ++i) {
        held.push_back(pool.allocate(size));
        std::memset(held.back(), round, size);
      }
      test::give_all(pool, held);
    }
    EXPECT_EQ(recorder.count(), 0U) << to_string(recorder.last().kind) << ", size " << size;
    test::expect_whole(pool);
  }
}

TEST(hardened, bytes_written_behind_a_buffer_are_caught_at_its_free) {
  for (const std::size_t size : {1U, 56U, 64U, 100U}) {
    ring_buffer_pool pool(size, 4, hardened(1));
    auto* const held = static_cast<std::byte*>(pool.allocate(size));
    const std::byte right = held[size];
    held[size] = ~right;
    const pool_stats before = pool.stats();
    {
      const test::misuse_recorder recorder;
      pool.deallocate(held);
      EXPECT_EQ(recorder.count(misuse_kind::canary_overwritten), 1U) << "size " << size;
      EXPECT_EQ(recorder.last().pointer, held);
    }
    test::expect_only_misuse_counted(before, pool.stats(), 1);
    held[size] = right;
    pool.deallocate(held);
    test::expect_whole(pool);
  }
}

TEST(hardened, bytes_written_behind_a_handles_buffer_are_caught) {
  const test::misuse_recorder recorder;  // outlives the pool, which reports the buffer once more
  ring_buffer_pool pool(64, 4, hardened());
  {
    const buffer one = pool.alloc(10);
    one.data()[64] = ~one.data()[64];
  }
  EXPECT_EQ(recorder.count(misuse_kind::canary_overwritten), 1U);
  EXPECT_EQ(pool.stats().in_use, 1U) << "not given out again, since somebody may write there";
}

TEST(hardened, a_write_after_free_is_caught_at_the_next_allocation) {
  ring_buffer_pool pool(64, 1, hardened());
  auto* const freed = static_cast<std::byte*>(pool.allocate(64));
  pool.deallocate(freed);
  freed[3] = std::byte{1};
  const test::misuse_recorder recorder;
  void* const next = pool.allocate(64);
  EXPECT_EQ(next, freed);
  EXPECT_EQ(recorder.count(misuse_kind::write_after_free), 1U);
  EXPECT_EQ(recorder.last().pointer, freed);
  EXPECT_EQ(recorder.last().last_freer_thread_id, ::gettid());
  EXPECT_EQ(pool.stats().misuse_count, 1U);
  pool.deallocate(next);
  test::expect_whole(pool);
}

TEST(hardened, a_write_after_free_is_caught_in_zeroed_pools_too) {
  ring_buffer_pool pool(64, 1,
                        {.upstream = nullptr, .zero_on_free = zeroing::all, .hardened = true});
  auto* const freed = static_cast<std::byte*>(pool.allocate(64));
  pool.deallocate(freed);
  freed[0] = std::byte{1};
  const test::misuse_recorder recorder;
  pool.deallocate(pool.allocate(64));
  EXPECT_EQ(recorder.count(misuse_kind::write_after_free), 1U);
  test::expect_whole(pool);
}

TEST(hardened, a_double_free_names_the_thread_that_freed_first) {
  ring_buffer_pool pool(64, 4, hardened());
  void* const pointer = pool.allocate(64);
  std::atomic<std::int32_t> first_freer{0};
  std::thread([&] {
    first_freer = ::gettid();
    pool.deallocate(pointer);
  }).join();
  const test::misuse_recorder recorder;
  pool.deallocate(pointer);
  ASSERT_EQ(recorder.count(misuse_kind::double_free), 1U);
  EXPECT_EQ(recorder.last().last_freer_thread_id, first_freer.load());
  test::expect_whole(pool);
}

TEST(hardened, usual_pools_know_no_last_freer) {
  ring_buffer_pool pool(64, 4);
  void* const pointer = pool.allocate(64);
  pool.deallocate(pointer);
  const test::misuse_recorder recorder;
  pool.deallocate(pointer);
  EXPECT_EQ(recorder.last().last_freer_thread_id, 0);
  test::expect_whole(pool);
}

/// Lets two threads go on at the same moment: spins, since a sleeper would come too late to race.
class starting_line {
 public:
  void wait_for_the_other() {
    const int mine = arrivals_.fetch_add(1);
    const int both = mine - mine % 2 + 2;
    while (arrivals_.load() < both) {
      std::this_thread::yield();
    }
  }

 private:
  std::atomic<int> arrivals_{0};
};

/// Two threads free the same buffer at the same moment, `rounds` times.
void race_to_free(ring_buffer_pool& pool, std::size_t size, int rounds) {
  starting_line start;
  starting_line end;
  std::atomic<void*> pointer{nullptr};
  const auto free_together = [&] {
    start.wait_for_the_other();
    pool.deallocate(pointer.load());
    end.wait_for_the_other();
  };
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      free_together();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    pointer = pool.allocate(size);
    free_together();
  }
  other.join();
}

TEST(hardened, of_two_racing_frees_exactly_one_wins) {
  constexpr int rounds = 10'000;
  ring_buffer_pool pool(64, 4, hardened());
  const test::misuse_recorder recorder;
  race_to_free(pool, 64, rounds);
  EXPECT_EQ(recorder.count(misuse_kind::double_free), std::size_t{rounds});
  EXPECT_EQ(recorder.count(), std::size_t{rounds});
  EXPECT_EQ(pool.stats().free_count, std::uint64_t{rounds});
  test::expect_whole(pool);
}

TEST(hardened, a_double_free_while_elastic_memory_is_trimmed_loses_no_buffer) {
  constexpr std::size_t elastic = 64;
  const test::misuse_recorder recorder;  // outlives the pool
  ring_buffer_pool pool(4096, 1, hardened(elastic));
  void* const ring = pool.allocate(4096);
  for (int round = 0; round < 40; ++round) {
    std::vector<void*> held;
    while (void* const pointer = pool.allocate(4096)) {
      held.push_back(pointer);
    }
    ASSERT_EQ(held.size(), elastic) << "lost in round " << round;
    test::give_all(pool, held);
    std::atomic<bool> trimmed{false};
    std::thread trimmer([&] {
      (void)pool.trim();
      trimmed = true;
    });
    while (!trimmed) {
      test::give_all(pool, held);
    }
    trimmer.join();
  }
  EXPECT_EQ(recorder.count(), recorder.count(misuse_kind::double_free));
  pool.deallocate(ring);
  test::expect_whole(pool);
}

TEST(hardened, buffers_held_at_destruction_are_reported_with_their_number) {
  const test::misuse_recorder recorder;
  {
    test::counting_resource upstream;
    ring_buffer_pool pool(64, 4, {.elastic_capacity = 2, .upstream = &upstream, .hardened = true});
    for (int i = 0; i < 7; ++i) {
      EXPECT_NE(pool.allocate(64), nullptr);
    }
    EXPECT_EQ(recorder.count(), 0U);
  }
  ASSERT_EQ(recorder.count(), 1U);
  EXPECT_EQ(recorder.last().kind, misuse_kind::outstanding_buffers);
  EXPECT_EQ(recorder.last().outstanding_count, 7U);
  EXPECT_EQ(recorder.last().buffer_size, 64U);
  EXPECT_EQ(recorder.last().pointer, nullptr);
}

TEST(hardened, a_set_reports_held_buffers_class_by_class) {
  const test::misuse_recorder recorder;
  {
    multi_size_ring_pool pool({{64, 4}, {1024, 4}, {4096, 4}}, hardened());
    EXPECT_NE(pool.allocate(64), nullptr);
    EXPECT_NE(pool.allocate(4096), nullptr);
    EXPECT_NE(pool.allocate(4096), nullptr);
  }
  EXPECT_EQ(recorder.count(misuse_kind::outstanding_buffers), 2U);
}

TEST(hardened, nothing_is_reported_at_an_orderly_end) {
  const test::misuse_recorder recorder;
  {
    ring_buffer_pool pool(64, 4, hardened(2));
    test::expect_whole(pool);
  }
  {
    ring_buffer_pool usual(64, 4);
    EXPECT_NE(usual.allocate(64), nullptr);
  }
  std::error_code error;
  EXPECT_EQ(ring_buffer_pool::create(64, 3, hardened(), error), nullptr);
  EXPECT_EQ(recorder.count(), 0U);
}

}  // namespace
}  // namespace ringpool
