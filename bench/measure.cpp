// SPDX-License-Identifier: MIT

#include "measure.hpp"

#include <pthread.h>

#include <thread>

namespace bench {

double nanoseconds_per_tick() {
  static const double unit = [] {
    const auto start = clock::now();
    const std::uint64_t first = ticks();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::uint64_t last = ticks();
    return nanoseconds(clock::now() - start) / static_cast<double>(last - first);
  }();
  return unit;
}

void pin_this_thread(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace bench
