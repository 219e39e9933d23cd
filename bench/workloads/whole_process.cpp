// SPDX-License-Identifier: MIT

#include "workloads/whole_process.hpp"

#include <pthread.h>

#include <atomic>
#include <fstream>
#include <stdexcept>
#include <string>

namespace bench {

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");  // exact, as statm is not
  for (std::string word; file >> word;) {
    if (std::size_t kib = 0; word == "Rss:" && file >> kib) {
      return kib * 1024;
    }
  }
  throw std::runtime_error("no Rss in /proc/self/smaps_rollup");
}

namespace {

struct generation {
  const std::function<void()>& work;
  const std::size_t size;
  std::atomic<std::size_t> arrived{0};
  std::atomic<bool> released{false};
};

void* live(void* argument) {
  auto& mine = *static_cast<generation*>(argument);
  mine.work();
  if (mine.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == mine.size) {
    mine.arrived.notify_one();
  }
  mine.released.wait(false, std::memory_order_acquire);
  return nullptr;
}

}  // namespace

birth_cost all_alive(std::size_t count, const std::function<void()>& work) {
  generation mine{.work = work, .size = count};
  std::vector<pthread_t> threads(count);
  pthread_attr_t small{};
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, std::size_t{64} << 10);
  const std::size_t before = resident_bytes();
  const auto start = clock::now();
  std::size_t born = 0;
  while (born < count && pthread_create(&threads[born], &small, live, &mine) == 0) {
    ++born;
  }
  for (std::size_t seen = mine.arrived.load(); born == count && seen != count;
       seen = mine.arrived.load()) {
    mine.arrived.wait(seen);
  }
  const double spent = nanoseconds(clock::now() - start);
  const double more = static_cast<double>(resident_bytes()) - static_cast<double>(before);
  mine.released.store(true, std::memory_order_release);
  mine.released.notify_all();
  for (std::size_t i = 0; i < born; ++i) {
    pthread_join(threads[i], nullptr);
  }
  pthread_attr_destroy(&small);
  if (born != count) {
    throw std::runtime_error("the system refuses so many threads");
  }
  return {spent / 1e3 / static_cast<double>(count), more / 1024 / static_cast<double>(count)};
}

}  // namespace bench
