// SPDX-License-Identifier: MIT
//
// Threads that copy, slice, read and drop handles on the same buffers: each goes back once, when no
// handle is left, and nobody sees its bytes change before.

#include "shared_traffic.hpp"

#include <gtest/gtest.h>

#include "scale.hpp"

namespace ringpool::stress {
namespace {

template <class Pool>
void expect_sound(Pool& pool, const shared_plan& plan) {
  verdict log;
  shared_traffic<Pool> body(pool, plan, log);
  body.run();
  EXPECT_TRUE(log.clean()) << log.text();
  EXPECT_GT(body.owned_again(), 0U) << "nobody was ever the only owner";
}

TEST(shared_traffic, of_ring_buffers) {
  ring_buffer_pool pool(128, 64, {.upstream = nullptr});
  expect_sound(pool, {.threads = 4, .rounds = scaled(400'000)});
}

TEST(shared_traffic, of_one_place_that_all_copy_from) {
  ring_buffer_pool pool(64, 8, {.upstream = nullptr});
  expect_sound(pool, {.threads = 8, .rounds = scaled(100'000), .hold = 3, .places = 1, .size = 64});
}

TEST(shared_traffic, of_a_hardened_pool) {
  ring_buffer_pool pool(128, 32, {.upstream = nullptr, .hardened = true});
  expect_sound(pool, {.threads = 4, .rounds = scaled(150'000)});
}

TEST(shared_traffic, of_a_set_with_elastic_and_upstream) {
  verdict log;
  multi_size_ring_pool set({{64, 4}, {128, 4}}, {.elastic_capacity = 8});
  run_together(4, [&](unsigned number) {
    random_source random(number + 1);
    std::vector<shared_buffer> held;
    for (std::size_t i = 0; i < scaled(60'000); ++i) {
      if (held.size() < 8) {
        held.emplace_back(set.alloc(1 + random.below(160), std::nothrow));
        held.push_back(held.back().slice(0, held.back().size() / 2));
      } else {
        std::swap(held[random.below(held.size())], held.back());
        held.pop_back();
      }
    }
  });
  require_whole(set, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

}  // namespace
}  // namespace ringpool::stress
