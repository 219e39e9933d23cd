// SPDX-License-Identifier: MIT
#pragma once

// Bodies of basic_index_ring: compiled once for production in src/index_ring.cpp, and by
// checkers with atomics of their own. The edges are listed in index_ring.hpp.

#include <algorithm>

#include "ringpool/index_ring.hpp"

namespace ringpool {

template <class Policy>
void basic_index_ring<Policy>::reset(entry* entries, std::size_t capacity,
                                     std::uint64_t first_cycle) noexcept {
  const std::size_t count = entry_count(capacity);
  entries_ = entries;
  capacity_ = capacity;
  entry_mask_ = count - 1;
  entry_bits_ = static_cast<unsigned>(std::countr_zero(count));
  // relaxed: exclusive use, publication of the pool itself orders these
  head_.store(first_cycle << entry_bits_, detail::relaxed);
  tail_.store(first_cycle << entry_bits_, detail::relaxed);
  available_.store(0, detail::relaxed);
  fresh_.store(0, detail::relaxed);
}

template <class Policy>
std::size_t basic_index_ring<Policy>::pop_bulk(std::span<slot_index> out) noexcept {
  std::size_t count = pop_returned(out);
  if (count < out.size()) {
    count += claim_fresh(out.subspan(count));
  }
  // Fresh indices are spent, and stay so: with a second look both are empty at one moment.
  return count != 0 ? count : pop_returned(out);
}

/// The first entry is on its way anyhow: the lines behind it are asked for.
template <class Policy>
void basic_index_ring<Policy>::prepare_entries(word first, std::size_t count) const noexcept {
  constexpr std::size_t per_line = cache_line_bytes / sizeof(entry);
  for (std::size_t i = per_line; i < count + per_line - 1; i += per_line) {
    Policy::prepare_write(&entries_[(first + std::min(i, count - 1)) & entry_mask_]);
  }
}

template <class Policy>
std::size_t basic_index_ring<Policy>::pop_returned(std::span<slot_index> out) noexcept {
  Policy::prepare_write(&head_);  // while claim waits for available_
  const std::size_t count = claim(out.size());
  take_claimed(out.first(count));
  return count;
}

template <class Policy>
void basic_index_ring<Policy>::push_bulk(std::span<const slot_index> slots) noexcept {
  Policy::prepare_write(&available_);  // while tail_ and the entries are waited for
  for (std::span<const slot_index> rest = slots; !rest.empty();) {
    // relaxed: a ticket by itself publishes nothing; R1 carries it to those who rely on it
    const word first = tail_.fetch_add(rest.size(), detail::relaxed);
    prepare_entries(first, rest.size());
    std::size_t placed = 0;
    for (std::size_t i = 0, tickets = rest.size(); i < tickets; ++i) {
      if (place_one(first + i, rest[placed])) {
        ++placed;
      }
    }
    rest = rest.subspan(placed);
  }
  // R1 -> A1 (claim): the indices are placed before they are counted.
  // seq_cst, not release: refusals of a raid are ordered against each other by this word.
  available_.fetch_add(slots.size(), detail::seq_cst);
}

template <class Policy>
bool basic_index_ring<Policy>::empty() const noexcept {
  // seq_cst: fresh indices are spent, and stay so, before the look at the others
  return fresh_.load(detail::seq_cst) == capacity_ && available_.load(detail::seq_cst) == 0;
}

template <class Policy>
std::size_t basic_index_ring<Policy>::available() const noexcept {
  return available_.load(detail::relaxed) + (capacity_ - fresh_.load(detail::relaxed));
}

template <class Policy>
std::size_t basic_index_ring<Policy>::claim(std::size_t wanted) noexcept {
  word seen = available_.load(detail::seq_cst);
  while (seen != 0) {
    const word count = std::min<word>(seen, wanted);
    // A1 <- R1: the pushes counted here have placed their indices and moved tail_
    if (available_.compare_exchange_weak(seen, seen - count, detail::seq_cst, detail::seq_cst)) {
      return count;
    }
  }
  return 0;
}

template <class Policy>
std::size_t basic_index_ring<Policy>::claim_fresh(std::span<slot_index> out) noexcept {
  word first = fresh_.load(detail::seq_cst);
  while (first != capacity_) {
    const word count = std::min<word>(out.size(), capacity_ - first);
    // seq_cst: "spent" is seen before the second look at available_. Nothing is read through it.
    if (fresh_.compare_exchange_weak(first, first + count, detail::seq_cst, detail::seq_cst)) {
      for (word i = 0; i < count; ++i) {
        out[i] = slot_index{static_cast<std::uint32_t>(first + i)};
      }
      return count;
    }
  }
  return 0;
}

template <class Policy>
void basic_index_ring<Policy>::take_claimed(std::span<slot_index> out) noexcept {
  while (!out.empty()) {
    const word first = draw(out.size());
    prepare_entries(first, out.size());
    std::size_t taken = 0;
    for (std::size_t i = 0, tickets = out.size(); i < tickets; ++i) {
      if (take_one(first + i, out[taken])) {
        ++taken;
      }
    }
    out = out.subspan(taken);
  }
}

template <class Policy>
auto basic_index_ring<Policy>::draw(std::size_t count) noexcept -> word {
  // R4 -> A4 (place_one): who sees head_ beyond a ticket may not place there. The taker's later
  // exchange on the entry (R3) carries it to a placer that reads the entry.
  return head_.fetch_add(count, detail::acq_rel);
}

template <class Policy>
bool basic_index_ring<Policy>::take_one(word ticket, slot_index& out) noexcept {
  entry& cell = entries_[ticket & entry_mask_];
  word seen = cell.load(detail::acquire);  // A2 <- R2, should it be ours
  for (;;) {
    if (cycle_of(seen) == ticket >> entry_bits_) {
      // Ours, and only ours: no other taker has this ticket. One of a later cycle may mark the
      // entry unsafe meanwhile. R3 -> A3 (place_one): the entry is empty again.
      cell.fetch_and(~index_mask(), detail::release);
      out = slot_index{static_cast<std::uint32_t>((seen & index_mask()) - 1)};
      return true;
    }
    if (cycle_of(seen) > ticket >> entry_bits_) {
      return false;  // a taker of a later cycle passed: our placer cannot place any more
    }
    // The placer of this ticket has not come: make sure it never places here. An older index
    // stays for its own taker. The exchange is due even where it changes nothing: it is what
    // orders head_ before the placer's look at this entry.
    const bool empty = (seen & index_mask()) == 0;
    const word passed = empty ? tag(ticket) | (seen & unsafe_bit()) : seen | unsafe_bit();
    // R3 -> A3 (place_one): passed, and head_ was moved before
    if (cell.compare_exchange_weak(seen, passed, detail::acq_rel, detail::acquire)) {
      return false;
    }
  }
}

template <class Policy>
bool basic_index_ring<Policy>::place_one(word ticket, slot_index slot) noexcept {
  entry& cell = entries_[ticket & entry_mask_];
  word seen = cell.load(detail::acquire);  // A3 <- R3
  for (;;) {
    const bool passed = cycle_of(seen) >= ticket >> entry_bits_;
    const bool occupied = (seen & index_mask()) != 0;
    if (passed || occupied) {
      return false;
    }
    // A4 <- R4: an unsafe entry was seen by a taker of this or an earlier cycle
    if ((seen & unsafe_bit()) != 0 && head_.load(detail::acquire) > ticket) {
      return false;
    }
    const word placed = tag(ticket) | (word{to_number(slot)} + 1);
    // R2 -> A2 (take_one): what the pusher did with the index happened before
    if (cell.compare_exchange_weak(seen, placed, detail::acq_rel, detail::acquire)) {
      return true;
    }
  }
}

}  // namespace ringpool
