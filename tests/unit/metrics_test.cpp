// SPDX-License-Identifier: MIT
#include "ringpool/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>

namespace ringpool {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Value by sample: a name with its labels.
std::map<std::string, double> samples_of(const std::string& text) {
  std::map<std::string, double> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) {
      const std::size_t space = line.rfind(' ');
      const bool is_new =
          result.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second;
      EXPECT_TRUE(is_new) << line;
    }
  }
  return result;
}

std::string text_of(metrics_format format, const std::function<void(metrics_writer&)>& fill) {
  metrics_writer writer(format);
  fill(writer);
  return writer.text();
}

/// What the writer says against it; nothing of the call is then in the exposition.
std::string rejection_of(const std::function<void(metrics_writer&)>& fill) {
  metrics_writer writer;
  try {
    fill(writer);
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), errc::invalid_metric);
    return error.what();
  }
  ADD_FAILURE() << "accepted:\n" << writer.text();
  return {};
}

constexpr metric_family app_frames{"app_frames", metric_type::counter, "", "Frames echoed."};
constexpr metric_family app_held{"app_held_bytes", metric_type::gauge, "bytes", "Bytes held."};
constexpr metric_family app_delay{"app_delay_seconds", metric_type::histogram, "seconds", "Delay."};
constexpr metric_family app_build{"app_build", metric_type::info, "", "Built from."};

TEST(metrics, the_counts_of_a_pool_are_those_of_its_statistics) {
  ring_buffer_pool pool(1024, 64);
  std::vector<buffer> hold;
  for (int i = 0; i < 10; ++i) {
    hold.push_back(pool.alloc(100));
  }
  hold.push_back(pool.alloc(5000));  // from upstream
  hold.pop_back();
  hold.pop_back();
  const pool_stats stats = pool.stats();
  const auto value = samples_of(metrics_text("p", pool));
  const std::string labels = R"({pool="p",class="1024"})";
  EXPECT_EQ(value.at("ringpool_buffer_size_bytes" + labels), 1024);
  EXPECT_EQ(value.at("ringpool_capacity_buffers" + labels), 64);
  EXPECT_EQ(value.at("ringpool_held_buffers" + labels), 9);
  EXPECT_EQ(value.at("ringpool_peak_buffers" + labels), static_cast<double>(stats.peak_in_use));
  EXPECT_EQ(value.at(R"(ringpool_allocations_total{pool="p",class="1024",origin="ring"})"), 10);
  EXPECT_EQ(value.at(R"(ringpool_allocations_total{pool="p",class="1024",origin="elastic"})"), 0);
  EXPECT_EQ(value.at(R"(ringpool_allocations_total{pool="p",class="1024",origin="upstream"})"), 1);
  EXPECT_EQ(value.at("ringpool_oversize_allocations_total" + labels), 1);
  EXPECT_EQ(value.at("ringpool_frees_total" + labels), 2);
  EXPECT_EQ(value.at(R"(ringpool_upstream_bytes{pool="p"})"), 0);
}

TEST(metrics, free_cached_and_held_buffers_are_the_capacity_at_quiescence) {
  multi_size_ring_pool pool({{64, 128}, {1024, 32}, {4096, 16}});
  std::vector<buffer> hold;
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) {
      hold.push_back(pool.alloc(static_cast<std::size_t>(i) * 80 + 1));
    }
    hold.resize(20);
  });
  other.join();
  const auto value = samples_of(metrics_text("set", pool));
  double held_count = 0;
  for (const char* size : {"64", "1024", "4096"}) {
    const auto of = [&](const std::string& name) {
      return value.at("ringpool_" + name + R"(_buffers{pool="set",class=")" + size + "\"}");
    };
    EXPECT_EQ(of("capacity"), of("free") + of("cached") + of("held")) << size;
    held_count += of("held");
  }
  EXPECT_EQ(held_count, 20);
}

