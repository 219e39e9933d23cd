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

std::vector<unsigned> first_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  pthread_getaffinity_np(pthread_self(), sizeof set, &set);
  std::vector<unsigned> usable;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE && usable.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &set)) {
      usable.push_back(cpu);
    }
  }
  return usable.empty() ? std::vector<unsigned>{0} : usable;
}

void pin_this_thread(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

}  // namespace bench
