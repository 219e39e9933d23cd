// SPDX-License-Identifier: MIT

#include "targets.hpp"

#include <array>

namespace bench {

std::span<const relative_target> relative_targets() {
  using w = workload;
  constexpr const char* pool = "ringpool";
  constexpr const char* sizes = "ringpool, sizes";
  constexpr const char* vector = "thread-local vector";
  static const std::array all{std::to_array<relative_target>({
      {w::hot_pair, pool, "gperftools", 0.50},
      {w::hot_pair, pool, "mimalloc", 0.35},
      {w::hot_pair, pool, "DPDK + cache", 0.32},
      {w::hot_pair, pool, vector, 0.75},
      {w::hot_pair, pool, "glibc malloc", 0.28},
      {w::hot_pair, pool, "jemalloc", 0.34},
      {w::held_random, pool, "gperftools", 0.65},
      {w::held_random, pool, "mimalloc", 0.50},
      {w::held_random, pool, "DPDK + cache", 0.42},
      {w::held_random, pool, vector, 0.95},
      {w::hand_off, pool, "gperftools", 0.06},
      {w::hand_off, pool, "mimalloc", 0.18},
      {w::hand_off, pool, "DPDK + cache", 1.1},
      {w::hand_off, pool, "glibc malloc", 0.02},
      {w::hand_off, pool, "jemalloc", 0.06},
      {w::mixed_sizes, sizes, "gperftools", 0.80},
      {w::mixed_sizes, sizes, "mimalloc", 0.68},
      {w::mixed_sizes, sizes, "DPDK + cache", 0.65},
      {w::mixed_sizes, sizes, vector, 0.75},
      {w::threads_64, pool, "gperftools", 1.5},
      {w::threads_64, pool, "mimalloc", 4},
      {w::threads_64, pool, "DPDK + cache", 2.2},
      {w::threads_64, pool, vector, 1.2},
      {w::threads_64, pool, "DPDK, no cache", 50},
      {w::threads_64, pool, "boost::lockfree::stack", 50},
      {w::threads_64, pool, "boost::lockfree::queue", 50},
      {w::threads_64, pool, "moodycamel queue", 50},
      {w::threads_64, pool, "atomic_queue", 50},
      {w::bulk_32, pool, "gperftools", 0.4},
      {w::bulk_32, pool, "mimalloc", 0.3},
      {w::bulk_32, pool, "DPDK + cache", 1.1},
      {w::tail_64, pool, "empty loop", 2},
      {w::at_limit, pool, "boost::lockfree::stack", 1.0 / 3},
      {w::hot_pair, "ringpool, handle", pool, 1.05},
  })};
  return all;
}

std::span<const absolute_target> absolute_targets() {
  using w = workload;
  constexpr const char* pool = "ringpool";
  static const std::array all{std::to_array<absolute_target>({
      {"raid of 63 other caches, us", w::raid, 0, pool, nullptr, 5},
      {"elastic allocation, ns", w::elastic, 0, pool, nullptr, 10},
      {"refusal, ns", w::refusal, 0, pool, nullptr, 10},
      {"several sizes beside one, ns more per pair", w::hot_pair, 0, "ringpool, sizes", pool, 0.7},
      {"memory beside the buffers, bytes each", w::memory, 0, pool, nullptr, 20},
      {"memory for a live thread, KiB more than the thread", w::births, 1, pool, "empty loop", 1.5},
  })};
  return all;
}

}  // namespace bench
