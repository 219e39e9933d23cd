// SPDX-License-Identifier: MIT
//
// ringpool alone, on Google Benchmark: how a pair depends on what a user sets. There is nobody to
// be compared with here, so there is nothing to interleave; but std::shared_ptr stands beside a
// shared handle, a vector beside a chain, the decoder that copies beside the one that does not, and
// std::pmr's resources beside pmr::pool_resource, the same loop over both.

#include <benchmark/benchmark.h>

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <latch>
#include <list>
#include <memory>
#include <memory_resource>
#include <ringpool/adapters/pmr.hpp>
#include <ringpool/codec/chain_frame.hpp>
#include <ringpool/codec/frame.hpp>
#include <ringpool/ringpool.hpp>
#include <thread>
#include <utility>
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

/// Without a second thread, libstdc++ counts the owners of a shared_ptr without atomics.
class second_thread {
 public:
  second_thread() : thread_([this] { leave_.wait(); }) {}
  ~second_thread() {
    leave_.count_down();
    thread_.join();
  }
  second_thread(const second_thread&) = delete;
  second_thread& operator=(const second_thread&) = delete;

 private:
  std::latch leave_{1};
  std::thread thread_;
};

constexpr std::size_t shared_bytes = 512;  // with its count well within what malloc caches
using shared_array = std::shared_ptr<std::array<std::byte, shared_bytes>>;

const std::vector<unsigned> processors = bench::first_processors();  // before this one is pinned

/// One more owner, and one less.
template <class Shared>
void copy_and_drop(benchmark::State& state, const Shared& one) {
  const second_thread other;
  const auto number = static_cast<std::size_t>(state.thread_index());
  bench::pin_this_thread(processors[number % processors.size()]);
  for (auto _ : state) {
    Shared copy(one);
    bench::escape(copy);
  }
  state.SetItemsProcessed(state.iterations());
}
void copy_and_drop_shared_buffer(benchmark::State& state) {
  static ring_buffer_pool pool(shared_bytes, 1024);
  static const ringpool::shared_buffer one = pool.alloc(shared_bytes);
  copy_and_drop(state, one);
}
void copy_and_drop_shared_ptr(benchmark::State& state) {
  static const auto one = std::make_shared<std::array<std::byte, shared_bytes>>();
  copy_and_drop(state, one);
}

/// From the allocation to the only owner's end, and with a copy in between.
template <class Shared, class Make>
void whole_life(benchmark::State& state, Make make) {
  const second_thread other;
  for (auto _ : state) {
    Shared one(make());
    bench::escape(one);
    if (state.range(0) != 0) {
      Shared copy(one);
      bench::escape(copy);
    }
  }
  state.SetItemsProcessed(state.iterations());
}
void life_of_shared_buffer(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1024);
  whole_life<ringpool::shared_buffer>(state, [&] { return pool.alloc(shared_bytes); });
}
void life_of_shared_ptr(benchmark::State& state) {
  whole_life<shared_array>(
      state, [] { return std::make_shared_for_overwrite<shared_array::element_type>(); });
}

// ---- Nodes of a list: one more at its end and one less at its start, `held` of them in it -------

template <class List>
void push_and_pop(benchmark::State& state, List list) {
  const second_thread other;
  list.resize(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    list.push_back(1);
    bench::escape(list.back());
    list.pop_front();
  }
  state.SetItemsProcessed(state.iterations());
}
template <class Resource>
void list_on(benchmark::State& state) {
  Resource memory;
  push_and_pop(state, std::pmr::list<int>(&memory));
}
void list_on_pool_resource(benchmark::State& state) {
  ringpool::multi_size_ring_pool pool({{64, 4096}, {512, 4096}});
  ringpool::pmr::pool_resource<> memory(pool);
  push_and_pop(state, std::pmr::list<int>(&memory));
}
void list_on_pool_allocator(benchmark::State& state) {
  ringpool::multi_size_ring_pool pool({{64, 4096}, {512, 4096}});
  push_and_pop(state, std::list<int, ringpool::pool_allocator<int>>(pool));
}
void list_on_pool_allocator_of_one_size(benchmark::State& state) {
  ring_buffer_pool pool(64, 4096);
  push_and_pop(state, std::list<int, ringpool::pool_allocator<int, ring_buffer_pool>>(pool));
}
void list_on_new(benchmark::State& state) { push_and_pop(state, std::list<int>()); }

