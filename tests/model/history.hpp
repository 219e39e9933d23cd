// SPDX-License-Identifier: MIT
#pragma once

// Is what the calls of an execution returned what they could have returned one after the other?
// As in J. Wing, C. Gong, "Testing and Verifying Concurrent Objects", JPDC 1993. How many indices
// are in the bag follows from the set of calls that were made, so the search goes over sets.
//
// How many, not which: a claim is on any index. While one call has a claim and has not taken its
// index, another may take that one and leave it a third, pushed since. Then a call that found the
// bag empty in between saw one index held from before it to its end, and the other in the ring; by
// numbers its answer is right. That an index has one owner is checked elsewhere.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "explorer.hpp"

namespace ringpool::model {

/// The calls on a bag that starts full. A bulk counts as a call for each of its indices: it
/// promises no more. Histories of more than max_calls are not looked at.
///
/// One call comes before another if its end happened before the other's begin. (By a clock on the
/// wall more calls would; but what happened before nobody can tell from what is under way.)
class bag_history {
 public:
  static constexpr std::size_t max_calls = 16;

  explicit bag_history(std::size_t capacity) : capacity_(capacity) {}

  void begin() {
    call& now = current_[current_thread()];
    now = {};
    now.thread = current_thread();
    for (unsigned i = 0; i < max_threads; ++i) {
      now.known[i] = known_events_of(i);
    }
  }
  /// A push or a pop of `count` indices.
  void end(bool push, std::size_t count) {
    call& now = current_[current_thread()];
    now.push = push;
    now.any = count != 0;
    now.end = new_event();
    calls_.insert(calls_.end(), std::max<std::size_t>(count, 1), now);
  }

  /// True if there is an order in which pops return nothing from an empty bag, and from no other.
  [[nodiscard]] bool is_linearizable() const {
    if (calls_.size() > max_calls) {
      return true;
    }
    std::vector<bool> seen(std::size_t{1} << calls_.size());
    return can_go_on(0, capacity_, seen);
  }

 private:
  struct call {
    unsigned thread = 0;
    bool push = false;
    bool any = false;
    std::uint32_t end = 0;
    std::array<std::uint32_t, max_threads> known{};
  };

  [[nodiscard]] bool can_go_on(std::uint32_t made, std::size_t in_bag,
                               std::vector<bool>& seen) const {
    if (made == (1U << calls_.size()) - 1) {
      return true;
    }
    if (seen[made]) {
      return false;
    }
    seen[made] = true;
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      const call& next = calls_[i];
      if (((made >> i) & 1) == 0 && may_come_after(next, made) && is_right(next, in_bag) &&
          can_go_on(made | 1U << i, after(next, in_bag), seen)) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] static bool is_right(const call& one, std::size_t in_bag) {
    return one.push || one.any == (in_bag != 0);
  }
  [[nodiscard]] static std::size_t after(const call& one, std::size_t in_bag) {
    return !one.any ? in_bag : one.push ? in_bag + 1 : in_bag - 1;
  }
  /// True unless a call that is not made yet came before it.
  [[nodiscard]] bool may_come_after(const call& one, std::uint32_t made) const {
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (((made >> i) & 1) == 0 && calls_[i].end <= one.known[calls_[i].thread]) {
        return false;
      }
    }
    return true;
  }

  std::size_t capacity_;
  std::array<call, max_threads + 1> current_{};
  std::vector<call> calls_;
};

}  // namespace ringpool::model
