// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "progress.hpp"

namespace ringpool::tools {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(report, counts_are_grouped_by_thousands) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(report, figures_have_three_digits_and_a_unit) {
  EXPECT_EQ(format_nanoseconds(0), "0 ns");
  EXPECT_EQ(format_nanoseconds(999), "999 ns");
  EXPECT_EQ(format_nanoseconds(1000), "1.00 us");
  EXPECT_EQ(format_nanoseconds(12'345), "12.3 us");
  EXPECT_EQ(format_nanoseconds(8'123'456), "8.12 ms");
  EXPECT_EQ(format_nanoseconds(999'999), "1.00 ms");
  EXPECT_EQ(format_nanoseconds(1'500'000'000), "1.50 s");
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(300.0 * 1024 * 1024), "300 MiB");
  EXPECT_EQ(format_rate(231'234), "231 k/s");
  EXPECT_EQ(format_rate(12), "12 /s");
}

TEST(report, seconds_read_like_a_clock) {
  EXPECT_EQ(format_seconds(-1), "0:00");
  EXPECT_EQ(format_seconds(7.9), "0:07");
  EXPECT_EQ(format_seconds(754), "12:34");
  EXPECT_EQ(format_seconds(3723), "1:02:03");
}

TEST(report, width_counts_characters_and_not_bytes_or_escapes) {
  EXPECT_EQ(display_width("plain"), 5U);
  EXPECT_EQ(display_width("\u00b5s"), 2U);
  EXPECT_EQ(display_width("\x1b[1;31mred\x1b[0m"), 3U);
  EXPECT_EQ(display_width("\x1b["), 0U);
}

TEST(report, text_is_wrapped_between_words_within_the_width) {
  const std::string text = wrap_text("the quick brown fox jumps over the lazy dog", 16, 2);
  EXPECT_EQ(text, "  the quick\n  brown fox\n  jumps over the\n  lazy dog\n");
  EXPECT_EQ(wrap_text("unbreakable", 5, 1), " unbreakable\n");
  EXPECT_EQ(wrap_text("", 10, 1), "");
}

TEST(report, columns_line_up_with_and_without_colours) {
  for (const bool coloured : {false, true}) {
    const palette colours(coloured);
    text_table table({"name", "count"});
    table.add_row({"a", colours.good("1,234,567")});
    table.add_row({"longer name", colours.bad("5")});
    table.add_row({"short of cells"});
    table.add_rule();
    const std::vector<std::string> lines = lines_of(table.render(colours));
    ASSERT_EQ(lines.size(), 5U);
    for (const std::string& line : lines) {
      EXPECT_EQ(display_width(line), display_width(lines[0])) << line;
    }
  }
}

TEST(report, no_escape_is_written_without_colours) {
  const palette plain(false);
  EXPECT_EQ(
      plain.bad("x") + plain.good("x") + plain.title("x") + plain.strong("x") + plain.faint("x"),
      "xxxxx");
  EXPECT_NE(palette(true).bad("x").find('\x1b'), std::string::npos);
}

TEST(report, what_is_no_terminal_gets_no_colour) { EXPECT_FALSE(wants_colour(-1)); }

TEST(progress, a_bar_fits_every_width) {
  const progress_state state{.stage = "malloc, full load 3/4",
                             .fraction = 0.42,
                             .elapsed_seconds = 4,
                             .remaining_seconds = 6,
                             .frames_per_second = 213'000,
                             .faults = 1'234'567};
  for (std::size_t width = 1; width < 200; ++width) {
    EXPECT_LE(progress_bar(state, width).size(), width) << width;
  }
  const std::string wide = progress_bar(state, 120);
  for (const char* const part : {"malloc, full load 3/4 [####", "....]", "42 %", "213 k/s",
                                 "1,234,567 errors", "0:04 gone, 0:06 left"}) {
    EXPECT_NE(wide.find(part), std::string::npos) << wide;
  }
  EXPECT_NE(progress_bar(state, 60).find("errors"),
            std::string::npos);  // the count of errors goes last
}

TEST(progress, the_bar_grows_from_empty_to_full_and_never_beyond) {
  progress_state state{.stage = "load"};
  EXPECT_EQ(progress_bar(state, 80).find('#'), std::string::npos);
  state.fraction = 7.5;
  const std::string full = progress_bar(state, 80);
  EXPECT_EQ(full.find('.'), std::string::npos) << full;
  EXPECT_NE(full.find("100 %"), std::string::npos);
}

TEST(progress, one_error_is_singular) {
  EXPECT_NE(progress_line({.stage = "load", .faults = 1}).find("1 error,"), std::string::npos);
  EXPECT_NE(progress_line({.stage = "load", .faults = 0}).find("0 errors,"), std::string::npos);
}

}  // namespace
}  // namespace ringpool::tools
