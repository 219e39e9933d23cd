// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ringpool/config.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "advise/advice.hpp"
#include "advise/advise_options.hpp"
#include "advise/class_load.hpp"
#include "advise/classes.hpp"
#include "advise/forecast.hpp"
#include "advise/traffic_input.hpp"
#include "serve_options.hpp"

namespace ringpool::tools {
namespace {

using class_sizes = std::vector<std::uint32_t>;

traffic timed_traffic(std::vector<traffic_sample> samples) {
  traffic result;
  result.samples = std::move(samples);
  result.timed = true;
  result.source = "a test";
  return result;
}

traffic counted_traffic(std::vector<traffic_sample> samples) {
  traffic result = timed_traffic(std::move(samples));
  result.timed = false;
  return result;
}

TEST(advise_sizes, a_size_counts_as_long_as_it_is_held) {
  const size_histogram histogram(timed_traffic({{.at_ns = 0, .held_ns = 10, .bytes = 100},
                                                {.at_ns = 1, .held_ns = 30, .bytes = 40},
                                                {.at_ns = 2, .held_ns = 0, .bytes = 100}}));
  ASSERT_EQ(histogram.bins().size(), 2U);
  EXPECT_TRUE(histogram.weighs_time());
  EXPECT_EQ(histogram.bins()[0].presence, 30.0);
  EXPECT_EQ(histogram.bins()[1].presence, 11.0);  // none is held for no time at all
  EXPECT_EQ(histogram.bins()[1].allocations, 2.0);
}

TEST(advise_sizes, without_times_every_allocation_counts_alike) {
  const size_histogram histogram(
      counted_traffic({{.held_ns = 10, .bytes = 100}, {.bytes = 40, .weight = 5}}));
  EXPECT_FALSE(histogram.weighs_time());
  EXPECT_EQ(histogram.bins()[0].presence, 5.0);
  EXPECT_EQ(histogram.quantile_bytes(0.8), 40U);
  EXPECT_EQ(histogram.quantile_bytes(0.84), 100U);
  EXPECT_EQ(histogram.quantile_bytes(1.0), 100U);
}

TEST(advise_classes, sizes_of_no_traffic_are_none) {
  EXPECT_TRUE(best_class_sizes(size_histogram(traffic{}), {.count = 3}).empty());
}

TEST(advise_classes, there_are_no_more_classes_than_cache_lines_in_use) {
  const size_histogram histogram(counted_traffic({{.bytes = 3}, {.bytes = 64}, {.bytes = 65}}));
  EXPECT_EQ(best_class_sizes(histogram, {.count = 9}), (class_sizes{64, 128}));
}

TEST(advise_classes, what_is_above_the_quantile_gets_no_class) {
  const size_histogram histogram(
      counted_traffic({{.bytes = 60, .weight = 99}, {.bytes = 5000, .weight = 1}}));
  EXPECT_EQ(best_class_sizes(histogram, {.count = 2, .cover = 0.99}), (class_sizes{64}));
  EXPECT_EQ(best_class_sizes(histogram, {.count = 2}), (class_sizes{64, 5056}));
}

TEST(advise_classes, a_further_class_that_saves_too_little_is_left_out) {
  const size_histogram histogram(counted_traffic({{.bytes = 64, .weight = 1000},
                                                  {.bytes = 960, .weight = 2},
                                                  {.bytes = 1024, .weight = 500}}));
  EXPECT_EQ(best_class_sizes(histogram, {}), (class_sizes{64, 1024}));
  EXPECT_EQ(best_class_sizes(histogram, {.least_saving = 0.0}).size(), 3U);
}

/// With as many classes as today, on the mixes that loads and benchmarks send.
TEST(advise_classes, as_many_as_today_waste_no_more_than_today_on_every_mix) {
  class_sizes today;
  for (const size_class& one : serve_options{}.classes) {
    today.push_back(static_cast<std::uint32_t>(one.buffer_size));
  }
  for (const char* const mix :
       {"mix:game", "mix:imix", "mix:uniform:24-16384", "mix:uniform:24-1500",
        "mix:uniform:4000-9000", "mix:fixed:64", "mix:fixed:777"}) {
    const size_histogram histogram(read_traffic({.path = mix}));
    const class_sizes advised = best_class_sizes(histogram, {.count = today.size()});
    EXPECT_LE(advised.size(), today.size());
    EXPECT_LE(waste_of(histogram, advised).wasted_bytes(),
              waste_of(histogram, today).wasted_bytes())
        << mix;
  }
}

TEST(advise_load, what_a_ring_refuses_follows_from_who_is_there) {
  // Three at once, then one alone.
  const auto loads = measure_loads(timed_traffic({{.at_ns = 0, .held_ns = 10, .bytes = 8},
                                                  {.at_ns = 2, .held_ns = 10, .bytes = 8},
                                                  {.at_ns = 4, .held_ns = 10, .bytes = 8},
                                                  {.at_ns = 20, .held_ns = 20, .bytes = 8}}),
                                   class_sizes{64});
  ASSERT_EQ(loads.size(), 2U);
  const class_load& load = loads[0];
  EXPECT_EQ(load.peak(), 3U);
  EXPECT_EQ(load.refused_share(0), 1.0);
  EXPECT_EQ(load.refused_share(1), 0.5);
  EXPECT_EQ(load.refused_share(2), 0.25);
  EXPECT_EQ(load.refused_share(3), 0.0);
  EXPECT_EQ(load.least_capacity(0.3), 2U);
  EXPECT_EQ(load.mean_held, 50.0 / 40.0);
  EXPECT_EQ(load.held_quantile(0.5), 1U);
  EXPECT_EQ(load.held_quantile(1.0), 3U);
  EXPECT_EQ(load.timeline.size(), timeline_parts);
  EXPECT_EQ(loads[1].allocations, 0.0);
  EXPECT_EQ(loads[1].peak(), 0U);
}

TEST(advise_load, a_buffer_given_back_is_there_for_who_comes_at_that_time) {
  const auto loads = measure_loads(timed_traffic({{.at_ns = 0, .held_ns = 10, .bytes = 8},
                                                  {.at_ns = 10, .held_ns = 10, .bytes = 8}}),
                                   class_sizes{64});
  EXPECT_EQ(loads[0].peak(), 1U);
}

TEST(advise_load, a_sample_of_several_takes_as_many_buffers_and_has_an_error) {
  const auto loads =
      measure_loads(timed_traffic({{.at_ns = 0, .held_ns = 10, .bytes = 8, .weight = 64},
                                   {.at_ns = 5, .held_ns = 10, .bytes = 8, .weight = 64}}),
                    class_sizes{64});
  EXPECT_EQ(loads[0].peak(), 128U);
  EXPECT_EQ(loads[0].refused_share(96), 0.25);
  EXPECT_NEAR(loads[0].peak_error(), 89.8, 0.05);  // sqrt(63 x 128)
  EXPECT_EQ(choose_capacity(loads[0], {.headroom = 1.0}).ring, 128U);
  EXPECT_EQ(choose_capacity(loads[0], {.headroom = 1.0}).elastic, 180U);
}

TEST(advise_load, no_load_asks_for_more_than_a_pool_can_have) {
  class_load load;
  load.unit = std::uint64_t{1} << 40;
  load.refused = {1.0, 0.0};
  EXPECT_EQ(choose_capacity(load, {}).ring, max_capacity);
  EXPECT_EQ(choose_capacity(load, {}).elastic, max_capacity);
}

TEST(advise_load, erlang_b_is_what_its_definition_says) {
  // (a^n / n!) / (the sum of a^k / k! for k = 0 .. n)
  EXPECT_DOUBLE_EQ(erlang_b(1.0, 1e-3)[1], 1.0 / 2.0);
  EXPECT_DOUBLE_EQ(erlang_b(1.0, 1e-3)[2], 1.0 / 5.0);
  EXPECT_DOUBLE_EQ(erlang_b(2.0, 1e-3)[2], 2.0 / 5.0);
  EXPECT_DOUBLE_EQ(erlang_b(3.0, 1e-3)[3], 9.0 / 26.0);
  const std::vector<double> blocked = erlang_b(200.0, 1e-9);
  EXPECT_TRUE(std::is_sorted(blocked.rbegin(), blocked.rend()));
  EXPECT_LE(blocked.back(), 1e-9);
  EXPECT_GT(blocked[blocked.size() - 2], 1e-9);
}

TEST(advise_load, little_and_erlang_hold_for_what_has_no_times) {
  const size_histogram histogram(
      counted_traffic({{.bytes = 8, .weight = 3}, {.bytes = 100, .weight = 1}}));
  const auto loads = assume_loads(histogram, class_sizes{64, 128}, 1000.0, 0.04);
  EXPECT_DOUBLE_EQ(loads[0].mean_held, 30.0);
  EXPECT_DOUBLE_EQ(loads[1].mean_held, 10.0);
  EXPECT_LE(loads[1].refused_share(loads[1].least_capacity(0.01)), 0.01);
  EXPECT_NEAR(loads[1].refused_share(18), 0.0071, 0.0001);
  EXPECT_EQ(loads[1].held_quantile(0.5), 10U);
  EXPECT_TRUE(loads[0].timeline.empty());
}

TEST(advise_load, sizes_without_times_are_held_as_long_as_is_known_of_each) {
  const size_histogram histogram(
      counted_traffic({{.held_ns = 1'000'000, .bytes = 8}, {.held_ns = 20'000'000, .bytes = 100}}));
  const auto loads = assume_loads(histogram, class_sizes{64, 128}, 2000.0, 7.0);
  EXPECT_DOUBLE_EQ(loads[0].mean_held, 1.0);
  EXPECT_DOUBLE_EQ(loads[1].mean_held, 20.0);
}

std::string settings_error(const char* text) {
  try {
    (void)parse_class_settings(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(advise_options, todays_classes_are_read_in_any_order) {
  const auto settings = parse_class_settings("256:4096:7,64:8192");
  ASSERT_EQ(settings.size(), 2U);
  EXPECT_EQ(settings[0].buffer_size, 64U);
  EXPECT_EQ(settings[1].capacity, 4096U);
  EXPECT_EQ(settings[1].elastic_capacity, 7U);
}

TEST(advise_options, other_classes_are_refused_with_what_is_accepted) {
  for (const char* const text :
       {"", "64", "64:", ":64", "64:8x", "64:8:x", "64:8,,128:8", "-64:8"}) {
    EXPECT_NE(settings_error(text).find("SIZE:COUNT"), std::string::npos) << text;
  }
  EXPECT_NE(settings_error("64:100").find("a power of two"), std::string::npos);
  EXPECT_NE(settings_error("0:64").find("accepted: 1 to"), std::string::npos);
  EXPECT_NE(settings_error("64:8,64:16").find("two classes of 64"), std::string::npos);
}

TEST(advise_options, the_number_of_classes_is_auto_or_one_to_sixty_four) {
  advise_options options;
  EXPECT_EQ(parse_class_options(options).count, 0U);
  options.classes = "7";
  EXPECT_EQ(parse_class_options(options).count, 7U);
  for (const char* const text : {"0", "65", "x", "", "7.5"}) {
    options.classes = text;
    EXPECT_THROW((void)parse_class_options(options), std::invalid_argument) << text;
  }
}

class advise_input : public testing::Test {
 protected:
  advise_input() : path_(testing::TempDir() + "/ringpool_advise_input") {}
  ~advise_input() override { std::filesystem::remove(path_); }

  input_kind kind_with(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return kind_of(path_);
  }

  std::string path_;
};

TEST_F(advise_input, its_kind_is_told_by_its_first_bytes) {
  using namespace std::string_literals;
  EXPECT_EQ(kind_with("\xd4\xc3\xb2\xa1\x02\x00"s), input_kind::capture);
  EXPECT_EQ(kind_with("\xa1\xb2\x3c\x4d\x00"s), input_kind::capture);
  EXPECT_EQ(kind_with("\x0a\x0d\x0d\x0a\x1c"s), input_kind::capture);
  EXPECT_EQ(kind_with("RPREC\r\n\x1a"s), input_kind::recording);
  EXPECT_EQ(kind_with("size,count\n"), input_kind::table);
  EXPECT_EQ(kind_with(""), input_kind::table);
}

TEST_F(advise_input, what_is_no_file_is_an_address_or_a_mix_or_an_error) {
  EXPECT_EQ(kind_of("127.0.0.1:9100"), input_kind::live);
  EXPECT_EQ(kind_of("mix:game"), input_kind::mix);
  for (const char* const input : {"no-such.pcap", "/", ""}) {
    try {
      (void)kind_of(input);
      ADD_FAILURE() << input;
    } catch (const read_error& error) {
      EXPECT_NE(std::string(error.what()).find("accepted: a file (pcap"), std::string::npos);
    }
  }
  EXPECT_THROW((void)read_traffic({.path = "mix:games"}), read_error);
}

advice small_advice() {
  advice result{.source = "a test\nof two lines"};
  result.wanted = demand_of(timed_traffic({{.at_ns = 0, .held_ns = 10, .bytes = 8},
                                           {.at_ns = 2, .held_ns = 10, .bytes = 300},
                                           {.at_ns = 4, .held_ns = 10, .bytes = 3000}}),
                            0, 0);
  result.today.expected = forecast(result.wanted, parse_class_settings("512:1"));
  result.advised.expected = advise(result.wanted, {.count = 3}, {});
  return result;
}

TEST(advise_report, shows_today_beside_what_is_advised) {
  const std::string text = advice_text(small_advice(), palette(false));
  for (const char* const words : {"today", "advised", "larger", "wasted", "resident", "66.7 %"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << '\n' << text;
  }
}

TEST(advise_report, the_json_has_both_sets_and_the_sizes) {
  const nlohmann::json report = advice_json(small_advice());
  EXPECT_EQ(report["kind"], "advice");
  EXPECT_EQ(report["traffic"]["sizes"].size(), 3U);
  EXPECT_EQ(report["advised"]["classes"][1]["buffer_size"], 320);
  EXPECT_NEAR(report["today"]["fallback_share"].get<double>(), 2.0 / 3.0, 1e-12);
  EXPECT_EQ(report["advised"]["fallback_share"], 0.0);
}

TEST(advise_report,
     the_configuration_has_a_table_for_each_class_and_comments_on_lines_of_their_own) {
  const std::string text = advice_toml(small_advice());
  EXPECT_NE(text.find("[[pool.class]]\nbuffer_size = 320\ncapacity = 2\n"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("\nof two lines"), std::string::npos) << text;
}

TEST(advise_report, shares_are_percent_and_small_ones_keep_their_digits) {
  EXPECT_EQ(format_share(0.0), "0");
  EXPECT_EQ(format_share(0.1234), "12.3 %");
  EXPECT_EQ(format_share(0.0000123), "0.0012 %");
  EXPECT_EQ(format_share(1.0), "100.0 %");
}

}  // namespace
}  // namespace ringpool::tools
