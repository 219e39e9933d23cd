// SPDX-License-Identifier: MIT
//
// Every path of the pool, some turns of each, for callgrind: it counts the instructions between two
// requests of this program. bench/instruction_budget.py runs it and holds the counts to a budget.

#include <valgrind/callgrind.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <ringpool/ringpool.hpp>
#include <thread>
#include <vector>

namespace {

using ringpool::ring_buffer_pool;

constexpr std::size_t bytes = 512;
constexpr std::size_t turns = 1024;

void use(void* buffer) { *static_cast<volatile char*>(buffer) = 1; }

/// Counts `work()`, which takes `count` turns, under `name`; the script divides.
template <class Work>
void count(const char* name, std::size_t count, Work work) {
  work();  // so that the second time is the usual one
  std::array<char, 64> label{};
  std::snprintf(label.data(), label.size(), "%s/%zu", name, count);
  CALLGRIND_ZERO_STATS;
  work();
  CALLGRIND_DUMP_STATS_AT(label.data());
}

void count_pairs() {
  ring_buffer_pool pool(1024, 1024);
  count("hot pair", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      void* const buffer = pool.allocate(bytes);
      use(buffer);
      pool.deallocate(buffer);
    }
  });
  count("handle pair", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      const ringpool::buffer one = pool.alloc(bytes);
      use(one.data());
    }
  });
  ringpool::multi_size_ring_pool sizes({{64, 256}, {512, 256}, {4096, 256}});
  count("sizes pair", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      void* const buffer = sizes.allocate(bytes);
      use(buffer);
      sizes.deallocate(buffer);
    }
  });
  ring_buffer_pool hardened(1024, 1024, {.hardened = true});
  count("hardened pair", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      hardened.deallocate(hardened.allocate(bytes));
    }
  });
}

/// Past the cache: refills on the way out, flushes on the way back.
void count_moves() {
  ring_buffer_pool pool(1024, 2 * turns);
  std::vector<void*> held(turns);
  const auto take_all = [&] {
    for (void*& buffer : held) {
      buffer = pool.allocate(bytes);
    }
  };
  const auto give_all = [&] {
    for (void* buffer : held) {
      pool.deallocate(buffer);
    }
  };
  take_all();
  give_all();
  CALLGRIND_ZERO_STATS;
  take_all();
  CALLGRIND_DUMP_STATS_AT("take, refills included/1024");
  CALLGRIND_ZERO_STATS;
  give_all();
  CALLGRIND_DUMP_STATS_AT("give, flushes included/1024");
  std::array<void*, 32> batch{};
  count("bulk pair of 32", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      (void)pool.allocate_bulk(batch);
      pool.deallocate_bulk(batch);
    }
  });
}

/// Every buffer is held.
void count_limits() {
  ring_buffer_pool pool(1024, 64, {.elastic_capacity = 256});
  std::array<void*, 64> all{};
  (void)pool.allocate_bulk(all);
  count("elastic pair", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      pool.deallocate(pool.allocate(bytes));
    }
  });
  count("refusal", turns, [&] {
    for (std::size_t i = 0; i < turns; ++i) {
      if (pool.try_allocate(bytes) != nullptr) {
        std::abort();
      }
    }
  });
  pool.deallocate_bulk(all);
}

/// What three threads that are gone have left in their caches.
void count_raid() {
  ring_buffer_pool pool(64, 1024);
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&pool] { pool.deallocate(pool.allocate(1)); });
    others.back().join();
  }
  std::vector<void*> held;
  const std::uint64_t in_reach = pool.stats().available - pool.stats().cached;
  for (std::uint64_t i = 0; i < in_reach; ++i) {
    held.push_back(pool.try_allocate(1));
  }
  while (pool.stats().raid_count == 0) {
    CALLGRIND_ZERO_STATS;
    held.push_back(pool.try_allocate(1));
    CALLGRIND_DUMP_STATS_AT("raid/1");  // the last of that name is the raid
  }
  for (void* buffer : held) {
    pool.deallocate(buffer);
  }
}

}  // namespace

int main() {
  count_pairs();
  count_moves();
  count_limits();
  count_raid();
}
