// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/memory_file.hpp"
#include "advise/readers.hpp"

namespace ringpool::tools {
namespace {

using ::testing::HasSubstr;

traffic read_text(const std::string& text) {
  const test::memory_file file(text);
  return read_table({.path = file.path()});
}

std::string table_error(const std::string& text) {
  try {
    read_text(text);
  } catch (const read_error& error) {
    return error.what();
  }
  return "";
}

TEST(read_table, sizes_and_counts_are_weights_without_times) {
  const traffic found = read_text("size,count\n64,10\n1500,3\n64,5\n80,0\n");
  EXPECT_FALSE(found.timed);
  ASSERT_EQ(found.samples.size(), 2U);
  EXPECT_EQ(found.samples[0].bytes, 64U);
  EXPECT_EQ(found.samples[0].weight, 15U);
  EXPECT_EQ(found.samples[1].bytes, 1500U);
  EXPECT_EQ(found.samples[1].weight, 3U);
  EXPECT_THAT(found.source, HasSubstr("4 rows, 18 allocations"));
}

TEST(read_table, a_count_beyond_a_weight_is_several_samples) {
  const traffic found = read_text("count,size\n10000000000,64\n");
  std::uint64_t sum = 0;
  for (const traffic_sample& one : found.samples) {
    sum += one.weight;
  }
  EXPECT_EQ(sum, 10'000'000'000U);
}

TEST(read_table, events_have_times_and_may_come_in_any_order) {
  const traffic found =
      read_text("size,at_ns,held_ns,weight\n10,2000,7,2\n20,1500,,1\n30,1600,-1,1\n");
  EXPECT_TRUE(found.timed);
  ASSERT_EQ(found.samples.size(), 3U);
  EXPECT_EQ(found.samples[0].bytes, 20U);
  EXPECT_EQ(found.samples[0].at_ns, 0);
  EXPECT_EQ(found.samples[0].held_ns, -1);
  EXPECT_EQ(found.samples[1].held_ns, -1);
  EXPECT_EQ(found.samples[2].at_ns, 500);
  EXPECT_EQ(found.samples[2].held_ns, 7);
  EXPECT_EQ(found.samples[2].weight, 2U);
}

TEST(read_table, quotes_crlf_bom_comments_and_blanks_are_taken) {
  const traffic found = read_text(
      "\xef\xbb\xbf# sizes of a day\r\n\r\n \"size\" ,\tcount\r\n  # more\r\n \"64\",10 \r\n\t128 "
      ", "
      "\"2\"\r\n");
  ASSERT_EQ(found.samples.size(), 2U);
  EXPECT_EQ(found.samples[1].bytes, 128U);
  EXPECT_EQ(found.samples[1].weight, 2U);
}

TEST(read_table, an_error_has_line_and_column_and_says_what_is_accepted) {
  const std::vector<std::pair<const char*, const char*>> tables{
      {"", "an empty table; accepted: a header line of the columns size,count or"},
      {"64,10\n", "line 1, column 1: '64' is no column's name; accepted: a header line"},
      {"size,size\n", "line 1, column 6: the column size is there twice"},
      {"size,weight\n", "line 1, column 1: these columns do not make a table"},
      {"size,count\n", "no rows below its header; accepted: one or more"},
      {"size,count\n64,10\n64,ten\n",
       "line 3, column 4: 'ten' is no count; accepted: a whole number from 0 to 1000000000000"},
      {"size,count\n#\n0,10\n",
       "line 3, column 1: '0' is no size; accepted: a whole number from 1"},
      {"size,count\n1073741825,1\n", "column 1: '1073741825' is no size"},
      {"size,count\n64\n", "line 2, column 3: 1 cells; accepted: 2, as in the header"},
      {"size,count\n64,1,9\n", "line 2, column 6: 3 cells; accepted: 2, as in the header"},
      {"size,count\n64,\n", "line 2, column 4: count is missing"},
      {"size,count\n64,-1\n", "line 2, column 4: '-1' is no count"},
      {"size,count\n64,1.5\n", "line 2, column 4: '1.5' is no count"},
      {"size,count\n64,18446744073709551616\n", "'18446744073709551616' is no count"},
      {"size,count\n\"64,1\n", "line 2, column 1: a quote that is not closed in its line"},
      {"size,count\n\"64\"0,1\n", "line 2, column 5: text behind a closed quote"},
      {"at_ns,held_ns,size\n1,x,3\n", "line 2, column 3: 'x' is no held_ns"},
      {"size,count\n\x01\x02,1\n", "is no size; accepted: a whole number"},
  };
  for (const auto& [text, expected] : tables) {
    const std::string said = table_error(text);
    EXPECT_THAT(said, HasSubstr(expected));
    EXPECT_THAT(said, HasSubstr("accepted: "));
  }
  EXPECT_THAT(table_error("size,count\n" + std::string(70'000, '1')),
              HasSubstr("line 2, column 65536: the line is too long"));
}

}  // namespace
}  // namespace ringpool::tools
