// SPDX-License-Identifier: MIT
#pragma once

//   add ---> [ oldest | ... | youngest ] ---> pick, under the lock: a buffer for the oldest that
//   fits
//                 ^            |                      |
//                 |            v                      v
//   look again after a free   remove (cancel)        deliver, without the lock
//
// Those who wait for a buffer. Whoever has given one back, or waits anew, takes the lock, takes
// buffers for those who wait as anybody would, and delivers them. A thread that finds the lock
// taken leaves a mark instead, on which the holder looks again: a free waits for nobody.
//
// Edges (release -> acquire):
//   R1 -> A1  unlock -> try_lock, serve   the list
//   R2 -> A2  serve -> serve, pick_all    buffers that were given back before the mark was left

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

/// What a waiter is to the queue. Guarded by the queue's lock; once served, the server's alone.
struct wait_node {
  enum class phase : std::uint8_t {
    fresh,      ///< not waiting
    waiting,    ///< in the list
    served,     ///< out of the list with its buffer; delivery is under way or done
    stopped,    ///< cancelled before it waited
    forgotten,  ///< in a forked child: nobody will serve it
  };

  std::size_t size = 0;
  std::size_t weight = 0;  ///< whoever is as heavy as one that got nothing gets nothing either
  bool fits = false;       ///< may have a buffer of the pool's own
  phase now = phase::fresh;
  slot_index slot = empty_slot;
  std::byte* data = nullptr;
  const void* site = nullptr;  ///< who asked: a return address
  std::int64_t since_ns = 0;
  wait_node* previous = nullptr;
  wait_node* next = nullptr;
};

/// A delivery under way on this thread: what frees inside of it leave to it.
struct wait_frame {
  const void* queue = nullptr;
  bool again = false;
  wait_frame* outer = nullptr;
};

struct wait_totals {
  std::uint64_t waiting = 0;
  std::uint64_t waits = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t waited_ns = 0;
};

/// Now and `timeout`; for ever where that is beyond the clock's end.
[[nodiscard]] std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds timeout) noexcept;

/// Production's policy.
struct wait_policy : std_atomics {
  using atomics = std_atomics;
  /// The calling thread's deliveries, the innermost first.
  static wait_frame*& frames() noexcept;
  static std::int64_t now_ns() noexcept;
};

/// Waiters in the order of their arrival.
///
/// Invariant: a buffer that was taken for a waiter is delivered to it, once.
/// Progress: serve: lock-free but for what `take` does. add, remove: blocking, for as long as
///   another's take; add also until calls of owners that were under way have ended (see settle).
/// Thread-safety: any thread; add and remove not from signal handlers.
/// Cost: serve: two exchanges, and what is taken. add: one membarrier.
template <class Policy>
class basic_wait_queue {
 public:
  basic_wait_queue() noexcept = default;
  basic_wait_queue(const basic_wait_queue&) = delete;
  basic_wait_queue& operator=(const basic_wait_queue&) = delete;

  enum class added : std::uint8_t {
    waits,      ///< or is served already
    unordered,  ///< the same, but a free may go unseen: look now and then
    stopped,    ///< cancelled before
  };
  /// `gate`: the pool's cache, see index_cache::set_waited. take(node): true with a buffer in it.
  /// deliver(node): hands it over; the node is the callee's.
  template <class Gate, class Take, class Deliver>
  added add(wait_node& node, Gate& gate, Take take, Deliver deliver) noexcept;

  enum class removal : std::uint8_t { waited, early, late };
  enum class reason : std::uint8_t { cancelled, timed_out };
  /// waited: it is out of the list, and gets nothing. late: it was served. early: it was not added
  /// yet, and will not be.
  template <class Gate, class Take, class Deliver>
  removal remove(wait_node& node, reason why, Gate& gate, Take take, Deliver deliver) noexcept;

  /// Takes for those who wait, oldest first, until nothing is left that fits one, and delivers.
  template <class Gate, class Take, class Deliver>
  void serve(Gate& gate, Take take, Deliver deliver) noexcept;

  [[nodiscard]] bool any() const noexcept { return totals_waiting_.load(relaxed) != 0; }
  /// When the oldest came; the largest value where nobody waits.
  [[nodiscard]] std::int64_t oldest_ns() const noexcept { return oldest_ns_.load(relaxed); }
  [[nodiscard]] wait_totals totals() const noexcept;

  /// Takes everybody out of the list, each with nothing, and as `as`: at the pool's end.
  template <class Each>
  void abandon(wait_node::phase as, Each each) noexcept;
  void lock() noexcept;
  /// True: somebody has left a mark meanwhile, and the caller must serve.
  [[nodiscard]] bool unlock() noexcept;
  /// In a forked child, whose parent held the lock while it forked.
  void after_fork() noexcept;

