// SPDX-License-Identifier: MIT
#include "advise/read_live.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringpool::tools {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string live_error(const std::string& text) {
  try {
    static_cast<void>(traffic_of_statistics("127.0.0.1:9464", text));
  } catch (const read_error& error) {
    return error.what();
  }
  return "";
}

TEST(read_live, a_class_is_a_size_as_often_as_it_was_given) {
  const traffic found = traffic_of_statistics("127.0.0.1:9464", R"({"uptime_s": 10.0, "classes": [
      {"buffer_size": 64, "alloc_count": 1000, "in_use": 5, "peak_in_use": 9},
      {"buffer_size": 256, "alloc_count": 0, "in_use": 0},
      {"buffer_size": 4096, "alloc_count": 5000000000, "in_use": 0, "peak_in_use": 3}]})");
  EXPECT_FALSE(found.timed);
  ASSERT_EQ(found.samples.size(), 3U);
  EXPECT_EQ(found.samples[0].bytes, 64U);
  EXPECT_EQ(found.samples[0].weight, 1000U);
  EXPECT_EQ(found.samples[0].held_ns, 50'000'000);  // 5 of 100 a second
  EXPECT_EQ(found.samples[1].held_ns, -1);
  EXPECT_EQ(std::uint64_t{found.samples[1].weight} + found.samples[2].weight, 5'000'000'000U);
  EXPECT_THAT(found.remarks, Contains("buffers of 64 bytes: 5 in use, 9 at most so far"));
}

TEST(read_live, sizes_of_frames_come_before_classes_where_the_server_counts_them) {
  const traffic found = traffic_of_statistics("127.0.0.1:9464", R"({"uptime_s": 10.0,
      "size_histogram": [{"le": 64, "count": 300}, {"le": 192, "count": 100}, {"le": "x"}, 7],
      "classes": [{"buffer_size": 4096, "alloc_count": 400, "in_use": 4, "peak_in_use": 9}]})");
  ASSERT_EQ(found.samples.size(), 2U);
  EXPECT_EQ(found.samples[0].bytes, 64U);
  EXPECT_EQ(found.samples[0].weight, 300U);
  EXPECT_EQ(found.samples[1].bytes, 192U);
  EXPECT_EQ(found.samples[1].weight, 100U);
  EXPECT_EQ(found.samples[1].held_ns, 100'000'000);  // 4 of 40 a second
  EXPECT_THAT(found.remarks, Contains(HasSubstr("by whole cache lines")));
}

TEST(read_live, an_answer_of_something_else_is_an_error_that_says_what_is_accepted) {
  for (const char* const text :
       {"", "{", "[]", "7", "{}", R"({"classes": 3})", R"({"classes": [3, {}]})",
        R"({"classes": [{"buffer_size": -1, "alloc_count": 2}]})"}) {
    EXPECT_THAT(live_error(text), HasSubstr("accepted: ")) << text;
  }
}

TEST(read_live, an_address_that_is_none_or_does_not_answer_is_an_error_that_names_it) {
  for (const char* const address : {"", "nowhere", "127.0.0.1:0", "127.0.0.1:1"}) {
    try {
      static_cast<void>(read_live(address));
      FAIL();
    } catch (const read_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(address));
      EXPECT_THAT(error.what(), HasSubstr("; accepted: ADDR:PORT"));
    }
  }
}

}  // namespace
}  // namespace ringpool::tools
