// SPDX-License-Identifier: MIT
//
// Nanoseconds of a thread's processor time: for a pair, and for a pair among 32 that are taken,
// then given back. counter_cost.py builds it with and without the counts of a hit.

#include <time.h>

#include <array>
#include <cstdio>
#include <ringpool/ring_buffer_pool.hpp>

namespace {

double thread_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double pair_ns(ringpool::ring_buffer_pool& pool, std::size_t held) {
  constexpr std::size_t pairs = 1 << 21;
  std::array<void*, 32> buffers{};
  const double start = thread_ns();
  for (std::size_t i = 0; i < pairs; i += held) {
    for (std::size_t j = 0; j < held; ++j) {
      buffers[j] = pool.allocate(64);
      asm volatile("" : : "r"(buffers[j]) : "memory");
    }
    for (std::size_t j = 0; j < held; ++j) {
      pool.deallocate(buffers[j]);
    }
  }
  return (thread_ns() - start) / static_cast<double>(pairs);
}

}  // namespace

int main() {
  ringpool::ring_buffer_pool pool(64, 1024);
  (void)pair_ns(pool, 32);  // warm-up
  const double one = pair_ns(pool, 1);
  const double burst = pair_ns(pool, 32);
  std::printf("%.4f %.4f\n", one, burst);
  return 0;
}
