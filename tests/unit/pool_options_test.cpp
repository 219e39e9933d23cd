// SPDX-License-Identifier: MIT
#include "ringpool/pool_options.hpp"

#include <gtest/gtest.h>

#include <string>
#include <system_error>
#include <vector>

#include "../support/books.hpp"
#include "../support/pages.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool {
namespace {

/// What the error of a set says; "" if it is accepted.
std::string error_of(const std::vector<size_class>& classes, const pool_options& options = {}) {
  try {
    const multi_size_ring_pool pool(classes, options);
    return "";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), errc::invalid_option) << error.what();
    return error.what();
  }
}

void expect_says(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << '"' << text << "\" does not say " << part;
}

TEST(pool_options, a_floor_above_the_elastic_capacity_is_refused_and_says_what_is_accepted) {
  expect_says(error_of({{64, 4}}, {.elastic_capacity = 8, .elastic_floor = 9}),
              "elastic_floor 9: accepted are 0 to elastic_capacity, which is 8");
  EXPECT_EQ(error_of({{64, 4}}, {.elastic_capacity = 8, .elastic_floor = 8}), "");
}

TEST(pool_options, a_spill_that_cannot_happen_is_refused_and_says_what_is_accepted) {
  expect_says(error_of({{64, 4}}, {.spill = {.class_count = 64, .buffer_limit = 1}}),
              "spill.class_count 64: accepted are 0 to 63");
  expect_says(error_of({{64, 4}}, {.spill = {.class_count = 1, .buffer_limit = max_capacity + 1}}),
              "spill.buffer_limit 1073741825: accepted are 0 to 1073741824");
  expect_says(error_of({{64, 4}, {128, 4}}, {.spill = {.class_count = 1}}),
              "spill.class_count 1, and no class lends a buffer");
  EXPECT_EQ(error_of({{64, 4}, {128, 4, {.spill_limit = 2}}}, {.spill = {.class_count = 1}}), "");
}

TEST(pool_options, a_pool_alone_looks_at_no_spill) {
  ring_buffer_pool pool(64, 1, {.spill = {.class_count = 3}, .upstream = nullptr});
  const buffer one = pool.alloc(64);
  EXPECT_FALSE(pool.alloc(64, std::nothrow));
  EXPECT_EQ(pool.stats().spill_count, 0U);
}

TEST(class_settings, an_error_names_the_class_as_it_was_given) {
  expect_says(
      error_of({{4096, 2, {.elastic_floor = 3}}, {64, 4}}),
      "class 0 (size 4096): elastic_floor 3: accepted are 0 to elastic_capacity, which is 0");
  expect_says(error_of({{4096, 2}, {64, 4, {.cache_limit = 1000}}}),
              "class 1 (size 64): cache_limit 1000: accepted are 0 to 184");
  expect_says(error_of({{64, 4}, {128, 2, {.elastic_capacity = max_capacity + 1}}}),
              "class 1 (size 128): elastic_capacity 1073741825");
  expect_says(error_of({{64, 4}, {128, 2, {.spill_limit = max_capacity + 1}}},
                       {.spill = {.class_count = 1, .buffer_limit = 1}}),
              "class 1 (size 128): spill.buffer_limit 1073741825");
  expect_says(
      error_of({{64, 4}, {128, 2, {.elastic_capacity = 2}}},
               {.elastic_capacity = 8, .elastic_floor = 4}),
      "class 1 (size 128): elastic_floor 4: accepted are 0 to elastic_capacity, which is 2");
}

TEST(class_settings, what_a_class_does_not_say_is_the_sets) {
  multi_size_ring_pool pool(
      {{64, 4},
       {128, 4, {.elastic_capacity = 7, .elastic_floor = 2, .cache_limit = 0}},
       {4096,
        64,
        {.elastic_capacity = 0, .elastic_floor = 0, .spill_limit = 5, .prefault = false}}},
      {.elastic_capacity = 3,
       .elastic_floor = 1,
       .spill = {.class_count = 1, .buffer_limit = 9},
       .upstream = nullptr,
       .cache_limit = 16});
  const auto options = [&](std::size_t i) -> const pool_options& {
    return pool.classes()[i].options();
  };
  EXPECT_EQ(options(0).elastic_capacity, 3U);
  EXPECT_EQ(options(0).elastic_floor, 1U);
  EXPECT_EQ(options(0).cache_limit, 16U);
  EXPECT_EQ(options(0).spill.buffer_limit, 9U);
  EXPECT_TRUE(options(0).memory.prefault);
  EXPECT_EQ(options(1).elastic_capacity, 7U);
  EXPECT_EQ(options(1).elastic_floor, 2U);
  EXPECT_EQ(options(1).cache_limit, 0U);
  EXPECT_EQ(options(2).elastic_capacity, 0U);
  EXPECT_EQ(options(2).spill.buffer_limit, 5U);
  EXPECT_EQ(options(2).spill.class_count, 1U);
  EXPECT_FALSE(options(2).memory.prefault);
  const std::span<std::byte> large = pool.classes()[2].ring_storage();
  EXPECT_EQ(test::resident_bytes(large.data(), large.size()), 0U);
  const std::span<std::byte> small = pool.classes()[1].ring_storage();
  EXPECT_EQ(small.size(), 512U);
  test::expect_whole(pool);
}

TEST(class_settings, every_class_has_the_elastic_buffers_that_it_asked_for) {
  multi_size_ring_pool pool({{64, 1, {.elastic_capacity = 2}}, {128, 1}}, {.upstream = nullptr});
  std::vector<void*> held;
  for (const std::size_t size : {64U, 128U}) {
    while (void* const one = pool.allocate(size)) {
      held.push_back(one);
    }
  }
  EXPECT_EQ(held.size(), 4U);
  EXPECT_EQ(pool.stats().classes[0].elastic_in_use, 2U);
  EXPECT_EQ(pool.stats().classes[1].elastic_capacity, 0U);
  test::give_all(pool, held);
  test::expect_whole(pool);
}

}  // namespace
}  // namespace ringpool
