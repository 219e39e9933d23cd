// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#if defined(RINGPOOL_COVERAGE)
extern "C" void __gcov_dump();
#endif

namespace ringpool::test {

/// Ends a forked child as _exit does. What it has run counts in a build for coverage.
[[noreturn]] inline void leave(int code) {
#if defined(RINGPOOL_COVERAGE)
  __gcov_dump();
#endif
  ::_exit(code);
}

}  // namespace ringpool::test
