// SPDX-License-Identifier: MIT
#include "ringpool/size_classes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace ringpool {
namespace {

/// A table with its memory, and the classes that it was made for.
struct table_under_test {
  explicit table_under_test(std::vector<std::size_t> sizes) {
    std::sort(sizes.begin(), sizes.end());
    for (const std::size_t size : sizes) {
      classes.push_back({size, 1});
    }
    entries.resize(size_class_table::entry_count(sizes.back()));
    table.reset(classes, entries.data());
  }
  [[nodiscard]] std::size_t largest() const { return classes.back().buffer_size; }
  /// The smallest class that holds `size`, by looking at all.
  [[nodiscard]] std::size_t by_search(std::size_t size) const {
    std::size_t fit = 0;
    while (classes[fit].buffer_size < size) {
      ++fit;
    }
    return fit;
  }
  std::vector<size_class> classes;
  std::vector<std::uint8_t> entries;
  size_class_table table;
};

/// The class of the least size of its entry, so that no size is sent to a class too large; sizes
/// above the table's are left to the slow path.
void expect_right(const table_under_test& one, std::size_t size) {
  constexpr std::size_t table_end = size_class_table::max_entries * 64;
  ASSERT_EQ(one.table.covers(size), size <= table_end) << size;
  if (size <= table_end) {
    const std::size_t least = (size - 1) / 64 * 64 + 1;
    ASSERT_EQ(one.table.class_of(size), one.by_search(least))
        << "size " << size << " of " << one.largest();
  }
}

TEST(size_classes, agree_with_a_search_for_every_size) {
  for (const auto& sizes : std::vector<std::vector<std::size_t>>{
           {64},
           {1},
           {63},
           {65},
           {64, 128, 256, 512, 1024, 2048, 4096},
           {100, 1000, 1500, 9000},
           {1, 63, 127, 192},
           {100, 1000, 1500, 70'000},
           {10, 1000, 1001 + 64, 4096},
           {64, 65'536},
           {8, 16, 32, 64},
       }) {
    const table_under_test one(sizes);
    for (std::size_t size = 1; size <= one.largest(); ++size) {
      ASSERT_NO_FATAL_FAILURE(expect_right(one, size));
    }
  }
}

TEST(size_classes, agree_with_a_search_for_random_classes_a_granule_apart) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::size_t> sizes;
    std::size_t size = 0;
    for (std::size_t i = 0, count = 1 + random() % 60; i < count; ++i) {
      size += 64 + random() % 500;
      sizes.push_back(size);
    }
    const table_under_test one(sizes);
    for (std::size_t i = 1; i <= one.largest(); i += 1 + random() % 7) {
      ASSERT_NO_FATAL_FAILURE(expect_right(one, i));
    }
    ASSERT_NO_FATAL_FAILURE(expect_right(one, one.largest()));
  }
}

TEST(size_classes, agree_with_a_search_at_the_borders_of_huge_classes) {
  const table_under_test one({64, 4096, 1 << 20, 1 << 22, std::size_t{1} << 31, max_buffer_size});
  for (const size_class& border : one.classes) {
    for (const std::size_t size : {border.buffer_size - 1, border.buffer_size,
                                   std::min(border.buffer_size + 1, max_buffer_size)}) {
      ASSERT_NO_FATAL_FAILURE(expect_right(one, size));
    }
  }
}

TEST(size_classes, need_no_second_look_when_sizes_are_whole_lines) {
  const table_under_test one({64, 128, 256, 320, 1024, 9024});
  for (std::size_t size = 1; size <= one.largest(); ++size) {
    ASSERT_EQ(one.table.class_of(size), one.by_search(size));
  }
}

TEST(size_classes, cover_neither_zero_nor_what_is_above_the_largest) {
  const table_under_test one({64, 1024});
  EXPECT_FALSE(one.table.covers(0));
  EXPECT_TRUE(one.table.covers(1));
  EXPECT_TRUE(one.table.covers(1024));
  EXPECT_FALSE(one.table.covers(1025));
  EXPECT_FALSE(one.table.covers(~std::size_t{0}));
  EXPECT_FALSE(size_class_table{}.covers(1)) << "before reset";
}

TEST(size_classes, never_take_more_entries_than_the_most) {
  for (const std::size_t largest :
       {std::size_t{1}, std::size_t{64}, std::size_t{65}, std::size_t{1} << 22,
        (std::size_t{1} << 22) + 1, std::size_t{1} << 31, max_buffer_size}) {
    const std::size_t count = size_class_table::entry_count(largest);
    EXPECT_GE(count, 1U);
    EXPECT_LE(count, size_class_table::max_entries) << largest;
  }
  EXPECT_EQ(size_class_table::entry_count(64), 1U);
  EXPECT_EQ(size_class_table::entry_count(65), 2U);
}

}  // namespace
}  // namespace ringpool