TEST(metrics, every_family_of_pools_is_there_with_its_comments_once_before_its_samples) {
  ring_buffer_pool a(64, 8);
  multi_size_ring_pool b({{64, 8}, {256, 8}});
  for (const metrics_format format : {metrics_format::prometheus, metrics_format::openmetrics}) {
    const std::string text = text_of(format, [&](metrics_writer& writer) {
      writer.add("a", a);
      writer.add("b", b);
    });
    std::istringstream lines(text);
    std::set<std::string> ended;
    std::string current;
    std::size_t families = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("# HELP ")) {
        ended.insert(current);
        current = line.substr(7, line.find(' ', 7) - 7);
        EXPECT_FALSE(ended.contains(current)) << current << " comes twice";
        ++families;
      } else if (line != "# EOF") {
        EXPECT_THAT(line, testing::AnyOf(StartsWith(current), HasSubstr(" " + current + " ")));
      }
    }
    EXPECT_EQ(families, pool_metric_families().size());
  }
}

TEST(metrics, the_two_formats_differ_in_suffixes_units_and_the_end) {
  const pool_stats none;
  const auto fill = [&](metrics_writer& writer) {
    writer.add("p", none);
    writer.add_sample(app_build, std::uint64_t{1}, {{"version", "1.2"}});
  };
  const std::string plain = text_of(metrics_format::prometheus, fill);
  EXPECT_THAT(plain, HasSubstr("# TYPE ringpool_wait_seconds_total counter\n"));
  EXPECT_THAT(plain, HasSubstr("# TYPE app_build_info gauge\napp_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(plain, Not(HasSubstr("# UNIT")));
  EXPECT_THAT(plain, Not(HasSubstr("# EOF")));
  const std::string open = text_of(metrics_format::openmetrics, fill);
  EXPECT_THAT(open, HasSubstr("# TYPE ringpool_wait_seconds counter\n"
                              "# UNIT ringpool_wait_seconds seconds\n"
                              "ringpool_wait_seconds_total{pool=\"p\",class=\"0\"} 0.000000000\n"));
  EXPECT_THAT(open, HasSubstr("# TYPE app_build info\napp_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(open, EndsWith("\n# EOF\n"));
  EXPECT_THAT(std::string(content_type(metrics_format::openmetrics)), HasSubstr("1.0.0"));
  EXPECT_THAT(std::string(content_type(metrics_format::prometheus)), HasSubstr("0.0.4"));
}

TEST(metrics, families_of_pools_keep_the_rules_for_names_and_have_help) {
  std::set<std::string_view> names;
  for (const metric_family& family : pool_metric_families()) {
    EXPECT_THAT(std::string(family.name), StartsWith("ringpool_"));
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_FALSE(family.help.empty()) << family.name;
    EXPECT_FALSE(family.name.ends_with("_total")) << family.name;
    if (!family.unit.empty()) {
      EXPECT_TRUE(family.name.ends_with("_" + std::string(family.unit))) << family.name;
    }
  }
}

TEST(metrics, every_member_of_the_statistics_changes_the_text) {
  using words = std::array<std::uint64_t, sizeof(pool_stats) / sizeof(std::uint64_t)>;
  pool_stats one;
  one.alloc_count = one.available = 1000;  // others are parts of them
  const auto base = std::bit_cast<words>(one);
  const auto text_with = [](const words& members) {
    return text_of(metrics_format::prometheus,
                   [&](metrics_writer& w) { w.add("p", std::bit_cast<pool_stats>(members)); });
  };
  const std::string before = text_with(base);
  for (std::size_t i = 0; i < base.size(); ++i) {
    words changed = base;
    changed[i] += 7;
    EXPECT_NE(text_with(changed), before) << "word " << i << " of pool_stats has no family";
  }
}

TEST(metrics, nanoseconds_are_written_as_exact_seconds) {
  pool_stats stats;
  stats.wait_total_ns = 12'000'000'345;
  const std::string text =
      text_of(metrics_format::prometheus, [&](metrics_writer& w) { w.add("p", stats); });
  EXPECT_THAT(text, HasSubstr("{pool=\"p\",class=\"0\"} 12.000000345\n"));
}

TEST(metrics, labels_are_escaped_and_come_after_the_librarys_own) {
  const std::string text = text_of(metrics_format::prometheus, [&](metrics_writer& writer) {
    writer.add("a \"b\"\\\n", pool_stats{}, {{"zone", "\xc3\xa4"}});
  });
  EXPECT_THAT(text, HasSubstr("{pool=\"a \\\"b\\\"\\\\\\n\",class=\"0\",zone=\"\xc3\xa4\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(",zone=\"\xc3\xa4\",origin=\"ring\"} 0\n"));
}

TEST(metrics, samples_of_one_family_are_together_whatever_came_between) {
  const std::string text = text_of(metrics_format::prometheus, [&](metrics_writer& writer) {
    writer.add_sample(app_frames, std::uint64_t{1}, {{"loop", "0"}});
    writer.add_sample(app_held, 0.5);
    writer.add_sample(app_frames, std::uint64_t{18446744073709551615U}, {{"loop", "1"}});
  });
  EXPECT_EQ(text,
            "# HELP app_frames_total Frames echoed.\n# TYPE app_frames_total counter\n"
            "app_frames_total{loop=\"0\"} 1\napp_frames_total{loop=\"1\"} 18446744073709551615\n"
            "# HELP app_held_bytes Bytes held.\n# TYPE app_held_bytes gauge\n"
            "app_held_bytes 0.5\n");
}

TEST(metrics, numbers_that_are_none_have_their_names) {
  const std::string text = text_of(metrics_format::prometheus, [&](metrics_writer& writer) {
    writer.add_sample(app_held, std::nan(""), {{"is", "nan"}});
    writer.add_sample(app_held, -HUGE_VAL, {{"is", "low"}});
    writer.add_sample(app_held, 3.0, {{"is", "whole"}});
  });
  EXPECT_THAT(text, HasSubstr("{is=\"nan\"} NaN\n"));
  EXPECT_THAT(text, HasSubstr("{is=\"low\"} -Inf\n"));
  EXPECT_THAT(text, HasSubstr("{is=\"whole\"} 3.0\n"));
}

TEST(metrics, a_histogram_is_written_with_rising_sums) {
  const std::string text = text_of(metrics_format::openmetrics, [&](metrics_writer& writer) {
    const double bounds[] = {0.5, 1};
    const std::uint64_t counts[] = {3, 0, 2};
    writer.add_histogram(app_delay, {bounds, counts, 4.25}, {{"loop", "0"}});
  });
  EXPECT_EQ(text,
            "# HELP app_delay_seconds Delay.\n# TYPE app_delay_seconds histogram\n"
            "# UNIT app_delay_seconds seconds\n"
            "app_delay_seconds_bucket{le=\"0.5\",loop=\"0\"} 3\n"
            "app_delay_seconds_bucket{le=\"1.0\",loop=\"0\"} 3\n"
            "app_delay_seconds_bucket{le=\"+Inf\",loop=\"0\"} 5\n"
            "app_delay_seconds_sum{loop=\"0\"} 4.25\n"
            "app_delay_seconds_count{loop=\"0\"} 5\n# EOF\n");
}

TEST(metrics, bad_labels_are_rejected_with_what_is_accepted) {
  const auto with = [](const char* name, const char* value) {
    return rejection_of([=](metrics_writer& writer) {
      writer.add("p", pool_stats{}, {{name, value}});
    });
  };
  for (const char* name : {"", "7up", "a-b", "a b", "__name__", "\xc3\xa4", "a\"b"}) {
    EXPECT_THAT(with(name, "x"), HasSubstr("accepted are letters, digits and _")) << name;
  }
  for (const char* name : {"pool", "class", "origin"}) {
    EXPECT_THAT(with(name, "x"), HasSubstr("is set by the library")) << name;
  }
  for (const char* value : {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                            "\xe0\x80\x80", "\xf0\x80\x80\x80", "a\x80"}) {
    EXPECT_THAT(with("zone", value), HasSubstr("is not UTF-8"));
  }
  EXPECT_THAT(rejection_of([](metrics_writer& w) { w.add("\xff", pool_stats{}); }),
              HasSubstr("'pool' is not UTF-8"));
  EXPECT_THAT(rejection_of([](metrics_writer& w) {
                w.add("p", pool_stats{}, {{"a", "1"}, {"a", "2"}});
              }),
              HasSubstr("given twice"));
  EXPECT_THAT(rejection_of([](metrics_writer& w) {
                w.add_histogram(app_delay, {{}, std::array<std::uint64_t, 1>{}, 0}, {{"le", "1"}});
              }),
              HasSubstr("'le' is set by the library"));
}

TEST(metrics, bad_families_are_rejected_with_what_is_accepted) {
  const auto with = [](const metric_family& family) {
    return rejection_of([&](metrics_writer& writer) { writer.add_sample(family, 1.0); });
  };
  using enum metric_type;
  EXPECT_THAT(with({"", gauge, "", ""}), HasSubstr("no name of a metric"));
  EXPECT_THAT(with({"a.b", gauge, "", ""}), HasSubstr("no name of a metric"));
  EXPECT_THAT(with({"a_total", counter, "", ""}), HasSubstr("accepted is the name without it"));
  EXPECT_THAT(with({"a_info", info, "", ""}), HasSubstr("accepted is the name without it"));
  EXPECT_THAT(with({"a", gauge, "bytes", ""}), HasSubstr("accepted is a name that ends in _"));
  EXPECT_THAT(with({"a", gauge, "", "\xff"}), HasSubstr("not UTF-8"));
  EXPECT_THAT(with({"ringpool_frees", counter, "", ""}), HasSubstr("is a metric of pools"));
  EXPECT_THAT(rejection_of([](metrics_writer& w) { w.add_sample(app_frames, -1.0); }),
              HasSubstr("accepted are 0 and more"));
  EXPECT_THAT(rejection_of([](metrics_writer& w) {
                w.add_sample(app_frames, 1.0);
                w.add_sample({"app_frames", gauge, "", ""}, 1.0, {{"a", "b"}});
              }),
              HasSubstr("another type, unit or help"));
}

TEST(metrics, the_same_sample_twice_is_rejected) {
  EXPECT_THAT(rejection_of([](metrics_writer& w) {
                w.add("p", pool_stats{}, {{"zone", "eu"}});
                w.add("p", pool_stats{}, {{"zone", "us"}});
                w.add("p", pool_stats{}, {{"zone", "eu"}});
              }),
              HasSubstr(R"(a pool with {pool="p",zone="eu"} is there already)"));
  EXPECT_THAT(rejection_of([](metrics_writer& w) {
                w.add_sample(app_frames, 1.0);
                w.add_sample(app_frames, 1.0);
              }),
              HasSubstr("app_frames_total is there already"));
}

TEST(metrics, bad_buckets_are_rejected_and_leave_no_trace) {
  const auto with = [](std::vector<double> bounds, std::vector<std::uint64_t> counts) {
    metrics_writer writer;
    try {
      writer.add_histogram(app_delay, {bounds, counts, 0});
    } catch (const std::system_error& error) {
      EXPECT_EQ(writer.text(), "");
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(with({1, 2}, {1, 2}), HasSubstr("accepted is one more than bounds"));
  EXPECT_THAT(with({2, 2}, {1, 2, 3}), HasSubstr("accepted are finite numbers that rise"));
  EXPECT_THAT(with({HUGE_VAL}, {1, 2}), HasSubstr("accepted are finite numbers"));
}

TEST(metrics, text_appends_to_what_is_there) {
  std::string out = "before\n";
  metrics_writer writer(metrics_format::openmetrics);
  EXPECT_EQ(writer.format(), metrics_format::openmetrics);
  writer.write_to(out);
  EXPECT_EQ(out, "before\n# EOF\n");
}

}  // namespace
}  // namespace ringpool