 private:
  using word = std::uint32_t;
  static constexpr word locked = 1;
  static constexpr word again = 2;

  [[nodiscard]] bool try_lock() noexcept;
  [[nodiscard]] bool left_to_outer_frame() noexcept;
  void append(wait_node& node) noexcept;
  template <class Gate>
  void unlink(wait_node& node, Gate& gate) noexcept;
  template <class Gate, class Take>
  [[nodiscard]] wait_node* pick_all(Gate& gate, Take& take) noexcept;
  void note_oldest() noexcept;

  typename Policy::atomics::template atomic<word> lock_{0};
  bool settled_ = false;        // since the gate was closed last
  std::uint32_t closings_ = 0;  // of the gate
  std::size_t fit_count_ = 0;
  std::size_t least_weight_ = 0;  // at most the least in the list
  wait_node* first_ = nullptr;
  wait_node* last_ = nullptr;

  // Statistics, written under the lock; std::atomic, as checkers have no need to see them.
  std::atomic<std::uint64_t> totals_waiting_{0};
  std::atomic<std::uint64_t> waits_{0};
  std::atomic<std::uint64_t> timeouts_{0};
  std::atomic<std::uint64_t> waited_ns_{0};
  std::atomic<std::int64_t> oldest_ns_{std::numeric_limits<std::int64_t>::max()};
};

// ---- The lock -----------------------------------------------------------------------------------

template <class Policy>
bool basic_wait_queue<Policy>::try_lock() noexcept {
  word seen = 0;
  return lock_.load(relaxed) == 0 &&
         lock_.compare_exchange_strong(seen, locked, acquire, relaxed);  // A1 <- R1
}

template <class Policy>
void basic_wait_queue<Policy>::lock() noexcept {
  for (unsigned round = 0; !try_lock(); ++round) {
    Policy::pause(round);
  }
}

template <class Policy>
bool basic_wait_queue<Policy>::unlock() noexcept {
  // R1 -> A1 (try_lock, serve): the list
  return (lock_.fetch_and(0, release) & again) != 0;
}

// ---- Serving ------------------------------------------------------------------------------------

/// A free inside a delivery of the same queue is served when that is over: no recursion.
template <class Policy>
bool basic_wait_queue<Policy>::left_to_outer_frame() noexcept {
  for (wait_frame* frame = Policy::frames(); frame != nullptr; frame = frame->outer) {
    if (frame->queue == this) {
      frame->again = true;
      return true;
    }
  }
  return false;
}

template <class Policy>
template <class Gate, class Take, class Deliver>
void basic_wait_queue<Policy>::serve(Gate& gate, Take take, Deliver deliver) noexcept {
  if (left_to_outer_frame()) {
    return;
  }
  wait_frame frame{this, false, Policy::frames()};
  do {
    frame.again = false;
    Policy::frames() = &frame;
    // A1 <- R1: the list, where this takes the lock
    // R2 -> A2 (pick_all): else the holder finds the mark, and what was given back before it
    const bool mine = (lock_.fetch_or(locked | again, acq_rel) & locked) == 0;
    for (wait_node* next = mine ? pick_all(gate, take) : nullptr; next != nullptr;) {
      wait_node& served = *next;
      next = served.next;
      deliver(served);
    }
    Policy::frames() = frame.outer;
    std::atomic_signal_fence(seq_cst);  // a handler that frees until here has left it to this frame
  } while (frame.again);
}

/// Holds the lock at first, and no more at the end. Returns a list of those who got a buffer.
template <class Policy>
template <class Gate, class Take>
wait_node* basic_wait_queue<Policy>::pick_all(Gate& gate, Take& take) noexcept {
  wait_node* served = nullptr;
  wait_node** end = &served;
  word seen = locked;
  do {
    lock_.fetch_and(locked, acquire);  // A2 <- R2: what was given back before the mark
    std::size_t refused = std::numeric_limits<std::size_t>::max();
    for (wait_node* node = first_; node != nullptr && refused > least_weight_;) {
      wait_node* const next = node->next;
      if (node->weight < refused && !take(*node)) {
        refused = node->weight;
      } else if (node->weight < refused) {
        unlink(*node, gate);
        node->now = wait_node::phase::served;
        add_single_writer(waited_ns_,
                          static_cast<std::uint64_t>(Policy::now_ns() - node->since_ns));
        *end = node;
        end = &node->next;
      }
      node = next;
    }
    seen = locked;
    // R1 -> A1 (try_lock, serve): the list
  } while (!lock_.compare_exchange_strong(seen, 0, release, relaxed));
  *end = nullptr;
  return served;
}

