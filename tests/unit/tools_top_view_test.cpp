// SPDX-License-Identifier: MIT
#include "top/top_view.hpp"

#include <sstream>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "page/page.hpp"
#include "serve.hpp"

namespace ringpool::tools {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

server_stats some_stats() {
  server_stats stats;
  stats.loops = 4;
  stats.frames = 1000;
  stats.bytes = 64'000;
  stats.connections_open = 2000;
  stats.connections_idle = 1990;
  stats.connections_accepted = 2005;
  stats.closed_by[1] = 5;
  stats.resident_bytes = std::uint64_t{42} << 20U;
  pool_stats& one = stats.classes.emplace_back();
  one.buffer_size = 1024;
  one.ring_size = 2048;
  one.in_use = 512;
  one.available = 1536;
  one.cached = 512;
  one.peak_in_use = 1536;
  one.alloc_count = 9000;
  one.free_count = 8488;
  return stats;
}

top_picture picture_of(const server_stats& before, const server_stats& now, double seconds) {
  top_picture picture;
  picture.address = "127.0.0.1:9100";
  picture.before = parse_live_stats(to_json(before));
  picture.now = parse_live_stats(to_json(now));
  picture.seconds = seconds;
  picture.clock = "17:41:22";
  return picture;
}

std::string drawn(const top_picture& picture, std::size_t width = 120, bool colour = false) {
  return render(picture, {.width = width, .blocks = false}, palette(colour));
}

std::size_t widest_line(const std::string& text) {
  std::istringstream in(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(in, line);) {
    widest = std::max(widest, display_width(line));
  }
  return widest;
}

TEST(live_stats, what_a_server_writes_is_read_back) {
  const live_stats read = parse_live_stats(to_json(some_stats()));
  EXPECT_EQ(read.stats.frames, 1000U);
  EXPECT_EQ(read.stats.connections_open, 2000U);
  EXPECT_EQ(read.stats.connections_closed(), 5U);
  ASSERT_EQ(read.stats.classes.size(), 1U);
  EXPECT_EQ(read.stats.classes[0].cached, 512U);
  EXPECT_FALSE(read.service.has_value());
}

TEST(live_stats, what_is_wrong_with_an_answer_is_named) {
  const auto why = [](const std::string& text) -> std::string {
    try {
      static_cast<void>(parse_live_stats(text));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_EQ(why("<html>"), "what it says is not a JSON object");
  EXPECT_EQ(why("[1]"), "what it says is not a JSON object");
  EXPECT_THAT(why("{}"), HasSubstr("key 'buffers' not found"));
  json said = json::parse(to_json(some_stats()));
  said["frames"] = "many";
  EXPECT_THAT(why(said.dump()), HasSubstr("type must be number"));
  said["frames"] = 5;
  said["classes"] = json::array({1});
  EXPECT_THAT(why(said.dump()), HasSubstr("not those of ringpool"));
}

TEST(live_stats, quantiles_come_out_of_a_histogram_of_the_time_between) {
  live_stats before;
  live_stats now;
  before.service_upper_ns = now.service_upper_ns = {1000, 2000, 4000};
  before.service_counts = {500, 0, 0, 0};
  now.service_counts = {500, 100, 0, 0};
  const auto times = service_between(before, now);
  ASSERT_TRUE(times.has_value());
  EXPECT_DOUBLE_EQ(times->p50_us, 1.5);
  EXPECT_DOUBLE_EQ(times->p99_us, 1.99);
  EXPECT_FALSE(service_between(now, now).has_value());
  now.service_counts = {1, 1};
  EXPECT_FALSE(service_between(before, now).has_value());
}

TEST(top_view, shows_rates_between_two_answers) {
  server_stats now = some_stats();
  now.frames += 463'000;
  now.bytes += 2U << 20U;
  now.classes[0].alloc_count += 20'000;
  const std::string text = drawn(picture_of(some_stats(), now, 2.0));
  EXPECT_THAT(text, HasSubstr("OK    all well"));
  EXPECT_THAT(text, HasSubstr("frames       232 k/s"));
  EXPECT_THAT(text, HasSubstr("payload      1.00 MiB/s"));
  EXPECT_THAT(text, HasSubstr("2,000 open, 1,990 idle, 0 /s accepted, 0 /s closed"));
  EXPECT_THAT(text, HasSubstr("42.0 MiB resident"));
  EXPECT_THAT(text, HasSubstr("closed by    5 peer"));
  EXPECT_THAT(text, HasSubstr("10.0 k"));
}

TEST(top_view, of_one_answer_alone_shows_dashes_for_rates) {
  top_picture picture = picture_of(some_stats(), some_stats(), 1.0);
  picture.before.reset();
  const std::string text = drawn(picture);
  EXPECT_THAT(text, HasSubstr("frames       - /s"));
  EXPECT_THAT(text, HasSubstr("payload      -/s"));
  EXPECT_THAT(text, HasSubstr("service time - median"));
}

TEST(top_view, draws_held_cached_free_and_the_peak) {
  const std::string text = drawn(picture_of(some_stats(), some_stats(), 1.0), 200);
  EXPECT_THAT(text, HasSubstr("[" + std::string(10, '#') + std::string(10, '+') +
                              std::string(9, '.') + "|" + std::string(10, '.') + "]"));
}

TEST(top_view, draws_elastic_buffers_beyond_the_ring) {
  server_stats now = some_stats();
  now.classes[0].in_use = 2048;
  now.classes[0].available = now.classes[0].cached = 0;
  now.classes[0].elastic_capacity = 2048;
  now.classes[0].elastic_in_use = 1024;
  EXPECT_THAT(
      drawn(picture_of(some_stats(), now, 1.0), 200),
      HasSubstr("[" + std::string(20, '#') + std::string(10, '%') + std::string(10, '.') + "]"));
}

TEST(top_view, a_share_too_small_for_a_cell_still_has_one) {
  server_stats now = some_stats();
  now.classes[0].in_use = 1;
  now.classes[0].available = 2047;
  now.classes[0].cached = 1;
  now.classes[0].peak_in_use = 2;
  EXPECT_THAT(drawn(picture_of(some_stats(), now, 1.0)), HasSubstr("[#+.."));
}

TEST(top_view, is_never_wider_than_the_terminal_and_keeps_the_verdict) {
  server_stats now = some_stats();
  now.classes[0].refusal_count = 120;
  for (std::size_t width = 1; width <= 200; ++width) {
    for (const bool colour : {false, true}) {
      const std::string text = drawn(picture_of(some_stats(), now, 1.0), width, colour);
      ASSERT_LE(widest_line(text), width);
      if (width >= 50) {
        ASSERT_THAT(text, HasSubstr("class 1024 had no buffer: 120 refusals/s"));
        ASSERT_THAT(text, HasSubstr("held"));
        ASSERT_THAT(text, HasSubstr("refused/s"));
      }
    }
  }
}

TEST(top_view, takes_the_verdict_of_the_server_where_it_says_one) {
  top_picture picture = picture_of(some_stats(), some_stats(), 1.0);
  picture.now->status = verdict{verdict_level::warn, "something", {}};
  EXPECT_THAT(drawn(picture), HasSubstr("WARN  something\n"));
}

TEST(top_view, says_when_the_server_is_gone_and_of_when_the_rest_is) {
  top_picture picture = picture_of(some_stats(), some_stats(), 1.0);
  picture.trouble = "no statistics from 127.0.0.1:9100: nothing answers there";
  const std::string text = drawn(picture);
  EXPECT_THAT(text,
              HasSubstr("GONE  no statistics from 127.0.0.1:9100: nothing answers there; what "
                        "follows is of 17:41:22\n"));
  EXPECT_THAT(text, HasSubstr("2,000 open"));
  EXPECT_THAT(text, Not(HasSubstr("all well")));
}

TEST(top_view, without_a_pool_there_is_no_table) {
  server_stats stats = some_stats();
  stats.buffers = buffer_kind::malloc;
  stats.classes.clear();
  EXPECT_THAT(drawn(picture_of(stats, stats, 1.0)), HasSubstr("no pool"));
}

TEST(top_view, the_line_of_rates_fits_and_its_newest_is_on_the_right) {
  top_picture picture = picture_of(some_stats(), some_stats(), 1.0);
  picture.frame_rates = std::vector<double>(180, 70.0);
  picture.frame_rates.back() = 0.0;
  const std::string text = render(picture, {.width = 80, .blocks = true}, palette(false));
  EXPECT_LE(widest_line(text), 80U);
  EXPECT_THAT(text, HasSubstr("\u2588\u2581\n"));
}

TEST(top_view, lines_are_cut_by_columns_and_not_by_bytes_or_escapes) {
  EXPECT_EQ(cut_line("abcdef", 3), "abc");
  EXPECT_EQ(cut_line("\u2588\u2588\u2588", 2), "\u2588\u2588");
  EXPECT_EQ(cut_line("\x1b[31mabc\x1b[0m", 2), "\x1b[31mab\x1b[0m");
  EXPECT_EQ(cut_line("\x1b[", 2), "\x1b[");
}

TEST(page, is_one_document_below_40_kb) {
  EXPECT_TRUE(page_html().starts_with("<!doctype html>"));
  EXPECT_TRUE(page_html().ends_with("</html>\n"));
  EXPECT_LT(page_html().size(), 40'000U);
}

}  // namespace
}  // namespace ringpool::tools
