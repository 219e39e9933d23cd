// SPDX-License-Identifier: MIT
//
// With capacity N, any mixture of threads gets exactly N buffers before it is refused: threads that
// died with full caches, that sit idle on full caches, that are being born.
//
// Not here: more threads than max_thread_slots (16,384). That many threads cost minutes on a small
// machine. What they would run, a thread without a slot, runs in thread_lifetimes_test.cpp.

#include "exact_capacity.hpp"

#include <gtest/gtest.h>

#include <tuple>

#include "scale.hpp"

namespace ringpool::stress {
namespace {

constexpr std::size_t buffer_bytes = 64;

pool_options options_with(bool membarrier) {
  pool_options options;
  options.upstream = nullptr;
  options.use_membarrier = membarrier;
  options.memory.prefault = false;
  return options;
}

class exact_capacity_of : public testing::TestWithParam<std::tuple<std::size_t, unsigned, bool>> {
 protected:
  [[nodiscard]] static std::size_t capacity() { return std::get<0>(GetParam()); }
  [[nodiscard]] static unsigned threads() { return std::get<1>(GetParam()); }
  [[nodiscard]] static bool membarrier() { return std::get<2>(GetParam()); }
};

TEST_P(exact_capacity_of, any_mixture_of_threads_is_exact) {
  const unsigned n = threads();
  const mixture mixtures[] = {
      {.taking = n},
      {.dead = n, .taking = 1},
      {.idle = n, .taking = 1},
      {.dead = n / 2, .idle = n - n / 2, .taking = n},
      {.dead = n, .idle = n, .taking = n, .at_once = false},
  };
  for (const mixture& crew : mixtures) {
    verdict log;
    ring_buffer_pool pool(buffer_bytes, capacity(), options_with(membarrier()));
    exact_capacity(pool, crew, log);
    EXPECT_TRUE(log.clean()) << log.text() << crew.dead << " dead, " << crew.idle << " idle, "
                             << crew.taking << " taking";
  }
}

TEST_P(exact_capacity_of, elastic_buffers_behind_the_ring_are_exact_too) {
  const std::size_t elastic = capacity() + 3;  // elastic capacities need not be powers of two
  pool_options options = options_with(membarrier());
  options.elastic_capacity = elastic;
  ring_buffer_pool pool(buffer_bytes, capacity(), options);
  verdict log;
  const auto fill = [&](unsigned) {
    std::vector<void*> held;
    while (void* data = pool.allocate(buffer_bytes)) {
      held.push_back(data);
    }
    for (void* data : held) {
      pool.deallocate(data);
    }
  };
  { const idle_crew dead(threads() / 2, fill); }
  const idle_crew idle(threads() - threads() / 2, fill);
  require_exactly(pool, buffer_bytes, capacity(), log);  // try_allocate: the ring alone
  std::vector<void*> held;
  while (void* data = pool.allocate(buffer_bytes)) {
    claim(data, 7, log);
    held.push_back(data);
  }
  EXPECT_EQ(held.size(), capacity() + elastic);
  EXPECT_EQ(pool.stats().elastic_in_use, elastic);
  give_all_back(pool, held, 7, log);
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

INSTANTIATE_TEST_SUITE_P(pools, exact_capacity_of,
                         testing::Combine(testing::Values(1, 2, 4, 64, 4096),
                                          testing::Values(1, 2, 7, 24, 64), testing::Bool()),
                         [](const testing::TestParamInfo<exact_capacity_of::ParamType>& about) {
                           return std::to_string(std::get<0>(about.param)) + "_buffers_" +
                                  std::to_string(std::get<1>(about.param)) + "_threads" +
                                  (std::get<2>(about.param) ? "" : "_fenced");
                         });

TEST(exact_capacity, the_mixtures_really_leave_buffers_in_caches) {
  ring_buffer_pool pool(buffer_bytes, 4096, options_with(true));
  verdict log;
  const auto fill = [&](unsigned number) { fill_cache(pool, 1 + number, log); };
  { const idle_crew dead(8, fill); }
  const std::uint64_t of_the_dead = pool.stats().cached;
  EXPECT_GE(of_the_dead, 8U);
  const idle_crew idle(16, fill);
  EXPECT_GE(pool.stats().cached, 16U);
  EXPECT_TRUE(log.clean()) << log.text();
}

}  // namespace
}  // namespace ringpool::stress
