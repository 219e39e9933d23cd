// SPDX-License-Identifier: MIT
#pragma once

// What a fresh process is measured for: 10,000 live threads that each touch the contender, and the
// bytes that a buffer costs beyond its own. The program runs itself anew for each of these.

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "contender.hpp"
#include "measure.hpp"
#include "workloads/one_thread.hpp"

namespace bench {

/// Bytes of memory that this process has resident, to the page.
std::size_t resident_bytes();

struct birth_cost {
  double us_per_thread;
  double kib_per_thread;
};
/// Starts `count` threads, each of which does `work` and then stays, until all have.
birth_cost all_alive(std::size_t count, const std::function<void()>& work);

/// {microseconds per thread, KiB resident per thread}: start, one pair, and staying alive.
template <class Contender>
sample births(const effort& wanted) {
  Contender one({.bytes = 1024, .count = 16384, .threads = wanted.births});
  escape(one);
  const birth_cost cost = all_alive(wanted.births, [&one] {
    const in_thread<Contender> scope(one);
    auto buffer = one.take(request_bytes);
    touch(address(buffer));
    one.give(std::move(buffer), request_bytes);
  });
  return {cost.us_per_thread, cost.kib_per_thread};
}

/// {bytes per buffer}: resident with 65,536 buffers of 1,024 bytes held and touched, less their
/// own.
template <class Contender>
sample memory(const effort&) {
  constexpr demand wanted{.bytes = 1024, .count = 65536};
  std::vector<taken<Contender>> held(wanted.count);
  const std::size_t before = resident_bytes();
  Contender one(wanted);
  escape(one);
  const in_thread<Contender> scope(one);
  for (auto& buffer : held) {
    buffer = one.take(wanted.bytes);
    touch(address(buffer));
  }
  const double more = static_cast<double>(resident_bytes()) - static_cast<double>(before);
  for (auto& buffer : held) {
    one.give(std::move(buffer), wanted.bytes);
  }
  return {more / static_cast<double>(wanted.count) - static_cast<double>(wanted.bytes)};
}

}  // namespace bench
