// SPDX-License-Identifier: MIT

#include "workloads/many_threads.hpp"

#include <sys/resource.h>

namespace bench {

long call_timer::involuntary_switches() {
  rusage used{};
  (void)getrusage(RUSAGE_THREAD, &used);
  return used.ru_nivcsw;
}

crew::crew(const effort& wanted, std::size_t count, const body& work) : members_(count) {
  for (std::size_t i = 0; i < count; ++i) {
    threads_.emplace_back([this, &wanted, work, i] {
      pin_this_thread(i % 2 == 0 ? wanted.first_cpu : wanted.second_cpu);
      open_.wait(false, std::memory_order_acquire);
      work(i, members_[i]);
    });
  }
  // Only now: else each new thread would wait its turn behind those that already work.
  open_.store(true, std::memory_order_release);
  open_.notify_all();
}

double crew::measure(clock::duration warm_up, clock::duration span) {
  std::this_thread::sleep_for(warm_up);
  for (member& each : members_) {
    each.counting.store(true, std::memory_order_relaxed);
  }
  const auto start = clock::now();
  const std::uint64_t before = done();
  std::this_thread::sleep_for(span);
  const std::uint64_t after = done();
  const double seconds = nanoseconds(clock::now() - start) / 1e9;
  for (member& each : members_) {
    each.counting.store(false, std::memory_order_relaxed);
  }
  return static_cast<double>(after - before) / seconds;
}

crew::~crew() {
  for (member& each : members_) {
    each.go_on.store(false, std::memory_order_relaxed);
  }
  for (std::thread& each : threads_) {
    each.join();
  }
}

std::uint64_t crew::done() const {
  std::uint64_t sum = 0;
  for (const member& each : members_) {
    sum += each.done.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace bench
