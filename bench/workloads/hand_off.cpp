// SPDX-License-Identifier: MIT

#include "workloads/hand_off.hpp"

namespace bench {

double line_round_trip(const effort& wanted) {
  constexpr std::uint32_t turns = 4000;
  struct alignas(128) line {
    std::atomic<std::uint32_t> word{0};
  };
  line there;
  line back;
  std::thread other([&] {
    pin_this_thread(wanted.second_cpu);
    for (std::uint32_t i = 1; i <= turns; ++i) {
      while (there.word.load(std::memory_order_acquire) != i) {
        pause();
      }
      back.word.store(i, std::memory_order_release);
    }
  });
  pin_this_thread(wanted.first_cpu);
  auto start = clock::now();
  for (std::uint32_t i = 1; i <= turns; ++i) {
    if (i == turns / 8) {  // both are there, and the lines are warm
      start = clock::now();
    }
    there.word.store(i, std::memory_order_release);
    while (back.word.load(std::memory_order_acquire) != i) {
      pause();
    }
  }
  const double spent = nanoseconds(clock::now() - start);
  other.join();
  return spent / (turns - turns / 8 + 1);
}

}  // namespace bench
