// SPDX-License-Identifier: MIT
#include "ringpool/detail/wait_queue.hpp"

#include <chrono>

namespace ringpool::detail {
namespace {

RINGPOOL_FAST_TLS constinit thread_local wait_frame* tls_frames = nullptr;

}  // namespace

wait_frame*& wait_policy::frames() noexcept { return tls_frames; }

std::int64_t wait_policy::now_ns() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace ringpool::detail
