// SPDX-License-Identifier: MIT
//
// Expositions of a pool that others are at work on: no counter runs backwards, and the levels are
// the capacity in each. The twins are statistics with seeded bugs.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "in_child.hpp"
#include "random_source.hpp"
#include "ringpool/metrics.hpp"
#include "scale.hpp"
#include "verdict.hpp"

namespace ringpool::stress {
namespace {

/// Judges one exposition after the other.
class scraper {
 public:
  explicit scraper(verdict& log) : log_(log) {}

  void judge(std::string_view text) {
    double levels = 0;
    double capacity = 0;
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      judge_line(text.substr(0, end), levels, capacity);
      text.remove_prefix(end + 1);
    }
    log_.require(capacity != 0 && levels == capacity, "free + cached + held are not the capacity");
  }

 private:
  void judge_line(std::string_view line, double& levels, double& capacity) {
    const std::size_t space = line.rfind(' ');
    const std::string_view name = line.substr(0, space);
    double value = 0;
    if (line.starts_with('#')) {
      return;
    }
    std::from_chars(line.data() + space + 1, line.data() + line.size(), value);
    if (name.find("_total{") != std::string_view::npos) {
      double& last = last_[std::string(name)];
      log_.require(value >= last, "a counter ran backwards");
      last = value;
    } else if (name.starts_with("ringpool_capacity_")) {
      capacity = value;
    } else if (name.starts_with("ringpool_free_") || name.starts_with("ringpool_cached_") ||
               name.starts_with("ringpool_held_")) {
      levels += value;
    }
  }

  verdict& log_;
  std::unordered_map<std::string, double> last_;
};

/// Threads take and give back, come and go; meanwhile `read(pool)` is scraped.
template <class Read>
void scrape_under_traffic(std::size_t scrapes, Read read, verdict& log) {
  ring_buffer_pool pool(64, 256);
  std::atomic<bool> done{false};
  std::vector<std::thread> crew;
  for (unsigned number = 0; number < 3; ++number) {
    crew.emplace_back([&, number] {
      while (!done.load(std::memory_order_relaxed)) {
        std::thread([&] {  // its counts outlive it
          random_source random(number + 1);
          std::vector<buffer> hold(64);
          for (int step = 0; step < 20'000; ++step) {
            hold[random.below(hold.size())] = random.below(2) == 0 ? pool.try_alloc(64) : buffer{};
          }
        })
            .join();
      }
    });
  }
  scraper judge(log);
  for (std::size_t i = 0; i < scrapes; ++i) {
    metrics_writer writer;
    writer.add("p", read(pool));
    judge.judge(writer.text());
  }
  done.store(true, std::memory_order_relaxed);
  for (std::thread& one : crew) {
    one.join();
  }
}

pool_stats as_they_are(const ring_buffer_pool& pool) { return pool.stats(); }

/// Seeded: a count that wraps.
pool_stats frees_in_16_bits(const ring_buffer_pool& pool) {
  pool_stats stats = pool.stats();
  stats.free_count &= 0xffff;
  return stats;
}

/// Seeded: levels of two instants.
pool_stats held_of_another_instant(const ring_buffer_pool& pool) {
  pool_stats stats = pool.stats();
  std::this_thread::yield();
  stats.in_use = pool.stats().in_use;
  return stats;
}

/// The check must find the bug, and by what `by` quotes.
template <class Read>
void expect_caught(const char* by, Read read) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "a fork of threads is not for this sanitizer";
  }
  const outcome seen = run_in_child(
      [&](verdict& log) { scrape_under_traffic(1'000'000, read, log); }, std::chrono::seconds(10));
  EXPECT_EQ(static_cast<int>(seen.how), static_cast<int>(ending::violation)) << seen.text;
  EXPECT_NE(seen.text.find(by), std::string::npos) << seen.text;
}

TEST(metrics_traffic, no_counter_runs_backwards_and_levels_add_up) {
  verdict log;
  scrape_under_traffic(scaled(4'000), &as_they_are, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

TEST(metrics_traffic_twin, a_count_that_wraps_is_caught) {
  expect_caught("a counter ran backwards", &frees_in_16_bits);
}

TEST(metrics_traffic_twin, levels_of_two_instants_are_caught) {
  expect_caught("free + cached + held are not the capacity", &held_of_another_instant);
}

}  // namespace
}  // namespace ringpool::stress