// ---- Coming and going ---------------------------------------------------------------------------

template <class Policy>
template <class Gate, class Take, class Deliver>
auto basic_wait_queue<Policy>::add(wait_node& node, Gate& gate, Take take, Deliver deliver) noexcept
    -> added {
  lock();
  const bool stopped = node.now == wait_node::phase::stopped;
  if (stopped) {
    node.now = wait_node::phase::fresh;
  } else {
    append(node);
    if (node.fits && fit_count_++ == 0) {
      gate.set_waited(true);
      settled_ = false;
      ++closings_;
    }
  }
  const bool settles = !stopped && node.fits && !settled_;
  const std::uint32_t closing = closings_;
  if (unlock() && stopped) {
    serve(gate, take, deliver);
  }
  if (stopped) {
    return added::stopped;
  }
  // From here on the node may be served and gone.
  const bool ordered = !settles || gate.settle();
  if (settles && ordered) {
    lock();
    settled_ = settled_ || closings_ == closing;
    (void)unlock();  // served below in any case
  }
  if (!settles) {
    Policy::full_fence();  // before the look at what is guarded by no gate
  }
  serve(gate, take, deliver);
  return ordered ? added::waits : added::unordered;
}

template <class Policy>
template <class Gate, class Take, class Deliver>
auto basic_wait_queue<Policy>::remove(wait_node& node, reason why, Gate& gate, Take take,
                                      Deliver deliver) noexcept -> removal {
  lock();
  removal result = removal::late;
  if (node.now == wait_node::phase::waiting) {
    unlink(node, gate);
    node.now = wait_node::phase::fresh;
    add_single_writer(waited_ns_, static_cast<std::uint64_t>(Policy::now_ns() - node.since_ns));
    add_single_writer(timeouts_, std::uint64_t{why == reason::timed_out ? 1U : 0U});
    result = removal::waited;
  } else if (node.now == wait_node::phase::forgotten) {
    node.now = wait_node::phase::fresh;
    result = removal::waited;
  } else if (node.now == wait_node::phase::fresh) {
    node.now = wait_node::phase::stopped;
    result = removal::early;
  }
  if (unlock()) {
    serve(gate, take, deliver);
  }
  return result;
}

template <class Policy>
void basic_wait_queue<Policy>::append(wait_node& node) noexcept {
  node.now = wait_node::phase::waiting;
  node.data = nullptr;
  node.slot = empty_slot;
  node.since_ns = Policy::now_ns();
  node.next = nullptr;
  node.previous = last_;
  least_weight_ = first_ == nullptr ? node.weight : std::min(least_weight_, node.weight);
  (last_ != nullptr ? last_->next : first_) = &node;
  last_ = &node;
  note_oldest();
  add_single_writer(waits_, std::uint64_t{1});
  add_single_writer(totals_waiting_, std::uint64_t{1});
}

template <class Policy>
template <class Gate>
void basic_wait_queue<Policy>::unlink(wait_node& node, Gate& gate) noexcept {
  (node.previous != nullptr ? node.previous->next : first_) = node.next;
  (node.next != nullptr ? node.next->previous : last_) = node.previous;
  note_oldest();
  totals_waiting_.store(totals_waiting_.load(relaxed) - 1, relaxed);
  if (node.fits && --fit_count_ == 0) {
    gate.set_waited(false);
  }
}

template <class Policy>
void basic_wait_queue<Policy>::note_oldest() noexcept {
  oldest_ns_.store(first_ != nullptr ? first_->since_ns : std::numeric_limits<std::int64_t>::max(),
                   relaxed);
}

template <class Policy>
template <class Each>
void basic_wait_queue<Policy>::abandon(wait_node::phase as, Each each) noexcept {
  wait_node* next = first_;
  first_ = last_ = nullptr;
  fit_count_ = 0;
  totals_waiting_.store(0, relaxed);
  note_oldest();
  while (next != nullptr) {
    wait_node& node = *next;
    next = node.next;
    node.now = as;
    each(node);
  }
}

/// The parent's waiters are no more: their callbacks are never called, and cancelling them is true.
template <class Policy>
void basic_wait_queue<Policy>::after_fork() noexcept {
  abandon(wait_node::phase::forgotten, [](wait_node&) {});
  Policy::frames() = nullptr;
  lock_.store(0, relaxed);  // relaxed: one thread
}

template <class Policy>
wait_totals basic_wait_queue<Policy>::totals() const noexcept {
  return {totals_waiting_.load(relaxed), waits_.load(relaxed), timeouts_.load(relaxed),
          waited_ns_.load(relaxed)};
}

}  // namespace ringpool::detail
