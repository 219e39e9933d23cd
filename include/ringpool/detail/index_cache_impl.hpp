// SPDX-License-Identifier: MIT
#pragma once

// The owner's slow paths of basic_index_cache: compiled once for production in src/index_cache.cpp,
// and by checkers with atomics of their own. The edges are listed in index_cache.hpp.

#include <algorithm>

#include "ringpool/detail/index_cache_raid.hpp"
#include "ringpool/detail/index_ring_impl.hpp"
#include "ringpool/detail/probes.hpp"
#include "ringpool/detail/sampling.hpp"
#include "ringpool/index_cache.hpp"

namespace ringpool {

// ---- Set-up -------------------------------------------------------------------------------------

template <class Policy>
void basic_index_cache<Policy>::reset(ring_type& ring, slot_cache* caches, std::size_t limit,
                                      bool fenced) noexcept {
  ring_ = &ring;
  caches_ = caches;
  max_limit_ = std::min(limit, max_items);
  caches_[0].seq.store(1, detail::relaxed);  // slot 0 is for ever busy
  gate_state first;
  first.target = fair_share();
  first.fenced = fenced;
  // relaxed: exclusive use, publication of the pool itself orders this
  gate_.store(first.pack(), detail::relaxed);
}

template <class Policy>
void basic_index_cache<Policy>::after_fork(std::uint32_t own_slot) noexcept {
  // One thread is left. An interrupted call has either moved its item or not: level says which.
  const std::uint32_t top = top_slot_.load(detail::relaxed);
  for (std::uint32_t slot = 1; slot <= top; ++slot) {
    const std::uint64_t seq = caches_[slot].seq.load(detail::relaxed);
    if (slot != own_slot && (seq & 1) != 0) {
      caches_[slot].seq.store(seq + 1, detail::relaxed);
    }
  }
  change_gate([](gate_state& g) {
    g.raiders = 0;  // raids of threads that are no more; a handler that forks inside a raid is ours
    g.clean = false;
    g.opening = false;
    g.waited = 0;
  });
}

// ---- The owner's side ---------------------------------------------------------------------------

template <class Policy>
auto basic_index_cache<Policy>::enter() noexcept -> visit {
  const std::uint32_t slot = Policy::ensure_thread_slot();
  slot_cache& cache = own_cache();
  std::uint64_t seq = cache.seq.load(detail::relaxed);  // own word
  if (slot == 0 || (seq & 1) != 0) {
    return {nullptr, 0, 0};
  }
  if (cache.level.load(detail::relaxed) == 0) {
    seq = rearmed(cache, seq);
    // seq_cst: before the mark, so a raider whom the mark escapes looks at this slot
    std::uint32_t top = top_slot_.load(detail::relaxed);
    while (top < slot &&
           !top_slot_.compare_exchange_weak(top, slot, detail::seq_cst, detail::relaxed)) {
    }
  }
  cache.seq.store(seq + 1, detail::relaxed);  // ordered by the fence pair
  const bool fenced = gate().fenced;
  if (fenced) {
    Policy::full_fence();
  } else {
    Policy::light_fence();
  }
  gate_state now = gate_state::unpack(gate_.load(detail::acquire));  // A2 <- R2
  if (now.fenced && !fenced) {                                       // since just now
    Policy::full_fence();
    now = gate_state::unpack(gate_.load(detail::acquire));  // A2 <- R2
  }
  if (cache.level.load(detail::relaxed) == 0) {
    cache.level.store(1, detail::relaxed);
  }
  return {&cache, seq, now.limit()};
}

template <class Policy>
bool basic_index_cache<Policy>::pop(const slot_map& map, std::uintptr_t& item) noexcept {
  return !surely_spent() && (take_own({&item, 1}) == 1 || refill(map, item) || raid(map, item));
}

template <class Policy>
std::size_t basic_index_cache<Policy>::take_own(std::span<std::uintptr_t> out) noexcept {
  visit now = enter();
  const std::size_t count =
      take_items(now, out.size(), [&](std::size_t i, std::uintptr_t item) { out[i] = item; });
  if (count != 0) {
    const bool tripped = (now.seq & slot_cache::trip_bit) != 0;
    now.seq = tripped ? rearmed(*now.cache, now.seq) : now.seq + count * slot_cache::pop_step - 2;
  }
  leave(now, count != 0);
  return count;
}

/// A later seq, with the distance of the next sample below its trip bit; or 2^17 pops where there
/// are no samples.
template <class Policy>
std::uint64_t basic_index_cache<Policy>::rearmed(const slot_cache& cache,
                                                 std::uint64_t seq) const noexcept {
  static_assert(2 * max_sample_interval * slot_cache::pop_step <= slot_cache::trip_bit,
                "the longest distance fits below the trip bit");
  const std::uint64_t next = ((seq >> 32) + 1) << 32;
  if (sample_interval_ == 0) {
    return next;
  }
  const std::uint64_t seed = seq + static_cast<std::uint64_t>(&cache - caches_);
  return next + slot_cache::trip_bit -
         detail::sample_gap(sample_interval_, seed) * slot_cache::pop_step;
}

template <class Policy>
void basic_index_cache<Policy>::rearm() noexcept {
  visit now = enter();
  if (now.cache != nullptr) {
    now.seq = rearmed(*now.cache, now.seq);
    leave(now, true);
  }
}

template <class Policy>
bool basic_index_cache<Policy>::refill(const slot_map& map, std::uintptr_t& item) noexcept {
  slot_index slots[max_items / 2 + 1];
  const bool can_stash = (own_cache().seq.load(detail::relaxed) & 1) == 0;
  const std::size_t share = can_stash ? gate().limit() / 2U : 0U;
  const std::size_t count = ring_->pop_bulk({slots, share + 1});
  if (count == 0) {
    return false;
  }
  detail::probes::refill(map.base, map.stride, count);
  item = map.address_of(to_number(slots[0]));
  own_cache().direct_allocs.fetch_add(1, detail::relaxed);  // relaxed: a statistic
  if (count > 1) {
    const std::span<const slot_index> rest(slots + 1, count - 1);
    push_to_ring(rest.subspan(stash(map, rest)));
  }
  retune();
  return true;
}

/// Puts what fits into the own cache, the first of `slots` on top, and returns how many.
template <class Policy>
std::size_t basic_index_cache<Policy>::stash(const slot_map& map,
                                             std::span<const slot_index> slots) noexcept {
  const visit now = enter();
  std::size_t count = 0;
  if (now.limit != 0) {
    const std::uint64_t level = now.cache->level.load(detail::relaxed);
    const std::size_t room = now.limit - std::min<std::size_t>(level - 1, now.limit);
    count = std::min(room, slots.size());
    for (std::size_t i = 0; i < count; ++i) {
      now.cache->items[level - 1 + i].store(map.address_of(to_number(slots[count - 1 - i])),
                                            detail::relaxed);
    }
    Policy::light_fence();  // as in try_push
    now.cache->level.store(level + count, detail::relaxed);
  }
  leave(now, count != 0);
  return count;
}

template <class Policy>
void basic_index_cache<Policy>::push(const slot_map& map, std::uintptr_t item) noexcept {
  push_bulk(map, {&item, 1});
}

template <class Policy>
void basic_index_cache<Policy>::push_bulk(const slot_map& map,
                                          std::span<const std::uintptr_t> items) noexcept {
  slot_index out[max_items];
  while (!items.empty()) {
    std::size_t out_count = 0;
    const visit now = enter();
    const std::size_t kept = put_own(now, map, items, out, out_count);
    leave(now, kept != 0);
    items = items.subspan(kept);
    if (kept == 0) {  // closed: to the ring, as many as the batch can carry
      out_count = std::min(items.size(), max_items);
      for (std::size_t i = 0; i < out_count; ++i) {
        out[i] = slot_index{static_cast<std::uint32_t>(map.number_at(items[i]))};
      }
      items = items.subspan(out_count);
      own_cache().direct_frees.fetch_add(out_count, detail::relaxed);  // relaxed: a statistic
    }
    if (out_count != 0) {
      detail::probes::flush(map.base, map.stride, out_count);
      push_to_ring({out, out_count});
    }
  }
}

/// Puts the first of `items` into the own cache; a full one gives its coldest half to `out`.
template <class Policy>
std::size_t basic_index_cache<Policy>::put_own(const visit& now, const slot_map& map,
                                               std::span<const std::uintptr_t> items,
                                               std::span<slot_index> out,
                                               std::size_t& out_count) noexcept {
  if (now.limit == 0) {
    return 0;
  }
  const std::uint64_t held = now.cache->level.load(detail::relaxed) - 1;
  if (held >= now.limit) {
    out_count = remove_coldest(*now.cache, map, held - now.limit / 2, out);
  }
  return put_items(now, items.size(), [&](std::size_t i) { return items[i]; });
}

template <class Policy>
void basic_index_cache<Policy>::push_to_ring(std::span<const slot_index> slots) noexcept {
  if (!slots.empty()) {
    ring_->push_bulk(slots);
    reopen_if_slack();
    retune();
  }
}

/// Moves the `count` items that were cached longest to `out`: the hot ones stay.
template <class Policy>
std::size_t basic_index_cache<Policy>::remove_coldest(slot_cache& cache, const slot_map& map,
                                                      std::size_t count,
                                                      std::span<slot_index> out) noexcept {
  const std::uint64_t held = cache.level.load(detail::relaxed) - 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = map.number_at(cache.items[i].load(detail::relaxed));
    out[i] = slot_index{static_cast<std::uint32_t>(number)};
  }
  // A fork may come between any two of these stores, and the child then goes by level: lowered
  // last, it would show the moved items twice. Lowered first, the child only loses sight of some.
  cache.level.store(held - count + 1, detail::relaxed);
  Policy::light_fence();
  for (std::uint64_t i = count; i < held; ++i) {
    cache.items[i - count].store(cache.items[i].load(detail::relaxed), detail::relaxed);
  }
  return count;
}

