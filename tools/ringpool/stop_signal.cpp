// SPDX-License-Identifier: MIT
#include "stop_signal.hpp"

#include <csignal>

namespace ringpool::tools {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

}  // namespace

const std::atomic<bool>& stop_requested() noexcept { return requested; }

void watch_stop_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = [](int) { requested.store(true, std::memory_order_relaxed); };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) {
    static_cast<void>(::sigaction(signal, &action, nullptr));
  }
}

}  // namespace ringpool::tools