BENCHMARK(list_on_pool_resource)->ArgName("held")->Arg(1)->Arg(64)->Arg(1000);
BENCHMARK(list_on_pool_allocator)->ArgName("held")->Arg(1)->Arg(64)->Arg(1000);
BENCHMARK(list_on_pool_allocator_of_one_size)->ArgName("held")->Arg(1)->Arg(64)->Arg(1000);
BENCHMARK_TEMPLATE(list_on, std::pmr::unsynchronized_pool_resource)
    ->Name("list_on_unsynchronized_pool_resource")
    ->ArgName("held")
    ->Arg(1)
    ->Arg(64)
    ->Arg(1000);
BENCHMARK_TEMPLATE(list_on, std::pmr::synchronized_pool_resource)
    ->Name("list_on_synchronized_pool_resource")
    ->ArgName("held")
    ->Arg(1)
    ->Arg(64)
    ->Arg(1000);
BENCHMARK(list_on_new)->ArgName("held")->Arg(1)->Arg(64)->Arg(1000);

// ---- Chains, and frames as chains ---------------------------------------------------------------

constexpr std::size_t slices = 64;

/// A slice of each of 64 buffers, in a row, as iovecs; then all are dropped.
template <class Row, class Append, class View>
void slices_and_view(benchmark::State& state, Append append, View view) {
  ring_buffer_pool pool(4096, 256);
  std::vector<ringpool::shared_buffer> received;
  for (std::size_t i = 0; i < slices; ++i) {
    received.emplace_back(pool.alloc(4096));
  }
  std::array<::iovec, slices> vectors;
  for (auto _ : state) {
    Row row{};
    for (const ringpool::shared_buffer& one : received) {
      append(row, one.slice(100, 1000));
    }
    view(row, vectors);
    benchmark::DoNotOptimize(vectors);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(slices));
}
void slices_in_a_chain(benchmark::State& state) {
  using ringpool::buffer_chain;
  slices_and_view<buffer_chain>(
      state,
      [](buffer_chain& row, ringpool::shared_buffer&& one) {
        static_cast<void>(row.append(std::move(one)));
      },
      [](const buffer_chain& row, std::span<::iovec> out) {
        benchmark::DoNotOptimize(row.iovecs(out));
      });
}
void slices_in_a_vector(benchmark::State& state) {
  using row_type = std::vector<ringpool::shared_buffer>;
  slices_and_view<row_type>(
      state, [](row_type& row, ringpool::shared_buffer&& one) { row.push_back(std::move(one)); },
      [](const row_type& row, std::span<::iovec> out) {
        for (std::size_t i = 0; i < row.size(); ++i) {
          out[i] = {const_cast<std::byte*>(row[i].data()), row[i].size()};
        }
      });
}

constexpr std::size_t frame_bytes = 65536;
constexpr std::size_t received_bytes = 4096;
constexpr std::size_t receives =
    (frame_bytes + ringpool::frame_header_bytes - 1) / received_bytes + 1;
constexpr std::size_t last_bytes =
    frame_bytes + ringpool::frame_header_bytes - (receives - 1) * received_bytes;

void put_header(std::byte* to) {
  const ringpool::frame_header header = ringpool::encode_frame_header(frame_bytes);
  std::memcpy(to, header.data(), header.size());
}

