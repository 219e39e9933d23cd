// SPDX-License-Identifier: MIT
//
// Passes every static tracepoint of a pool a known number of times, then prints what the pool's
// statistics say of it, as `name number` lines. Waits for a line on standard input before it
// starts, so that a tracer can attach.

#include <cstdio>
#include <ringpool/ringpool.hpp>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t buffer_bytes = 512;
constexpr std::size_t ring_count = 64;
constexpr std::size_t elastic_count = 32;
constexpr std::size_t upstream_count = 5;
constexpr std::size_t wait_count = 7;
constexpr std::size_t refusal_count = 11;

void hold_everything_and_wait(ringpool::ring_buffer_pool& pool) {
  std::vector<ringpool::buffer> held;
  for (std::size_t i = 0; i < ring_count + elastic_count + upstream_count; ++i) {
    held.push_back(pool.alloc(buffer_bytes));
  }
  for (std::size_t i = 0; i < refusal_count; ++i) {
    (void)pool.alloc(buffer_bytes, std::nothrow);
  }
  for (std::size_t i = 0; i < wait_count; ++i) {  // these meet their deadlines
    (void)pool.alloc_for(buffer_bytes, 1us);
  }
  for (std::size_t i = 0; i < wait_count; ++i) {  // these are served
    std::thread waiter([&] { (void)pool.alloc_for(buffer_bytes, 60s); });
    while (pool.stats().waiting == 0) {
      std::this_thread::yield();
    }
    held.pop_back();
    waiter.join();
    held.push_back(pool.alloc(buffer_bytes));
  }
}

void use_caches(ringpool::ring_buffer_pool& pool) {
  std::vector<ringpool::buffer> held;
  for (std::size_t i = 0; i < ring_count; ++i) {
    held.push_back(pool.alloc(buffer_bytes));
  }
  held.clear();  // fills this thread's cache, and flushes what is too much
  std::thread other([&] {
    for (std::size_t i = 0; i < ring_count; ++i) {  // the last of them by a raid of that cache
      held.push_back(pool.try_alloc(buffer_bytes));
    }
    held.clear();
  });
  other.join();
}

}  // namespace

int main() {
  ringpool::pool_options options;
  options.elastic_capacity = elastic_count;
  options.upstream_budget_bytes = upstream_count * buffer_bytes;
  ringpool::ring_buffer_pool pool(buffer_bytes, ring_count, options);
  if (std::getchar() == EOF) {
    return 1;
  }
  use_caches(pool);
  hold_everything_and_wait(pool);
  const ringpool::pool_stats stats = pool.stats();
  const auto print = [](const char* name, std::uint64_t number) {
    std::printf("%s %llu\n", name, static_cast<unsigned long long>(number));
  };
  print("elastic", stats.elastic_alloc_count);
  print("upstream", stats.upstream_alloc_count);
  print("refusal", stats.refusal_count);
  print("wait", stats.wait_count);
  print("timed_out", stats.wait_timeout_count);
  print("raid", stats.raid_count);
  return 0;
}
