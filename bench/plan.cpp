// SPDX-License-Identifier: MIT

#include "plan.hpp"

#include <cstring>

#include <algorithm>
#include <array>

namespace bench {

std::span<const workload_info> workloads() {
  using w = workload;
  static const std::array<workload_info, workload_count> all{{
      {w::hot_pair, "hot-pair", "Hot pair: take one, give it back", "ns per pair"},
      {w::held_fifo, "held-fifo", "64 held, the oldest replaced", "ns per pair"},
      {w::held_random, "held-random", "64 held, one at random replaced", "ns per pair"},
      {w::mixed_sizes, "mixed-sizes", "64 held, mixed sizes in a game's proportions",
       "ns per pair"},
      {w::bulk_32, "bulk-32", "Bulk of 32", "ns per buffer"},
      {w::hand_off,
       "hand-off",
       "Hand-off to the other processor, the channel included",
       "ns per buffer",
       better::less,
       process::shared,
       {"ns", "line round trip"}},
      {w::hand_off_touched,
       "hand-off-touched",
       "Hand-off, one byte written before and read after",
       "ns per buffer",
       better::less,
       process::shared,
       {"ns", "line round trip"}},
      {w::threads_2, "threads-2", "2 threads on 2 processors", "million pairs/s", better::more},
      {w::threads_16, "threads-16", "16 threads on 2 processors", "million pairs/s", better::more},
      {w::threads_64, "threads-64", "64 threads on 2 processors", "million pairs/s", better::more},
      {w::tail_64,
       "tail-64",
       "One call, 64 threads on 2 processors",
       "ns, p99.99",
       better::less,
       process::shared,
       {"p99.99", "p50", "p99", "p99.9", "longest"}},
      {w::refusal, "refusal", "Refusal: every buffer is held", "ns per call"},
      {w::at_limit, "at-limit", "4 threads that want twice what there is, for a second",
       "million served calls/s", better::more},
      {w::elastic, "elastic", "Elastic buffers, touched before", "ns per allocation"},
      {w::upstream, "upstream", "Upstream: the pool is spent, the heap serves", "ns per pair"},
      {w::raid, "raid", "An allocation that raids 63 other caches", "us per allocation"},
      {w::births,
       "births",
       "10,000 threads, all alive, one pair each",
       "us per thread",
       better::less,
       process::fresh,
       {"us", "KiB resident per thread"}},
      {w::memory, "memory", "Memory beside the buffers' own: 65,536 of 1,024 bytes",
       "bytes per buffer", better::less, process::fresh},
  }};
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
