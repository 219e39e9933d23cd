// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "programs.hpp"
#include "ringpool/detail/wait_queue.hpp"

namespace ringpool::model {

/// Time is the order of events. Plain: what reads it holds the queue's lock, or is an oracle.
struct wait_policy {
  using atomics = model::atomics;
  static inline std::array<detail::wait_frame*, max_threads + 1> innermost{};
  static inline std::int64_t time = 0;
  static void full_fence() { model::full_fence(); }
  static void pause(unsigned /*round*/) { model::yield(); }
  static detail::wait_frame*& frames() { return innermost[current_thread()]; }
  static std::int64_t now_ns() { return ++time; }
};
using model_queue = detail::basic_wait_queue<wait_policy>;

}  // namespace ringpool::model
