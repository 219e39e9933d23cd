// SPDX-License-Identifier: MIT
//
// ringpool alone, on Google Benchmark: how a pair depends on what a user sets. There is nobody to
// be compared with here, so there is nothing to interleave.

#include <benchmark/benchmark.h>

#include <ringpool/ringpool.hpp>
#include <vector>

#include "measure.hpp"
#include "micro.hpp"

namespace {

using ringpool::ring_buffer_pool;

/// Takes `held` in a row and gives them back: more than the cache holds means refills and flushes.
void take_and_give(benchmark::State& state, ring_buffer_pool& pool, std::size_t held) {
  std::vector<void*> buffers(held);
  for (auto _ : state) {
    for (void*& buffer : buffers) {
      buffer = pool.allocate(1);
      bench::touch(buffer);
    }
    for (void* buffer : buffers) {
      pool.deallocate(buffer);
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(held));
}

void by_buffer_size(benchmark::State& state) {
  ring_buffer_pool pool(static_cast<std::size_t>(state.range(0)), 1024);
  take_and_give(state, pool, 32);
}

void by_cache_limit(benchmark::State& state) {
  ring_buffer_pool pool(1024, 1024, {.cache_limit = static_cast<std::size_t>(state.range(0))});
  take_and_give(state, pool, 32);
}

void by_held(benchmark::State& state) {
  ring_buffer_pool pool(1024, 4096);
  take_and_give(state, pool, static_cast<std::size_t>(state.range(0)));
}

void by_bulk(benchmark::State& state) {
  ring_buffer_pool pool(1024, 4096);
  std::vector<void*> buffers(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(pool.allocate_bulk(buffers));
    pool.deallocate_bulk(buffers);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void by_zeroing(benchmark::State& state) {
  ring_buffer_pool pool(4096, 1024,
                        {.zero_on_free = static_cast<ringpool::zeroing>(state.range(0))});
  for (auto _ : state) {
    const ringpool::buffer one = pool.alloc(200);
    bench::touch(one.data());
  }
  state.SetItemsProcessed(state.iterations());
}

void statistics(benchmark::State& state) {
  const ring_buffer_pool pool(1024, 1024);
  for (auto _ : state) {
    benchmark::DoNotOptimize(pool.stats());
  }
}

BENCHMARK(by_buffer_size)->Arg(64)->Arg(512)->Arg(1500)->Arg(4096)->Arg(65536);
BENCHMARK(by_cache_limit)->Arg(0)->Arg(8)->Arg(32)->Arg(128);
BENCHMARK(by_held)->Arg(1)->Arg(32)->Arg(128)->Arg(512)->Arg(2048);
BENCHMARK(by_bulk)->Arg(1)->Arg(8)->Arg(32)->Arg(128)->Arg(512);
BENCHMARK(by_zeroing)->ArgName("none_used_all")->Arg(0)->Arg(1)->Arg(2);
BENCHMARK(statistics);

const bool added = (bench::micro() = [](int argc, char** argv) {
                     bench::pin_this_thread(bench::first_processors().front());
                     benchmark::Initialize(&argc, argv);
                     if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
                       return 2;
                     }
                     benchmark::RunSpecifiedBenchmarks();
                     return 0;
                   }) != nullptr;

}  // namespace
