// SPDX-License-Identifier: MIT
#pragma once

//            head_ (next ticket to take)             tail_ (next ticket to place)
//               |                                       |
//   +-----+-----+-----+-----+-----+-----+-----+-----+-----+-----+
//   |     |     | c,7 | c,2 | c,9 |  X  | c,4 | c,1 |     |     |    2 x capacity entries
//   +-----+-----+-----+-----+-----+-----+-----+-----+-----+-----+
//     X: a taker passed before the placer came; both took a further ticket
//
//   available_: how many placed indices nobody has a claim on     fresh_: indices never given out
//
// A bag of free indices on a ring with fetch-and-add head and tail. Tickets and cycle-tagged
// entries are those of SCQ (R. Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free
// FIFO Queue", DISC 2019). What differs: a taker first claims its indices from the count of
// placed ones, `available_`. A claimed index exists for certain, so a taker never runs ahead of
// the tail, emptiness is one load, a bulk is one claim and one fetch-and-add, and SCQ's threshold,
// its catch-up and its bound on the number of threads fall away.
//
// Why a claimant always finds an index. Count over all time: claims <= counted pushes <= placed
// indices. Every placed index whose ticket is below head_ has its own taker, which takes it; so
// the claims without an index yet are at most the placed indices at tickets >= head_, and
// head_ <= tail_ whenever a claimant draws a ticket.
//
// Entry, 64 bits: | cycle = ticket / entries | unsafe | index + 1, or 0: none |
// With b = log2(entries) the cycle has 63 - b bits: tickets last for 2^63, that is 292 years at
// 10^9 tickets a second.
//
// Edges (release -> acquire):
//   R1 -> A1  place -> claim          a counted push: its placed indices, and its ticket in tail_
//   R2 -> A2  place_one -> take_one   a placed index, and what its pusher did before
//   R3 -> A3  take_one -> place_one   an entry passed or emptied; head_ was moved before
//   R4 -> A4  draw -> place_one       head_ is past this ticket: its taker has gone by

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"

namespace ringpool {

/// Free indices 0 .. capacity-1 of a pool; knows nothing of memory.
///
/// Invariant: capacity = never taken + placed + in callers' hands; an index is in one place.
/// Progress: push and pop are lock-free for any number of threads, each of which may be suspended
///   for ever at any instruction: an unfinished call keeps only the indices it was given.
///   A push never fails. A pop returns nothing only if every index was taken, or inside an
///   unfinished push or pop, at one moment during the call.
/// Thread-safety: any thread, signal handlers included. `reset` needs exclusive use.
/// Cost: pop of n: 2 + n read-modify-writes on 2 shared lines and the entries' own; push likewise;
///   an empty pop: 3 loads.
template <class Policy>
class basic_index_ring {
 public:
  using entry = typename Policy::template atomic<std::uint64_t>;

  /// Entries for a capacity: twice as many, so that a placer finds an empty entry at once even
  /// while a taker is suspended on an old one.
  [[nodiscard]] static constexpr std::size_t entry_count(std::size_t capacity) noexcept {
    return std::bit_ceil(capacity) * 2;
  }

  /// `entries`: entry_count(capacity) zeroed words (fresh pages are). All indices start free.
  /// `first_cycle` >= 1: where the cycle tags start; tests set it near the wrap of a narrower tag.
  void reset(entry* entries, std::size_t capacity, std::uint64_t first_cycle = 1) noexcept;

  /// Takes up to out.size() indices; 0 only when the ring is empty (see Progress).
  [[nodiscard]] std::size_t pop_bulk(std::span<slot_index> out) noexcept;
  /// Likewise, without those that were never taken.
  [[nodiscard]] std::size_t pop_returned(std::span<slot_index> out) noexcept;

  /// Gives indices back. Each must have come from a pop and must not be in the ring.
  void push_bulk(std::span<const slot_index> slots) noexcept;

  /// True: at one moment during this call there was nothing to pop.
  [[nodiscard]] bool empty() const noexcept;
  /// Free indices, those never taken included. A snapshot.
  [[nodiscard]] std::size_t available() const noexcept;
  /// Indices that were ever taken: the most that were out at once, since fresh ones come last.
  [[nodiscard]] std::size_t touched() const noexcept { return fresh_.load(detail::relaxed); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  using word = std::uint64_t;

  [[nodiscard]] std::size_t claim(std::size_t wanted) noexcept;
  [[nodiscard]] std::size_t claim_fresh(std::span<slot_index> out) noexcept;
  void take_claimed(std::span<slot_index> out) noexcept;
  void prepare_entries(word first, std::size_t count) const noexcept;
  [[nodiscard]] word draw(std::size_t count) noexcept;
  [[nodiscard]] bool take_one(word ticket, slot_index& out) noexcept;
  [[nodiscard]] bool place_one(word ticket, slot_index slot) noexcept;

  [[nodiscard]] word index_mask() const noexcept { return entry_mask_; }
  [[nodiscard]] word unsafe_bit() const noexcept { return entry_mask_ + 1; }
  [[nodiscard]] word cycle_of(word tagged) const noexcept { return tagged >> (entry_bits_ + 1); }
  [[nodiscard]] word tag(word ticket) const noexcept {
    return (ticket >> entry_bits_) << (entry_bits_ + 1);
  }

  template <class T>
  using atomic = typename Policy::template atomic<T>;

  alignas(contended_line_bytes) atomic<word> head_{0};
  alignas(contended_line_bytes) atomic<word> tail_{0};
  alignas(contended_line_bytes) atomic<word> available_{0};
  atomic<word> fresh_{0};
  alignas(cache_line_bytes) entry* entries_ = nullptr;
  std::size_t capacity_ = 0;
  word entry_mask_ = 0;
  unsigned entry_bits_ = 0;
};

using index_ring = basic_index_ring<detail::std_atomics>;

}  // namespace ringpool
