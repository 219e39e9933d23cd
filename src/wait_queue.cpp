// SPDX-License-Identifier: MIT
#include "ringpool/detail/wait_queue.hpp"

#include <chrono>

namespace ringpool::detail {
namespace {

RINGPOOL_FAST_TLS constinit thread_local wait_frame* tls_frames = nullptr;

}  // namespace

std::chrono::steady_clock::time_point deadline_after(std::chrono::nanoseconds timeout) noexcept {
  using clock = std::chrono::steady_clock;
  const clock::time_point now = clock::now();
  return timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
}

wait_frame*& wait_policy::frames() noexcept { return tls_frames; }

std::int64_t wait_policy::now_ns() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace ringpool::detail
