// SPDX-License-Identifier: MIT
#include "ringpool/detail/atomics.hpp"

#include <sched.h>
#include <time.h>

namespace ringpool::detail {

void std_atomics::pause(unsigned round) noexcept {
  constexpr unsigned spins = 64;
  constexpr unsigned yields = 1024;
  if (round < spins) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  } else if (round < yields) {
    ::sched_yield();
  } else {
    const timespec a_moment{0, 50'000};
    ::nanosleep(&a_moment, nullptr);
  }
}

}  // namespace ringpool::detail
