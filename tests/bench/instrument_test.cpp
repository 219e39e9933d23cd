// SPDX-License-Identifier: MIT
//
// The instrument itself: what the benchmark makes of the times that it has taken.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "measure.hpp"
#include "plan.hpp"
#include "results.hpp"
#include "workloads/histogram.hpp"
#include "workloads/one_thread.hpp"
#include "workloads/spsc_ring.hpp"

namespace {

using bench::workload;

bench::results of(workload what, const char* who, const std::vector<bench::sample>& samples,
                  bench::results all = {}) {
  for (const bench::sample& values : samples) {
    all.add({what, who, all.records().size(), values});
  }
  return all;
}

TEST(histogram_test, percentiles_are_those_of_the_sorted_values_to_a_step) {
  std::mt19937 random(7);
  std::lognormal_distribution<double> times(5, 2);
  std::vector<std::uint64_t> values(100'000);
  bench::histogram counted;
  for (auto& value : values) {
    value = static_cast<std::uint64_t>(times(random));
    counted.add(value);
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.01, 0.5, 0.99, 0.999, 0.9999}) {
    const auto place = static_cast<std::size_t>(share * static_cast<double>(values.size())) - 1;
    const auto exact = static_cast<double>(values[place]);
    EXPECT_GE(counted.at(share), exact) << share;
    EXPECT_LE(counted.at(share), exact * 33 / 32 + 1) << share;
  }
  EXPECT_EQ(counted.at(1), static_cast<double>(values.back()));
}

TEST(histogram_test, takes_the_largest_value_there_is) {
  bench::histogram counted;
  EXPECT_TRUE(counted.empty());
  counted.add(~std::uint64_t{0});
  EXPECT_FALSE(counted.empty());
  EXPECT_EQ(counted.at(1), static_cast<double>(~std::uint64_t{0}));
}

TEST(histogram_test, a_sum_of_histograms_has_the_values_of_all) {
  bench::histogram sum;
  bench::histogram other;
  sum.add(10);
  other.add(1000);
  other.add(20);
  sum.add(other);
  EXPECT_EQ(sum.at(0.34), 20);
  EXPECT_EQ(sum.at(1), 1000);
}

TEST(results_test, figures_are_median_least_and_most) {
  const auto odd = of(workload::hot_pair, "a", {{5}, {1}, {3}});
  EXPECT_EQ(odd.of(workload::hot_pair, "a")->median, 3);
  EXPECT_EQ(odd.of(workload::hot_pair, "a")->min, 1);
  EXPECT_EQ(odd.of(workload::hot_pair, "a")->max, 5);
  EXPECT_EQ(of(workload::hot_pair, "a", {{4}, {2}}).of(workload::hot_pair, "a")->median, 3);
  EXPECT_FALSE(odd.of(workload::hot_pair, "b").has_value());
  EXPECT_FALSE(odd.of(workload::hot_pair, "a", 1).has_value());
}

TEST(results_test, the_best_is_first_whichever_way_is_better) {
  auto all = of(workload::hot_pair, "slow", {{9}}, of(workload::hot_pair, "fast", {{2}}));
  EXPECT_EQ(all.ranked(workload::hot_pair), (std::vector<std::string>{"fast", "slow"}));
  all = of(workload::threads_2, "many", {{9}}, of(workload::threads_2, "few", {{2}}));
  EXPECT_EQ(all.ranked(workload::threads_2), (std::vector<std::string>{"many", "few"}));
}

TEST(results_test, a_ratio_is_of_the_medians) {
  const auto all = of(workload::hot_pair, "ours", {{1}, {2}, {90}},
                      of(workload::hot_pair, "theirs", {{4}, {8}, {8}}));
  EXPECT_EQ(all.ratio(workload::hot_pair, "ours", "theirs"), 0.25);
  EXPECT_FALSE(all.ratio(workload::hot_pair, "ours", "nobody").has_value());
}

TEST(results_test, hand_offs_are_compared_where_the_line_took_alike_long) {
  // The machine was in its slow state for most of ours and in the fast one for most of theirs: the
  // plain ratio of the medians is 1, that of like states one half.
  const auto all = of(workload::hand_off, "ours", {{20, 400}, {20, 410}, {10, 200}},
                      of(workload::hand_off, "theirs", {{20, 200}, {20, 190}, {40, 390}}));
  EXPECT_EQ(all.of(workload::hand_off, "ours")->median, 20);
  EXPECT_EQ(all.of(workload::hand_off, "theirs")->median, 20);
  EXPECT_EQ(all.ratio(workload::hand_off, "ours", "theirs"), 0.5);
}

TEST(results_test, hand_offs_in_different_states_are_not_compared) {
  const auto all =
      of(workload::hand_off, "ours", {{20, 400}}, of(workload::hand_off, "theirs", {{20, 200}}));
  EXPECT_FALSE(all.ratio(workload::hand_off, "ours", "theirs").has_value());
}

TEST(measure_test, a_turn_takes_what_it_takes) {
  constexpr double microseconds = 5;
  std::vector<double> found;
  for (int i = 0; i < 5; ++i) {  // the best of 5: the machine may be busy with something else
    found.push_back(bench::time_turns({.scale = 0.3}, 10, [](std::size_t turns) {
      for (std::size_t turn = 0; turn < turns; ++turn) {
        const auto start = bench::clock::now();
        while (bench::nanoseconds(bench::clock::now() - start) < microseconds * 1000) {
        }
      }
    }));
  }
  const double best = *std::min_element(found.begin(), found.end());
  EXPECT_GE(best, microseconds * 1000);
  EXPECT_LE(best, microseconds * 1000 * 1.2);
}

TEST(plan_test, workloads_stand_in_the_order_of_their_numbers) {
  for (const bench::workload_info& each : bench::workloads()) {
    EXPECT_EQ(&bench::info_of(each.id), &each) << each.key;
  }
}

TEST(plan_test, filters_are_parts_of_names_in_any_case) {
  EXPECT_TRUE(bench::matches({}, "anything"));
  EXPECT_TRUE(bench::matches({"dpdk"}, "DPDK + cache"));
  EXPECT_FALSE(bench::matches({"malloc"}, "DPDK + cache"));
}

TEST(one_thread_test, requests_have_a_games_proportions) {
  const auto& requests = bench::game_requests();
  for (const bench::share& each : bench::game_sizes) {
    const auto count = std::count(requests.begin(), requests.end(), each.bytes);
    EXPECT_NEAR(static_cast<double>(count) / static_cast<double>(requests.size()),
                each.of_100 / 100.0, 0.002)
        << each.bytes;
  }
}

TEST(spsc_ring_test, keeps_order_and_refuses_when_full_and_when_empty) {
  bench::spsc_ring<int, 4> ring;
  int got = 0;
  EXPECT_FALSE(ring.pop(got));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(ring.push(10 * round + i));
    }
    EXPECT_FALSE(ring.push(99));
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(ring.pop(got));
      EXPECT_EQ(got, 10 * round + i);
    }
    EXPECT_FALSE(ring.pop(got));
  }
}

}  // namespace
