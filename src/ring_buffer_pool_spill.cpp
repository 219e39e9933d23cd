// SPDX-License-Identifier: MIT
#include <algorithm>

#include "ringpool/ring_buffer_pool.hpp"

// Buffers that a class of a set lends to requests of smaller classes, and those who wait for them.
//
// A lent buffer has a state of its own, so that its free misses the fast path and finds the budget
// to give back; nothing else knows of it. Those who wait for a class close the gates of its lenders
// too: a free there then looks for them, as it does for those who wait for the lender itself.
// All atomics here are relaxed, as in ring_buffer_pool.cpp, but for the fences between a budget
// given back and a look at the ring.

namespace ringpool {

static_assert(max_class_count < 127, "a gate counts the queues of all classes, see gate_state");

/// Classes that this one may borrow from: those behind it, to the end exclusive.
ring_buffer_pool* ring_buffer_pool::lenders_end() noexcept {
  const auto behind = static_cast<std::size_t>(family_ + family_size_ - this) - 1;
  return this + 1 + std::min(options_.spill.class_count, behind);
}

auto ring_buffer_pool::take_spilled(std::size_t size, source from, form as) noexcept -> placement {
  if (from == source::any_for_waiter) {
    detail::std_atomics::full_fence();  // see lend
  }
  for (ring_buffer_pool* one = this + 1; one < lenders_end(); ++one) {
    const std::size_t visible_bytes = as == form::handle ? one->buffer_size_ : size;
    if (const placement found = one->lend(visible_bytes, from); found.data != nullptr) {
      spills_.fetch_add(1, detail::relaxed);
      return found;
    }
  }
  return {};
}

/// A buffer of the ring, for a request of a smaller class.
auto ring_buffer_pool::lend(std::size_t visible_bytes, source from) noexcept -> placement {
  std::uintptr_t address = 0;
  do {
    if (!lent_.try_take(options_.spill.buffer_limit)) {
      return {};
    }
    if (cache_.try_pop(address) || cache_.pop(map_, address)) {
      look_for_waiters(from);  // as in take_slow
      const placement given = hand_out(map_.number_at(address), address, visible_bytes);
      states_[to_number(given.slot)].store(buffer_state::lent, detail::relaxed);
      return given;
    }
    // The budget was taken for nothing, and may have kept a waiter from a buffer that came
    // meanwhile. Either that is seen here, or who looked for waiters then sees the budget.
    lent_.give_back();
    detail::std_atomics::full_fence();
  } while (!ring_.empty());
  return {};
}

/// Whose buffer it is that this class was asked for.
ring_buffer_pool& ring_buffer_pool::home_of(const placement& taken) noexcept {
  ring_buffer_pool* home = this;
  if (options_.spill.class_count != 0 && taken.data != nullptr &&
      to_number(taken.slot) < to_number(empty_slot)) {
    while (!home->owns(taken.data)) {
      ++home;
    }
  }
  return *home;
}

// ---- Those who wait -----------------------------------------------------------------------------

void ring_buffer_pool::spill_gate::set_waited(bool waited) const noexcept {
  for (ring_buffer_pool* one = pool; one < pool->lenders_end(); ++one) {
    if (one == pool || one->options_.spill.buffer_limit != 0) {
      one->cache_.set_waited(waited);
    }
  }
  if (pool->options_.elastic_capacity != 0) {
    pool->elastic_cache_.set_waited(waited);
  }
}

bool ring_buffer_pool::spill_gate::settle() const noexcept {
  bool ordered = true;
  for (ring_buffer_pool* one = pool; one < pool->lenders_end(); ++one) {
    if (one == pool || one->options_.spill.buffer_limit != 0) {
      ordered = one->cache_.settle() && ordered;
    }
  }
  if (pool->options_.elastic_capacity != 0) {
    ordered = pool->elastic_cache_.settle() && ordered;
  }
  return ordered;
}

/// Until nobody gets anything: what was taken for a waiter may have left buffers in a ring, the
/// surplus of a raid, for those who wait for another class. A class's own come before those of
/// smaller ones.
void ring_buffer_pool::serve_family() noexcept {
  for (bool again = true; again;) {
    again = false;
    for (std::size_t i = family_size_; i > 0; --i) {
      ring_buffer_pool& one = family_[i - 1];
      again = (one.cache_.waited() && one.serve_own_waiters() != 0) || again;
    }
  }
}

/// In a forked child: a thread that is no more may have been between the budget and the state.
void ring_buffer_pool::recount_lent() noexcept {
  if (lent_.held() != 0) {
    lent_.reset(static_cast<std::uint64_t>(
        std::count_if(states_, states_ + capacity_, [](const std::atomic<buffer_state>& one) {
          return detail::is_lent(one.load(detail::relaxed));
        })));
  }
}

}  // namespace ringpool
