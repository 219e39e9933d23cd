// SPDX-License-Identifier: MIT
#include "latency_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace ringpool::tools {
namespace {

std::uint64_t nearest_rank(const std::vector<std::uint64_t>& sorted, double percent) {
  const auto rank = static_cast<std::size_t>(
      std::ceil(percent / 100.0 * static_cast<double>(sorted.size()) - 1e-9));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

// How far a reported value is from the true one, as a share of the true one; below it counts
// double, since a latency must not be flattered.
double error_of(std::uint64_t reported, std::uint64_t truth) {
  const double difference = static_cast<double>(reported) - static_cast<double>(truth);
  return std::abs(difference) / static_cast<double>(truth) * (difference < 0 ? 2.0 : 1.0);
}

std::vector<std::uint64_t> long_tailed_values(std::size_t count) {
  std::mt19937_64 random(42);
  std::lognormal_distribution<double> nanoseconds(11.0, 2.0);  // median 60 us, some seconds
  std::vector<std::uint64_t> values(count);
  for (auto& value : values) {
    value = 1 + static_cast<std::uint64_t>(nanoseconds(random));
  }
  return values;
}

TEST(latency_histogram, reports_nothing_when_empty) {
  const latency_histogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.min(), 0U);
  EXPECT_EQ(empty.max(), 0U);
  EXPECT_EQ(empty.percentile(50.0), 0U);
  EXPECT_EQ(empty.mean(), 0.0);
}

TEST(latency_histogram, buckets_are_contiguous_and_narrower_than_one_percent) {
  std::uint64_t lowest = 0;
  for (std::size_t i = 0; i < latency_histogram::bucket_count; ++i) {
    const std::uint64_t highest = latency_histogram::upper_end(i);
    ASSERT_EQ(latency_histogram::bucket_of(lowest), i);
    ASSERT_EQ(latency_histogram::bucket_of(highest), i);
    if (lowest > 0) {
      ASSERT_LT(static_cast<double>(highest - lowest), 0.01 * static_cast<double>(lowest));
    }
    lowest = highest + 1;
  }
  EXPECT_EQ(lowest, latency_histogram::largest_tracked + 1);
}

TEST(latency_histogram, percentiles_are_within_one_percent_of_the_sorted_values) {
  std::vector<std::uint64_t> values = long_tailed_values(100'000);
  latency_histogram histogram;
  for (const std::uint64_t value : values) {
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {0.1, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    EXPECT_LE(error_of(histogram.percentile(percent), nearest_rank(values, percent)), 0.01)
        << percent;
  }
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.percentile(100.0), values.back());
}

// The twin of the test above: its measure of error sees a histogram that lost its slowest
// thousandth.
TEST(latency_histogram, the_check_of_percentiles_sees_an_omitted_tail) {
  std::vector<std::uint64_t> values = long_tailed_values(100'000);
  std::sort(values.begin(), values.end());
  latency_histogram histogram;
  for (std::size_t i = 0; i < values.size() - values.size() / 1000; ++i) {
    histogram.record(values[i]);
  }
  EXPECT_GT(error_of(histogram.percentile(99.99), nearest_rank(values, 99.99)), 0.01);
}

TEST(latency_histogram, ranks_are_exact_at_round_percentages) {
  latency_histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) {
    histogram.record(value);
  }
  EXPECT_EQ(histogram.percentile(0.0), 1U);
  EXPECT_EQ(histogram.percentile(50.0), 50U);
  EXPECT_EQ(histogram.percentile(99.0), 99U);
  EXPECT_EQ(histogram.percentile(99.5), 100U);
  EXPECT_EQ(histogram.percentile(-5.0), 1U);
  EXPECT_EQ(histogram.percentile(500.0), 100U);
}

TEST(latency_histogram, merging_equals_recording_everything_in_one) {
  const std::vector<std::uint64_t> values = long_tailed_values(10'000);
  latency_histogram whole;
  latency_histogram even;
  latency_histogram odd;
  for (std::size_t i = 0; i < values.size(); ++i) {
    whole.record(values[i]);
    (i % 2 == 0 ? even : odd).record(values[i]);
  }
  even.merge(odd);
  EXPECT_EQ(even.count(), whole.count());
  EXPECT_EQ(even.min(), whole.min());
  EXPECT_EQ(even.max(), whole.max());
  EXPECT_NEAR(even.mean(), whole.mean(), whole.mean() * 1e-9);
  for (double percent = 0.0; percent <= 100.0; percent += 0.5) {
    EXPECT_EQ(even.percentile(percent), whole.percentile(percent));
  }
}

TEST(latency_histogram, merging_an_empty_one_changes_nothing) {
  latency_histogram histogram;
  histogram.record(1000);
  histogram.merge(latency_histogram{});
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.min(), 1000U);
}

TEST(latency_histogram, a_value_beyond_the_range_counts_and_is_the_maximum) {
  latency_histogram histogram;
  histogram.record(5);
  histogram.record(UINT64_MAX);
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
  EXPECT_EQ(histogram.percentile(100.0), UINT64_MAX);
}

}  // namespace
}  // namespace ringpool::tools
