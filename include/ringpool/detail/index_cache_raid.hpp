// SPDX-License-Identifier: MIT
#pragma once

// The raider's paths of basic_index_cache, and the gate: see index_cache_impl.hpp.

#include <algorithm>

#include "ringpool/detail/probes.hpp"
#include "ringpool/index_cache.hpp"

namespace ringpool {

// ---- The raider's side --------------------------------------------------------------------------

template <class Policy>
bool basic_index_cache<Policy>::raid(const slot_map& map, std::uintptr_t& item) noexcept {
  detail::probes::raid_begin(map.base, map.stride);
  const auto [gate, ordered] = begin_raid();
  slot_index slots[max_items];
  std::size_t found = 0;
  bool clean = gate.clean;
  for (;;) {
    sweep_result seen;
    if (!gate.clean && ordered) {
      seen = sweep(map, slots);
      found = seen.found;
      clean = found == 0 && seen.every_owner_was_idle;
    }
    // With nothing in any cache at rest, an empty ring is the moment at which a refusal is true,
    // unless an owner that was under way has ended its call and left items behind.
    found = found != 0 ? found : ring_->pop_bulk({slots, 1});
    if (found != 0 || gate.clean || !ordered || fingerprint() == seen.fingerprint) {
      break;
    }
  }
  if (found != 0) {
    item = map.address_of(to_number(slots[0]));
    own_cache().direct_allocs.fetch_add(1, detail::relaxed);  // relaxed: a statistic
    ring_->push_bulk({slots + 1, found - 1});
  }
  end_raid(clean, gate.clean ? pressure::none : pressure::felt);
  detail::probes::raid_end(map.base, map.stride, found);
  return found != 0;
}

template <class Policy>
void basic_index_cache<Policy>::drain(const slot_map& map) noexcept {
  const bool ordered = begin_raid().ordered;
  slot_index slots[max_items];
  sweep_result seen;
  while (ordered && (seen = sweep(map, slots)).found != 0) {
    ring_->push_bulk({slots, seen.found});
  }
  end_raid(ordered && seen.every_owner_was_idle, pressure::none);
  reopen_if_slack();
}

/// Empties the first cache that has items and whose owner is not under way.
template <class Policy>
auto basic_index_cache<Policy>::sweep(const slot_map& map, std::span<slot_index> out) noexcept
    -> sweep_result {
  sweep_result result;
  const std::uint32_t top = top_slot_.load(detail::seq_cst);
  for (std::uint32_t slot = 1; slot <= top; ++slot) {
    slot_cache& cache = caches_[slot];
    const std::uint64_t seq = cache.seq.load(detail::acquire);  // A1 <- R1
    result.fingerprint += mix(slot, seq);
    if ((seq & 1) != 0) {
      result.every_owner_was_idle = false;
    } else if (result.found = empty_out(cache, map, out); result.found != 0) {
      return result;
    }
  }
  return result;
}

/// Takes all items of a cache that its owner cannot touch: the gate is closed and seq was even.
/// The exchange on level keeps two raiders apart; the items are then this raider's alone.
template <class Policy>
std::size_t basic_index_cache<Policy>::empty_out(slot_cache& cache, const slot_map& map,
                                                 std::span<slot_index> out) noexcept {
  std::uint64_t level = cache.level.load(detail::relaxed);  // ordered by A1
  if (level <= 1 ||
      !cache.level.compare_exchange_strong(level, 1, detail::relaxed, detail::relaxed)) {
    return 0;  // empty, or another raider has them
  }
  const std::size_t count = level - 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = map.number_at(cache.items[count - 1 - i].load(detail::relaxed));
    out[i] = slot_index{static_cast<std::uint32_t>(number)};
  }
  return count;
}

/// Tells whether any owner has ended a call between two looks. A sum of hashes and not of calls: a
/// signal handler between an owner's load and store of seq makes that one run backwards, which
/// must not make up for another's going forwards.
template <class Policy>
std::uint64_t basic_index_cache<Policy>::fingerprint() const noexcept {
  std::uint64_t sum = 0;
  const std::uint32_t top = top_slot_.load(detail::seq_cst);
  for (std::uint32_t slot = 1; slot <= top; ++slot) {
    sum += mix(slot, caches_[slot].seq.load(detail::acquire));  // A1 <- R1
  }
  return sum;
}

