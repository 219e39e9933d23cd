// SPDX-License-Identifier: MIT
//
// What an exposition costs whoever reads it, and what it costs the threads that allocate meanwhile.
// The second is a ratio of neighbouring rounds, with and without a scraper at full speed, in turn.

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <latch>
#include <memory>
#include <ringpool/metrics.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using ringpool::ring_buffer_pool;

constexpr std::size_t pool_count = 16;
constexpr unsigned thread_count = 64;

void pin(unsigned cpu) {
  ::cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  ::sched_setaffinity(0, sizeof one, &one);  // where it is refused, the figures are noisier
}

double nanoseconds(clock_type::duration span) {
  return std::chrono::duration<double, std::nano>(span).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

/// Pools of one program, each used by 64 threads that are still there.
class world {
 public:
  world() {
    for (std::size_t i = 0; i < pool_count; ++i) {
      pools_.push_back(std::make_unique<ring_buffer_pool>(1024, 16384));
      names_.push_back("pool" + std::to_string(i));
    }
    std::latch used(thread_count);
    for (unsigned i = 0; i < thread_count; ++i) {
      threads_.emplace_back([&] {
        for (const auto& pool : pools_) {
          static_cast<void>(pool->alloc(100));
        }
        used.count_down();
        leave_.wait();
      });
    }
    used.wait();
  }
  ~world() {
    leave_.count_down();
    for (std::thread& one : threads_) {
      one.join();
    }
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  [[nodiscard]] ring_buffer_pool& first() { return *pools_.front(); }

  void scrape(ringpool::metrics_format format, std::string& out) const {
    out.clear();
    ringpool::metrics_writer writer(format);
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      writer.add(names_[i], *pools_[i]);
    }
    writer.write_to(out);
  }

  void read_statistics(std::uint64_t& sum) const {
    for (const auto& pool : pools_) {
      sum += pool->stats().alloc_count;
    }
  }

 private:
  std::vector<std::unique_ptr<ring_buffer_pool>> pools_;
  std::vector<std::string> names_;
  std::vector<std::thread> threads_;
  std::latch leave_{1};
};

template <class Call>
double median_us(std::size_t times, Call call) {
  std::vector<double> took;
  for (std::size_t i = 0; i < times; ++i) {
    const auto begin = clock_type::now();
    call();
    took.push_back(nanoseconds(clock_type::now() - begin) / 1e3);
  }
  return median(std::move(took));
}

double pair_ns(ring_buffer_pool& pool, std::size_t pairs) {
  const auto begin = clock_type::now();
  for (std::size_t i = 0; i < pairs; ++i) {
    void* const data = pool.allocate(100);
    asm volatile("" : : "r"(data) : "memory");
    pool.deallocate(data);
  }
  return nanoseconds(clock_type::now() - begin) / static_cast<double>(pairs);
}

/// Median of the ratios of two neighbouring rounds, the second under `meanwhile` at full speed.
template <class Meanwhile>
double slowdown(ring_buffer_pool& pool, std::size_t rounds, Meanwhile meanwhile) {
  std::atomic<bool> on{false};
  std::atomic<bool> done{false};
  std::thread other([&] {
    pin(1);
    while (!done.load(std::memory_order_relaxed)) {
      if (on.load(std::memory_order_relaxed)) {
        meanwhile();
      }
    }
  });
  std::vector<double> ratios;
  for (std::size_t i = 0; i < rounds; ++i) {
    constexpr std::size_t pairs = 500'000;
    on.store(false, std::memory_order_relaxed);
    const double alone = pair_ns(pool, pairs);
    on.store(true, std::memory_order_relaxed);
    ratios.push_back(pair_ns(pool, pairs) / alone);
  }
  done.store(true, std::memory_order_relaxed);
  other.join();
  return median(std::move(ratios));
}

}  // namespace

int main() {
  using enum ringpool::metrics_format;
  world all;
  std::string text;
  std::uint64_t sum = 0;
  pin(0);
  std::printf("%zu pools, %u thread slots\n", pool_count, thread_count);
  std::printf("  statistics alone        %7.1f us\n",
              median_us(2001, [&] { all.read_statistics(sum); }));
  std::printf("  scrape, prometheus      %7.1f us, median of 2001\n",
              median_us(2001, [&] { all.scrape(prometheus, text); }));
  std::printf("  scrape, openmetrics     %7.1f us, %zu bytes\n",
              median_us(2001, [&] { all.scrape(openmetrics, text); }), text.size());
  ring_buffer_pool& pool = all.first();
  std::printf("pair, under the other against alone, median of 301 neighbouring rounds\n");
  std::printf("  a busy loop             %7.3f\n", slowdown(pool, 301, [] {}));
  std::printf("  scrapes at full speed   %7.3f\n",
              slowdown(pool, 301, [&] { all.scrape(prometheus, text); }));
  std::printf("  statistics of that pool %7.3f\n",
              slowdown(pool, 301, [&] { sum += pool.stats().alloc_count; }));
  return sum == 0 ? 1 : 0;
}