/// A frame of 64 KiB that comes in 17 receives, each into a buffer of its own.
void frame_as_a_chain(benchmark::State& state) {
  ringpool::multi_size_ring_pool pool({{1024, 256}, {received_bytes, 256}});
  ringpool::chain_frame_decoder decoder(frame_bytes, pool);
  for (auto _ : state) {
    for (std::size_t i = 0; i < receives; ++i) {
      ringpool::buffer memory = pool.alloc(i + 1 < receives ? received_bytes : last_bytes);
      put_header(memory.data());
      ringpool::shared_buffer input(std::move(memory));
      benchmark::DoNotOptimize(decoder.decode(input));
    }
    const ringpool::buffer_chain frame = decoder.take();
    bench::escape(frame);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(frame_bytes));
}
/// The same, each into one and the same buffer, and copied from there.
void frame_by_copying(benchmark::State& state) {
  ringpool::multi_size_ring_pool pool({{received_bytes, 256}, {16384, 64}, {frame_bytes, 16}});
  ringpool::basic_frame_decoder<ringpool::buffer> decoder(frame_bytes);
  std::array<std::byte, received_bytes> memory{};
  for (auto _ : state) {
    for (std::size_t i = 0; i < receives; ++i) {
      put_header(memory.data());
      const std::size_t size = i + 1 < receives ? received_bytes : last_bytes;
      benchmark::DoNotOptimize(decoder.decode(pool, std::span(memory).first(size)));
    }
    const ringpool::buffer frame = decoder.take();
    bench::escape(frame);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(frame_bytes));
}

// ---- A handle alone, charged to an account, and of a pool with a plan of faults -----------------

template <class Take>
void pair(benchmark::State& state, Take take) {
  for (auto _ : state) {
    const auto one = take();
    bench::touch(one.data());
  }
}
void pair_of_a_handle(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1024);
  pair(state, [&] { return pool.alloc(shared_bytes); });
}
void pair_charged_twice(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1024);
  ringpool::account server({.limit_bytes = 1 << 20});
  ringpool::account room({.limit_bytes = 1 << 20, .parent = &server});
  pair(state, [&] { return room.alloc(pool, shared_bytes); });
}
void pair_with_a_fault_plan(benchmark::State& state) {
  ringpool::fault_plan plan({.nth = ~std::uint64_t{0}});
  ring_buffer_pool pool(shared_bytes, 1024, {.faults = &plan});
  pair(state, [&] { return pool.alloc(shared_bytes); });
}

/// 16 integers of 4 bytes from a chain of two pieces, the ninth across the cut.
void integers_from_a_chain(benchmark::State& state) {
  ring_buffer_pool pool(64, 16);
  ringpool::buffer_chain chain;
  for (const std::size_t bytes : {34U, 30U}) {
    static_cast<void>(chain.append(pool.alloc(bytes)));
  }
  for (auto _ : state) {
    ringpool::chain_reader reader(chain);
    std::uint32_t sum = 0;
    for (std::uint32_t number = 0; reader.read_be(number);) {
      sum += number;
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * 16);
}

// ---- Waiting ------------------------------------------------------------------------------------

constexpr ringpool::pool_options only_ring{.upstream = nullptr};

struct keeping_waiter : ringpool::buffer_waiter {
  keeping_waiter() : buffer_waiter(1, &on_served) {}
  static void on_served(buffer_waiter& waiter, ringpool::buffer&& got) noexcept {
    static_cast<keeping_waiter&>(waiter).got = std::move(got);
  }
  ringpool::buffer got;
};

/// A wait that begins, and ends with nothing.
void enqueue_and_cancel(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1, only_ring);
  const ringpool::buffer held = pool.alloc(1);
  keeping_waiter waiter;
  for (auto _ : state) {
    benchmark::DoNotOptimize(pool.enqueue(waiter));
    benchmark::DoNotOptimize(waiter.cancel());
  }
}

/// A free that serves the oldest of so many waiters and more; who was served waits anew.
void free_to_a_waiter(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1, only_ring);
  std::vector<keeping_waiter> waiters(static_cast<std::size_t>(state.range(0)) + 1);
  ringpool::buffer held = pool.alloc(1);
  for (keeping_waiter& one : waiters) {
    benchmark::DoNotOptimize(pool.enqueue(one));
  }
  std::size_t oldest = 0;
  for (auto _ : state) {
    held.reset();
    keeping_waiter& served = waiters[oldest];
    oldest = (oldest + 1) % waiters.size();
    held = std::move(served.got);
    benchmark::DoNotOptimize(pool.enqueue(served));
  }
  for (keeping_waiter& one : waiters) {
    one.cancel();
  }
}

