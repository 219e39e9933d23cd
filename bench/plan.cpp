// SPDX-License-Identifier: MIT

#include "plan.hpp"

#include <cstring>

#include <algorithm>
#include <array>

namespace bench {

std::span<const workload_info> workloads() {
  using w = workload;
  using enum better;
  using enum cost;
  // clang-format off
  static const std::array<workload_info, workload_count> all{{
      {w::hot_pair, "hot-pair", "Hot pair: take one, give it back", "ns per pair"},
      {w::held_fifo, "held-fifo", "64 held, the oldest replaced", "ns per pair"},
      {w::held_random, "held-random", "64 held, one at random replaced", "ns per pair"},
      {w::mixed_sizes, "mixed-sizes", "64 held, mixed sizes in a game's proportions", "ns per pair"},
      {w::bulk_32, "bulk-32", "Bulk of 32", "ns per buffer"},
      {w::hand_off, "hand-off", "Hand-off to the other processor, the channel included",
       "ns per buffer", less, cheap, {"ns", "line round trip"}},
      {w::hand_off_touched, "hand-off-touched", "Hand-off, a byte written before and read after",
       "ns per buffer", less, cheap, {"ns", "line round trip"}},
      {w::threads_2, "threads-2", "2 threads on 2 processors", "million pairs/s", more},
      {w::threads_16, "threads-16", "16 threads on 2 processors", "million pairs/s", more, crowded},
      {w::threads_64, "threads-64", "64 threads on 2 processors", "million pairs/s", more, crowded},
      {w::tail_64, "tail-64", "One call, 64 threads on 2 processors", "ns, p99.99", less, crowded,
       {"p99.99", "p50", "p99", "p99.9", "longest"}},
      {w::refusal, "refusal", "Refusal: every buffer is held", "ns per call"},
      {w::at_limit, "at-limit", "4 threads that want twice what there is, for a second",
       "million served calls/s", more},
      {w::elastic, "elastic", "Elastic buffers, touched before", "ns per allocation"},
      {w::upstream, "upstream", "Upstream: the pool is spent, the heap serves", "ns per pair"},
      {w::raid, "raid", "An allocation that raids 63 other caches", "us per allocation", less,
       cheap, {"us", "longest of 5"}},
      {w::births, "births", "Thousands of threads: each does one pair, all stay alive",
       "us per thread", less, fresh, {"us", "KiB resident per thread"},
       // those that keep something for each thread, and two that do not
       {"empty loop", "ringpool", "ringpool, sizes", "thread-local vector", "glibc malloc",
        "gperftools", "jemalloc", "mimalloc", "oneTBB scalable", "DPDK + cache",
        "mutex and vector"}},
      {w::memory, "memory", "Memory beside the buffers' own: 65,536 of 1,024 bytes",
       "bytes per buffer", less, fresh},
  }};
  // clang-format on
  return all;
}

const workload_info& info_of(workload which) {
  return workloads()[static_cast<std::size_t>(which)];  // in the enumeration's order
}

bool matches(const std::vector<std::string>& filters, const std::string& text) {
  return filters.empty() || std::any_of(filters.begin(), filters.end(), [&](const auto& part) {
           return strcasestr(text.c_str(), part.c_str()) != nullptr;
         });
}

}  // namespace bench
