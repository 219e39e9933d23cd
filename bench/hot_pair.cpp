// SPDX-License-Identifier: MIT
//
// The cost of taking one buffer and giving it back, beside malloc and a thread-local vector, in one
// run: all contenders interleaved at random, one pinned thread. Prints each one's median, minimum,
// maximum over the repetitions, and its ratio to glibc malloc.

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ringpool/ringpool.hpp"

namespace {

constexpr std::size_t request_bytes = 512;
constexpr std::size_t buffer_bytes = 1024;
constexpr std::size_t buffer_count = 256;

void touch(void* memory) { *static_cast<volatile char*>(memory) = 1; }

/// Contenders: take() and give(void*).
struct glibc_malloc {
  static void* take() { return std::malloc(request_bytes); }
  static void give(void* memory) { std::free(memory); }
};

struct thread_local_vector {
  std::vector<std::array<char, buffer_bytes>> memory{buffer_count};
  static std::vector<void*>& free_list() {
    thread_local std::vector<void*> list;
    return list;
  }
  thread_local_vector() {
    free_list().clear();
    for (auto& one : memory) {
      free_list().push_back(one.data());
    }
  }
  void* take() {
    void* top = free_list().back();
    free_list().pop_back();
    return top;
  }
  void give(void* one) { free_list().push_back(one); }
};

struct pool_raw {
  ringpool::ring_buffer_pool pool{buffer_bytes, buffer_count};
  void* take() { return pool.allocate(request_bytes); }
  void give(void* memory) { pool.deallocate(memory); }
};

struct pool_hardened {
  ringpool::ring_buffer_pool pool{buffer_bytes, buffer_count, {.hardened = true}};
  void* take() { return pool.allocate(request_bytes); }
  void give(void* memory) { pool.deallocate(memory); }
};

struct pool_without_cache {
  ringpool::ring_buffer_pool pool{buffer_bytes, buffer_count, {.cache_limit = 0}};
  void* take() { return pool.allocate(request_bytes); }
  void give(void* memory) { pool.deallocate(memory); }
};

struct multi_size_raw {
  ringpool::multi_size_ring_pool pool{{64, 256}, {512, 256}, {1024, 256}, {4096, 256}};
  void* take() { return pool.allocate(request_bytes); }
  void give(void* memory) { pool.deallocate(memory); }
};

template <class Contender>
void hot_pair(benchmark::State& state) {
  Contender contender;
  for (auto _ : state) {
    void* memory = contender.take();
    benchmark::DoNotOptimize(memory);
    touch(memory);
    contender.give(memory);
  }
}

void hot_pair_handle(benchmark::State& state) {
  ringpool::ring_buffer_pool pool(buffer_bytes, buffer_count);
  for (auto _ : state) {
    ringpool::buffer one = pool.alloc(request_bytes);
    benchmark::DoNotOptimize(one.data());
    touch(one.data());
  }
}

template <class Contender>
void held_64_random(benchmark::State& state) {
  Contender contender;
  std::array<void*, 64> held{};
  std::generate(held.begin(), held.end(), [&] { return contender.take(); });
  std::uint32_t random = 1;
  for (auto _ : state) {
    random = random * 1664525 + 1013904223;  // Numerical Recipes' generator
    void*& one = held[random >> 26];
    contender.give(one);
    one = contender.take();
    touch(one);
  }
  std::for_each(held.begin(), held.end(), [&](void* one) { contender.give(one); });
}

BENCHMARK(hot_pair<glibc_malloc>)->Name("hot pair/glibc malloc");
BENCHMARK(hot_pair<thread_local_vector>)->Name("hot pair/thread-local vector");
BENCHMARK(hot_pair<pool_raw>)->Name("hot pair/ring_buffer_pool");
BENCHMARK(hot_pair_handle)->Name("hot pair/ring_buffer_pool, handle");
BENCHMARK(hot_pair<pool_hardened>)->Name("hot pair/ring_buffer_pool, hardened");
BENCHMARK(hot_pair<pool_without_cache>)->Name("hot pair/ring_buffer_pool, no cache");
BENCHMARK(hot_pair<multi_size_raw>)->Name("hot pair/multi_size_ring_pool");
BENCHMARK(held_64_random<glibc_malloc>)->Name("64 held/glibc malloc");
BENCHMARK(held_64_random<thread_local_vector>)->Name("64 held/thread-local vector");
BENCHMARK(held_64_random<pool_raw>)->Name("64 held/ring_buffer_pool");
BENCHMARK(held_64_random<multi_size_raw>)->Name("64 held/multi_size_ring_pool");

/// Collects every repetition's time and prints the comparison at the end.
class ratio_reporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration) {
        times_[run.run_name.function_name].push_back(run.GetAdjustedCPUTime());
      }
    }
  }

  void Finalize() override {
    fmt::print("\n{:<46} {:>8} {:>8} {:>8}   {:>8}\n", "ns per pair", "median", "min", "max",
               "/ malloc");
    std::vector<std::string> order;  // the workloads, and in each the fastest first
    for (auto& [name, times] : times_) {
      std::sort(times.begin(), times.end());
      order.push_back(name);
    }
    std::sort(order.begin(), order.end(), [this](const std::string& a, const std::string& b) {
      return std::pair(workload_of(a), median(times_[a])) <
             std::pair(workload_of(b), median(times_[b]));
    });
    for (const std::string& name : order) {
      const std::vector<double>& times = times_[name];
      const std::string workload = workload_of(name);
      fmt::print("{:<46} {:>8.2f} {:>8.2f} {:>8.2f}   {:>8.2f}\n", name, median(times),
                 times.front(), times.back(),
                 median(times) / median(times_[workload + "/glibc malloc"]));
    }
  }

 private:
  static std::string workload_of(const std::string& name) { return name.substr(0, name.find('/')); }

  static double median(std::vector<double> values) {
    if (values.empty()) {
      return 0;
    }
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  std::map<std::string, std::vector<double>> times_;
};

void pin_to_one_processor() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  const auto smoke = std::find(arguments.begin(), arguments.end(), "--smoke");
  if (smoke != arguments.end()) {
    *smoke = "--benchmark_min_time=0.001";
  } else {
    arguments.insert(arguments.begin() + 1,
                     {"--benchmark_repetitions=15", "--benchmark_min_time=0.05",
                      "--benchmark_enable_random_interleaving=true"});
  }
  std::vector<char*> pointers;
  std::transform(arguments.begin(), arguments.end(), std::back_inserter(pointers),
                 [](std::string& argument) { return argument.data(); });
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) {
    return 2;
  }
  pin_to_one_processor();
  ratio_reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return 0;
}