/// The finaliser of SplitMix64 (G. Steele et al., OOPSLA 2014) over slot and ended calls.
template <class Policy>
std::uint64_t basic_index_cache<Policy>::mix(std::uint32_t slot, std::uint64_t seq) noexcept {
  std::uint64_t z = (seq >> 1) + slot * std::uint64_t{0x9E3779B97F4A7C15};
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

template <class Policy>
auto basic_index_cache<Policy>::begin_raid() noexcept -> raid_start {
  const gate_state now = change_gate([](gate_state& g) { ++g.raiders; });
  if (now.clean) {
    return {now, true};  // nobody used a cache since all were seen empty, and nobody will
  }
  raids_.fetch_add(1, detail::relaxed);
  calm_moves_.store(0, detail::relaxed);
  if (now.fenced) {
    Policy::full_fence();
    return {now, true};
  }
  const detail::heavy_result fence = Policy::heavy_fence();
  if (fence != detail::heavy_result::made) {
    change_gate([](gate_state& g) { g.fenced = true; });
  }
  return {now, fence != detail::heavy_result::refused};
}

/// A raid is a sign of pressure: caches shrink, and stay closed until the ring has slack again.
template <class Policy>
void basic_index_cache<Policy>::end_raid(bool clean, pressure why) noexcept {
  const bool stays_open = slack();
  change_gate([&](gate_state& g) {
    g.raiders -= g.raiders != 0 ? 1 : 0;  // 0: a handler forked inside this raid, see after_fork
    if (why == pressure::felt) {
      g.target = static_cast<std::uint16_t>((g.target + 1) / 2);
    }
    g.open = g.open && stays_open;
    g.clean = !g.open && !g.opening && (g.clean || clean);
  });
  reopen_if_slack();
}

// ---- For those who wait -------------------------------------------------------------------------

template <class Policy>
void basic_index_cache<Policy>::set_waited(bool waited) noexcept {
  change_gate([&](gate_state& g) {
    g.waited = static_cast<std::uint8_t>(waited ? g.waited + 1 : g.waited - 1);
  });
}

template <class Policy>
bool basic_index_cache<Policy>::settle() noexcept {
  if (gate().fenced) {
    Policy::full_fence();
  } else if (const auto result = Policy::heavy_fence(); result != detail::heavy_result::made) {
    change_gate([](gate_state& g) { g.fenced = true; });
    if (result == detail::heavy_result::refused) {
      return false;
    }
  }
  const slot_cache* const own = &own_cache();  // inside its call only where a handler interrupts it
  const std::uint32_t top = top_slot_.load(detail::seq_cst);
  for (std::uint32_t slot = 1; slot <= top; ++slot) {
    const slot_cache& cache = caches_[slot];
    const std::uint64_t seen = cache.seq.load(detail::acquire);  // A1 <- R1
    if ((seen & 1) == 0 || &cache == own) {
      continue;
    }
    for (unsigned round = 0; cache.seq.load(detail::acquire) == seen; ++round) {  // A1 <- R1
      Policy::pause(round);
    }
  }
  return true;
}

// ---- The gate -----------------------------------------------------------------------------------

template <class Policy>
template <class Change>
auto basic_index_cache<Policy>::change_gate(Change change) noexcept -> gate_state {
  std::uint64_t seen = gate_.load(detail::relaxed);
  for (;;) {
    gate_state next = gate_state::unpack(seen);
    change(next);
    // R2 -> A2 (try_pop, try_push, enter): a raider has set level before it opens the gate again.
    // seq_cst: the raider's half of the store-load pair.
    if (gate_.compare_exchange_weak(seen, next.pack(), detail::seq_cst, detail::relaxed)) {
      return next;
    }
  }
}

template <class Policy>
auto basic_index_cache<Policy>::gate() const noexcept -> gate_state {
  return gate_state::unpack(
      gate_.load(detail::relaxed));  // relaxed: a hint, checked when it counts
}

template <class Policy>
std::size_t basic_index_cache<Policy>::limit() const noexcept {
  return gate().limit();
}

template <class Policy>
bool basic_index_cache<Policy>::slack() const noexcept {
  return ring_->available() > ring_->capacity() / 4;
}

template <class Policy>
void basic_index_cache<Policy>::reopen_if_slack() noexcept {
  const gate_state now = gate();
  if (!now.open && !now.opening && now.raiders == 0 && slack()) {
    open_gate();
  }
}

/// In three steps, of one thread at a time, so that surely_spent sees the count change between any
/// clean gate and the next item in a cache. A thread suspended between them keeps the caches
/// closed: that costs the others speed.
template <class Policy>
void basic_index_cache<Policy>::open_gate() noexcept {
  bool mine = false;
  change_gate([&](gate_state& g) {
    mine = !g.open && !g.opening && g.raiders == 0;
    if (mine) {
      g.opening = true;
      g.clean = false;
    }
  });
  if (!mine) {
    return;
  }
  openings_.fetch_add(1, detail::seq_cst);  // seq_cst: after the gate was clean, before it is open
  change_gate([](gate_state& g) {
    g.open = g.open || g.opening;  // not opening: a handler forked here, see after_fork
    g.opening = false;
  });
}

/// True: at one moment during this call every item was held, or inside another's unfinished call.
/// While the gate is clean all caches are empty, and if it was not opened between the look at it
/// and the look at the ring, then at the moment of the latter.
template <class Policy>
bool basic_index_cache<Policy>::surely_spent() const noexcept {
  // seq_cst, all four: in one order with the steps of open_gate and with the ring's counts
  const std::uint64_t openings = openings_.load(detail::seq_cst);
  return gate_state::unpack(gate_.load(detail::seq_cst)).clean && ring_->empty() &&
         openings_.load(detail::seq_cst) == openings;
}

/// Caches together hold at most half of the pool. They shrink at once when threads come, and grow
/// back slowly after pressure.
template <class Policy>
void basic_index_cache<Policy>::retune() noexcept {
  constexpr std::uint32_t calm = 64;
  const gate_state now = gate();
  if (!now.open) {
    return;
  }
  const std::uint16_t share = fair_share();
  if (now.target > share) {
    change_gate([&](gate_state& g) { g.target = std::min(g.target, share); });
  } else if (now.target < share && calm_moves_.fetch_add(1, detail::relaxed) >= calm) {
    calm_moves_.store(0, detail::relaxed);
    change_gate([&](gate_state& g) {
      g.target = static_cast<std::uint16_t>(std::min(2 * g.target + 1, int{share}));
    });
  }
}

template <class Policy>
std::uint16_t basic_index_cache<Policy>::fair_share() const noexcept {
  const std::size_t threads = std::max<std::size_t>(Policy::live_thread_slots(), 1);
  return static_cast<std::uint16_t>(std::min(max_limit_, ring_->capacity() / (2 * threads)));
}

}  // namespace ringpool
