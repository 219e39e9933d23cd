// SPDX-License-Identifier: MIT
#pragma once

// The one header that a file in bench/contenders/ includes.

#include <type_traits>

#include "contender.hpp"
#include "workloads/hand_off.hpp"
#include "workloads/many_threads.hpp"
#include "workloads/one_thread.hpp"
#include "workloads/whole_process.hpp"

namespace bench {

/// Adds a contender to every workload that it can take part in. True, to initialise a constant
/// with.
template <class Contender>
bool add() {
  constexpr about what = Contender::about;
  contender& one = row(what);
  one[workload::hot_pair] = hot_pair<Contender>;
  one[workload::held_fifo] = held_fifo<Contender>;
  one[workload::held_random] = held_random<Contender>;
  using sized = std::conditional_t<what.any_size, Contender, per_class<Contender>>;
  one[workload::mixed_sizes] = mixed_sizes<sized>;
  one[workload::bulk_32] = bulk_32<Contender>;
  if constexpr (!what.one_thread) {
    one[workload::threads_2] = throughput<Contender, 2>;
    one[workload::threads_16] = throughput<Contender, 16>;
    one[workload::threads_64] = throughput<Contender, 64>;
    one[workload::tail_64] = tail_64<Contender>;
    one[workload::births] = births<Contender>;
  }
  one[workload::memory] = memory<Contender>;
  if constexpr (what.crosses_threads && !what.one_thread) {
    one[workload::hand_off] = hand_off<Contender, payload::untouched>;
    one[workload::hand_off_touched] = hand_off<Contender, payload::written_and_read>;
  }
  if constexpr (what.exact) {
    one[workload::refusal] = refusal<Contender>;
    one[workload::at_limit] = at_limit<Contender>;
  }
  return true;
}

}  // namespace bench
