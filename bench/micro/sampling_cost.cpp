// SPDX-License-Identifier: MIT
//
// What sampling costs, in a thread's processor time: pools without it, with sites, and with stacks,
// in turn, as ratios to the first.

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ringpool/ringpool.hpp>
#include <vector>

namespace {

using ringpool::ring_buffer_pool;

constexpr std::size_t buffer_bytes = 512;
constexpr std::size_t rounds = 40;

double thread_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Nanoseconds a turn.
template <class Turn>
double measured(std::size_t turns, Turn turn) {
  const double start = thread_ns();
  for (std::size_t i = 0; i < turns; ++i) {
    turn(i);
  }
  return (thread_ns() - start) / static_cast<double>(turns);
}

double bare_pairs(ring_buffer_pool& pool) {
  return measured(400'000, [&](std::size_t) {
    void* const data = pool.allocate(buffer_bytes);
    asm volatile("" : : "r"(data) : "memory");
    pool.deallocate(data);
  });
}

double frames(ring_buffer_pool& pool) {
  return measured(40'000, [&](std::size_t i) {
    const ringpool::buffer frame = pool.alloc(buffer_bytes);
    std::memset(frame.data(), static_cast<int>(i), frame.size());
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < frame.size(); at += sizeof sum) {
      std::uint64_t word = 0;
      std::memcpy(&word, frame.data() + at, sizeof word);
      sum = sum * 31 + word;
    }
    asm volatile("" : : "r"(sum));
  });
}

void print(const char* what, std::vector<double> ratios) {
  std::sort(ratios.begin(), ratios.end());
  std::printf("%-28s %8.3f   (%.3f to %.3f)\n", what, ratios[ratios.size() / 2],
              ratios[ratios.size() / 10], ratios[ratios.size() * 9 / 10]);
}

ringpool::pool_options sampled(std::size_t interval, std::size_t depth) {
  ringpool::pool_options options;
  options.sampling = {interval, depth};
  return options;
}

}  // namespace

int main() {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  (void)::sched_setaffinity(0, sizeof first, &first);

  ring_buffer_pool off(buffer_bytes, 1024);
  ring_buffer_pool sites(buffer_bytes, 1024, sampled(128, 1));
  ring_buffer_pool stacks(buffer_bytes, 1024, sampled(128, 8));
  std::vector<double> pair_ns;
  std::vector<double> pair_sites;
  std::vector<double> pair_stacks;
  std::vector<double> frame_ns;
  std::vector<double> frame_sites;
  std::vector<double> frame_stacks;
  for (std::size_t round = 0; round <= rounds; ++round) {
    const double pair = bare_pairs(off);
    const double pair_with_site = bare_pairs(sites);
    const double pair_with_stack = bare_pairs(stacks);
    const double frame = frames(off);
    const double frame_with_site = frames(sites);
    const double frame_with_stack = frames(stacks);
    if (round == 0) {
      continue;  // warm-up
    }
    pair_ns.push_back(pair);
    pair_sites.push_back(pair_with_site / pair);
    pair_stacks.push_back(pair_with_stack / pair);
    frame_ns.push_back(frame);
    frame_sites.push_back(frame_with_site / frame);
    frame_stacks.push_back(frame_with_stack / frame);
  }
  std::printf("processor time of a thread, %zu rounds: median (10th to 90th percentile)\n", rounds);
  print("pair without sampling, ns", pair_ns);
  print("  1 in 128, site: ratio", pair_sites);
  print("  1 in 128, 8 frames: ratio", pair_stacks);
  print("frame without sampling, ns", frame_ns);
  print("  1 in 128, site: ratio", frame_sites);
  print("  1 in 128, 8 frames: ratio", frame_stacks);
  return 0;
}