/// So many waiters in a row, each of which gives the buffer on at once: ns for one.
void pass_along_waiters(benchmark::State& state) {
  struct passing_waiter : ringpool::buffer_waiter {
    passing_waiter()
        : buffer_waiter(
              1, [](buffer_waiter& /*self*/, ringpool::buffer&& got) noexcept { got.reset(); }) {}
  };
  ring_buffer_pool pool(shared_bytes, 1, only_ring);
  std::vector<passing_waiter> waiters(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    ringpool::buffer held = pool.alloc(1);
    for (passing_waiter& one : waiters) {
      benchmark::DoNotOptimize(pool.enqueue(one));
    }
    state.ResumeTiming();
    held.reset();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

/// From the free to the return of alloc_for on another thread, which sleeps.
void wake_up(benchmark::State& state) {
  ring_buffer_pool pool(shared_bytes, 1, only_ring);
  std::atomic<bool> over{false};
  std::atomic<std::int64_t> woken_ns{0};
  const auto now_ns = [] {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               bench::clock::now().time_since_epoch())
        .count();
  };
  ringpool::buffer held = pool.alloc(1);
  std::thread sleeper([&] {
    bench::pin_this_thread(processors.back());
    while (!over.load(std::memory_order_relaxed)) {
      const ringpool::buffer got = pool.alloc_for(1, std::chrono::seconds(10));
      woken_ns.store(now_ns(), std::memory_order_release);
    }
  });
  for (auto _ : state) {
    while (pool.stats().waiting == 0) {
      std::this_thread::yield();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // until it sleeps
    woken_ns.store(0, std::memory_order_relaxed);
    const std::int64_t start = now_ns();
    held.reset();
    std::int64_t end = 0;
    while ((end = woken_ns.load(std::memory_order_acquire)) == 0) {
      std::this_thread::yield();
    }
    held = pool.alloc_for(1, std::chrono::seconds(10));
    state.SetIterationTime(static_cast<double>(end - start) * 1e-9);
  }
  over.store(true);
  held.reset();
  sleeper.join();
}

BENCHMARK(by_buffer_size)->Arg(64)->Arg(512)->Arg(1500)->Arg(4096)->Arg(65536);
BENCHMARK(by_cache_limit)->Arg(0)->Arg(8)->Arg(32)->Arg(128);
BENCHMARK(by_held)->Arg(1)->Arg(32)->Arg(128)->Arg(512)->Arg(2048);
BENCHMARK(by_bulk)->Arg(1)->Arg(8)->Arg(32)->Arg(128)->Arg(512);
BENCHMARK(by_zeroing)->ArgName("none_used_all")->Arg(0)->Arg(1)->Arg(2);
BENCHMARK(statistics);
BENCHMARK(copy_and_drop_shared_buffer)->Threads(1)->Threads(2)->UseRealTime();
BENCHMARK(copy_and_drop_shared_ptr)->Threads(1)->Threads(2)->UseRealTime();
BENCHMARK(life_of_shared_buffer)->ArgName("copies")->Arg(0)->Arg(1);
BENCHMARK(life_of_shared_ptr)->ArgName("copies")->Arg(0)->Arg(1);
BENCHMARK(slices_in_a_chain);
BENCHMARK(slices_in_a_vector);
BENCHMARK(frame_as_a_chain);
BENCHMARK(frame_by_copying);
BENCHMARK(pair_of_a_handle);
BENCHMARK(pair_charged_twice);
BENCHMARK(pair_with_a_fault_plan);
BENCHMARK(integers_from_a_chain);
BENCHMARK(enqueue_and_cancel);
BENCHMARK(free_to_a_waiter)->ArgName("more")->Arg(0)->Arg(1000);
BENCHMARK(pass_along_waiters)->Arg(100)->Arg(10000);
BENCHMARK(wake_up)->UseManualTime()->Iterations(2000);

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