template <class Policy>
std::size_t basic_index_cache<Policy>::pop_bulk(const slot_map& map,
                                                std::span<std::uintptr_t> out) noexcept {
  std::size_t count = take_own(out);
  slot_index slots[max_items];
  while (count < out.size()) {
    const std::size_t batch = ring_->pop_bulk({slots, std::min(out.size() - count, max_items)});
    for (std::size_t i = 0; i < batch; ++i) {
      out[count++] = map.address_of(to_number(slots[i]));
    }
    own_cache().direct_allocs.fetch_add(batch, detail::relaxed);  // relaxed: a statistic
    if (batch != 0) {
      detail::probes::refill(map.base, map.stride, batch);
    } else {
      if (!raid(map, out[count])) {
        break;
      }
      ++count;
    }
  }
  return count;
}

// ---- Statistics ---------------------------------------------------------------------------------

template <class Policy>
detail::cache_totals basic_index_cache<Policy>::totals() const noexcept {
  detail::cache_totals sum;
  const std::uint32_t top = top_slot_.load(detail::relaxed);  // a slot more or less: a snapshot
  for (std::uint32_t slot = 0; slot <= top; ++slot) {
    const slot_cache& cache = caches_[slot];
    (void)cache.seq.load(detail::acquire);  // A1 <- R1
    const std::uint64_t level = cache.level.load(detail::relaxed);
    sum.cached += level == 0 ? 0 : level - 1;
    sum.alloc_count +=
        cache.allocs.load(detail::relaxed) + cache.direct_allocs.load(detail::relaxed);
    sum.refusal_count += cache.refusals.load(detail::relaxed);
    sum.free_count += cache.frees.load(detail::relaxed) + cache.direct_frees.load(detail::relaxed);
  }
  return sum;
}

}  // namespace ringpool
