// SPDX-License-Identifier: MIT
//
// What only ringpool has: the ways on when every buffer is held.

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <ringpool/ringpool.hpp>
#include <thread>
#include <vector>

#include "add_contender.hpp"

namespace {

using ringpool::ring_buffer_pool;

constexpr bench::about pool{.name = "ringpool", .ours = true, .exact = true};

/// A pool whose ring is all held, so that each further allocation goes on.
class spent_pool {
 public:
  explicit spent_pool(const ringpool::pool_options& options) : pool_(1024, ring_.size(), options) {
    (void)pool_.allocate_bulk(ring_);
  }
  ~spent_pool() { pool_.deallocate_bulk(ring_); }
  spent_pool(const spent_pool&) = delete;
  spent_pool& operator=(const spent_pool&) = delete;
  ring_buffer_pool* operator->() { return &pool_; }

 private:
  std::array<void*, 64> ring_{};
  ring_buffer_pool pool_;
};

/// {ns per allocation}: 128 in a row, their frees not counted, all touched before.
bench::sample elastic(const bench::effort& wanted) {
  bench::pin_this_thread(wanted.first_cpu);
  spent_pool one({.elastic_capacity = 1024});
  std::array<void*, 128> batch{};
  bench::clock::duration spent{};
  std::size_t count = 0;
  const auto target = bench::span_of(wanted, bench::one_thread_ms);
  for (bool warm = false; spent < target; warm = true) {
    const auto start = bench::clock::now();
    for (void*& buffer : batch) {
      buffer = one->allocate(bench::request_bytes);
      bench::touch(buffer);
    }
    if (warm) {
      spent += bench::clock::now() - start;
      count += batch.size();
    }
    for (void* buffer : batch) {
      one->deallocate(buffer);
    }
  }
  return {bench::nanoseconds(spent) / static_cast<double>(count)};
}

/// {ns per pair}
bench::sample upstream(const bench::effort& wanted) {
  bench::pin_this_thread(wanted.first_cpu);
  spent_pool one({});
  return {bench::time_turns(wanted, bench::one_thread_ms, [&one](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      void* const buffer = one->allocate(bench::request_bytes);
      bench::touch(buffer);
      one->deallocate(buffer);
    }
  })};
}

/// Takes and gives all buffers until every entry of the ring was written: in a pool that is new, a
/// raid may be what touches a page of it first.
void wear_in(ring_buffer_pool& one) {
  std::vector<void*> all(one.capacity());
  for (int lap = 0; lap < 3; ++lap) {
    (void)one.allocate_bulk(all);
    one.deallocate_bulk(all);
  }
}

/// Nanoseconds of the allocation that finds the ring and its own cache empty, 63 others not.
double time_raid(ring_buffer_pool& one) {
  std::vector<void*> held;
  held.reserve(one.capacity() + 1);
  const ringpool::pool_stats before = one.stats();
  for (std::uint64_t i = before.cached; i < before.available; ++i) {
    held.push_back(one.try_allocate(1));
  }
  double spent = 0;
  while (one.stats().raid_count == before.raid_count && held.back() != nullptr) {
    const std::uint64_t start = bench::ticks();
    void* const buffer = one.try_allocate(1);
    spent = static_cast<double>(bench::ticks() - start) * bench::nanoseconds_per_tick();
    held.push_back(buffer);
  }
  for (void* buffer : held) {
    one.deallocate(buffer);
  }
  return spent;
}

/// {median us, longest us} of raids on 5 pools that 63 other live threads have caches in.
bench::sample raid(const bench::effort& wanted) {
  constexpr std::size_t threads = 63;
  std::array<std::unique_ptr<ring_buffer_pool>, 5> pools;
  for (auto& each : pools) {
    each = std::make_unique<ring_buffer_pool>(64, (threads + 1) * 256);
    wear_in(*each);
  }
  std::atomic<std::size_t> ready{0};
  bench::crew idle(wanted, threads, [&](std::size_t, bench::crew::member& self) {
    for (auto& each : pools) {
      each->deallocate(each->allocate(1));
    }
    ready.fetch_add(1);
    while (self.go_on.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  while (ready.load() != threads) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  bench::pin_this_thread(wanted.first_cpu);
  std::array<double, pools.size()> us{};
  std::transform(pools.begin(), pools.end(), us.begin(),
                 [](auto& each) { return time_raid(*each) / 1e3; });
  std::sort(us.begin(), us.end());
  return {us[us.size() / 2], us.back()};
}

const bool added = [] {
  bench::contender& one = bench::row(pool);
  one[bench::workload::elastic] = elastic;
  one[bench::workload::upstream] = upstream;
  one[bench::workload::raid] = raid;
  return true;
}();

}  // namespace
