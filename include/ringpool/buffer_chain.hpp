// SPDX-License-Identifier: MIT
#pragma once

//   buffer_chain   size 10,000      4 pieces inside the chain; more are in blocks, which are
//   buffers
//      |
//      +--> piece  |..headroom..|=== header, 96 bytes ===|..tailroom..|      each a shared_buffer:
//      +--> piece  |============ 4096 bytes =============|                   a part of a buffer
//      with
//      +--> piece         |===== 1712 bytes =====|   a slice of one          any number of owners
//      +--> piece  |============ 4096 bytes =============|
//
//   from the fifth piece on:   block <--> block <--> block      each | links | piece | piece | ...
//
// Guarantees
// - Bytes are copied by calls that say so and by nothing else.
// - What fails for want of a buffer leaves the chain as it was.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "ringpool/config.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/shared_buffer.hpp"

namespace ringpool {

/// Either kind of pool, or none. Must not outlive it.
class pool_ref {
 public:
  pool_ref() noexcept = default;
  pool_ref(ring_buffer_pool& one) noexcept : one_(&one) {}      // NOLINT(google-explicit-*)
  pool_ref(multi_size_ring_pool& set) noexcept : set_(&set) {}  // NOLINT(google-explicit-*)

  [[nodiscard]] explicit operator bool() const noexcept {
    return one_ != nullptr || set_ != nullptr;
  }
  /// Of the largest buffer; 0: no pool.
  [[nodiscard]] std::size_t max_size() const noexcept;
  /// As the pool's, empty without one.
  [[nodiscard]] buffer try_alloc(std::size_t size) const noexcept;
  [[nodiscard]] buffer alloc(std::size_t size, const std::nothrow_t&) const noexcept;
  /// The rings alone: one buffer of size `most`, or of less where there is none so large. The
  /// smallest class that fits, then larger, then smaller ones; empty when all are held.
  [[nodiscard]] buffer try_alloc_part(std::size_t most) const noexcept;

 private:
  ring_buffer_pool* one_ = nullptr;
  multi_size_ring_pool* set_ = nullptr;
};

namespace detail {

/// A run of pieces, those in first .. last, and its neighbours. `items` follows in the chain
/// itself, or in the buffer `self`.
struct piece_block {
  piece_block* next = nullptr;
  piece_block* previous = nullptr;
  shared_buffer* items = nullptr;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::uint32_t capacity = 0;
  buffer self{};

  [[nodiscard]] std::uint32_t count() const noexcept { return last - first; }
};

}  // namespace detail

/// Bytes in any number of pieces, each a part of a buffer that may have other owners.
///
/// Invariant: size() = the pieces' sizes; pinned_bytes() >= size(); no piece is empty but the one
///   that alloc_with_headroom(pool, headroom, 0) makes; a block has at least one piece.
/// Progress: as the pools' alloc where a block or a buffer is taken, as their deallocate where one
///   is given back; else wait-free, in at most as many steps as there are pieces.
/// Thread-safety: none; a chain is one thread's at a time. Others may own the same buffers.
/// Cost: 240 bytes, 4 pieces among them; no heap. A block is a buffer of the pool named at
///   construction, else of the pool that the piece is from: its smallest class of 1 KiB or more (30
///   pieces), or its largest of 320 bytes or more (8); upstream where that is spent, or all buffers
///   are smaller. append, prepend: moves 32 bytes, no read-modify-write, but for one where the
///   pieces join, and a block every so many; size(), piece_count(): one load. The others: what
///   they say, else O(pieces they pass).
class buffer_chain {
 public:
  static constexpr std::size_t inline_pieces = 4;

  buffer_chain() noexcept { start_empty(); }
  /// Blocks come from `blocks`, which outlives the chain.
  explicit buffer_chain(pool_ref blocks) noexcept : blocks_(blocks) { start_empty(); }
  buffer_chain(buffer_chain&& other) noexcept : blocks_(other.blocks_) {
    start_empty();
    take_over(other);
  }
  buffer_chain& operator=(buffer_chain&& other) noexcept;
  buffer_chain(const buffer_chain&) = delete;
  buffer_chain& operator=(const buffer_chain&) = delete;
  ~buffer_chain() { clear(); }

  /// O(1).
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// O(1). A single piece that append or prepend finds next to its neighbour in the same buffer is
  /// joined to that; the pieces of whole chains are not.
  [[nodiscard]] std::size_t piece_count() const noexcept { return piece_count_; }
  /// True if there is a piece.
  [[nodiscard]] explicit operator bool() const noexcept { return piece_count_ != 0; }
  /// Bytes of pools that the pieces keep from others, blocks left out: O(pieces). A buffer counts
  /// once for neighbours that share it, again where it turns up after another.
  [[nodiscard]] std::size_t pinned_bytes() const noexcept;
  /// Before the first and behind the last piece, whoever else owns those.
  [[nodiscard]] std::size_t headroom() const noexcept;
  [[nodiscard]] std::size_t tailroom() const noexcept;

  // ---- Without copying bytes. False, and nothing happens: no block was to be had.

  /// `piece` is empty then. Of size 0: dropped.
  [[nodiscard]] bool append(shared_buffer&& piece) noexcept;
  [[nodiscard]] bool prepend(shared_buffer&& piece) noexcept;
  /// All of `other`, which is empty then: at most four pieces are moved, blocks are linked.
  [[nodiscard]] bool append(buffer_chain&& other) noexcept;
  [[nodiscard]] bool prepend(buffer_chain&& other) noexcept;
  /// Keeps the first `offset` bytes and returns the others: O(pieces). Beyond size(), or without a
  /// block or a count: an empty chain, and nothing happens.
  [[nodiscard]] buffer_chain split(std::size_t offset) noexcept;
  /// A further handle on each piece: O(pieces). Without a block or a count: an empty chain.
  [[nodiscard]] buffer_chain share() const noexcept;
  /// Drops bytes at an end; more than size(): all. O(pieces dropped); trim_back, when it keeps
  /// none of a block, likewise.
  void trim_front(std::size_t bytes) noexcept;
  void trim_back(std::size_t bytes) noexcept;
  void clear() noexcept;

  /// Fills `out` from `offset` bytes on, for writev(2) or sendmsg(2), and returns how many it
  /// filled: O(pieces up to there). What they point to is alive as long as its pieces.
  [[nodiscard]] std::size_t iovecs(std::span<::iovec> out, std::size_t offset = 0) const noexcept;
  /// The pieces in turn, as they lie: `for (const shared_buffer& piece : chain)`.
  class const_iterator;
  [[nodiscard]] const_iterator begin() const noexcept;
  [[nodiscard]] const_iterator end() const noexcept;
  /// `visit(std::span<const std::byte>)` for each piece in turn.
  template <class Visit>
  void for_each_piece(Visit visit) const {
    for (const detail::piece_block* block = front(); block != nullptr; block = block->next) {
      for (std::uint32_t i = block->first; i != block->last; ++i) {
        visit(block->items[i].span());
      }
    }
  }

  // ---- Copying bytes.

  /// From `offset` on, as many as there are and `out` has room for; returns how many.
  std::size_t copy_to(std::span<std::byte> out, std::size_t offset = 0) const noexcept;
  /// In front of all: into the headroom where this is that buffer's only owner, else into a buffer
  /// of their own, at its end, so that the next find headroom. The rings alone; false, and nothing
  /// happens: they were spent.
  [[nodiscard]] bool prepend_bytes(pool_ref pool, std::span<const std::byte> bytes) noexcept;
  /// Behind all: into the tailroom where this is that buffer's only owner, the rest into buffers
  /// as alloc_chain takes them. False, and nothing happens: the rings were spent.
  [[nodiscard]] bool append_bytes(pool_ref pool, std::span<const std::byte> bytes) noexcept;
  /// Into one buffer of a ring. True: there is at most one piece now. False, and nothing happens:
  /// no class is so large, or the ring is spent.
  [[nodiscard]] bool coalesce(pool_ref pool) noexcept;
  /// Copies runs of pieces of at most `threshold` bytes each into buffers of `pool`'s rings, where
  /// those are smaller than what the run pins. Returns by how much pinned_bytes() fell.
  std::size_t compact(pool_ref pool, std::size_t threshold) noexcept;

 private:
  friend class chain_reader;
  friend class chain_writer;
  friend buffer_chain alloc_with_headroom(pool_ref, std::size_t, std::size_t) noexcept;
  friend buffer_chain alloc_chain(pool_ref, std::size_t, std::size_t) noexcept;
  using piece_block = detail::piece_block;
  struct place {
    piece_block* block;
    std::uint32_t index;
    [[nodiscard]] shared_buffer& piece() const noexcept { return block->items[index]; }
    void advance() noexcept;
  };
  struct run;

  void start_empty() noexcept {
    inline_.items = reinterpret_cast<shared_buffer*>(room_);
    inline_.capacity = inline_pieces;
  }
  [[nodiscard]] const piece_block* front() const noexcept {
    return front_ == nullptr ? &inline_ : front_;
  }
  [[nodiscard]] const piece_block* back() const noexcept {
    return back_ == nullptr ? &inline_ : back_;
  }
  [[nodiscard]] piece_block& front() noexcept { return front_ == nullptr ? inline_ : *front_; }
  [[nodiscard]] piece_block& back() noexcept { return back_ == nullptr ? inline_ : *back_; }
  [[nodiscard]] shared_buffer* first_piece() noexcept {
    return piece_count_ == 0 ? nullptr : front().items + front().first;
  }
  [[nodiscard]] shared_buffer* last_piece() noexcept {
    return piece_count_ == 0 ? nullptr : back().items + back().last - 1;
  }

  /// Where the block for a piece is from.
  [[nodiscard]] pool_ref source_for(const shared_buffer& piece) const noexcept {
    return blocks_ ? blocks_ : pool_ref(*piece.home());
  }
  [[nodiscard]] place start() noexcept { return {&front(), front().first}; }
  void take_over(buffer_chain& other) noexcept;
  void forget() noexcept;
  void put_back(shared_buffer&& piece) noexcept;
  void put_front(shared_buffer&& piece) noexcept;
  [[nodiscard]] bool push_back(shared_buffer& piece) noexcept;
  [[nodiscard]] bool push_front(shared_buffer& piece) noexcept;
  RINGPOOL_COLD bool reserve_back(std::size_t count, pool_ref source) noexcept;
  [[nodiscard]] detail::piece_block* room_for(std::size_t pieces, pool_ref source) noexcept;
  RINGPOOL_COLD bool reserve_front(std::size_t count, pool_ref source) noexcept;
  void drop_block(piece_block& block) noexcept;
  void pop_front() noexcept;
  void pop_back() noexcept;
  void cut_off(piece_block& first, buffer_chain& into) noexcept;
  void link(buffer_chain& other) noexcept;
  [[nodiscard]] bool append_all(buffer_chain& other, pool_ref source) noexcept;
  [[nodiscard]] bool move_behind(place from, buffer_chain& into) noexcept;
  void fill(std::span<const std::byte> bytes) noexcept;
  [[nodiscard]] static run run_from(place at, std::size_t pieces, const shared_buffer* previous,
                                    std::size_t threshold, std::size_t most) noexcept;

  piece_block* front_ = nullptr;  // nullptr: the pieces are in inline_
  piece_block* back_ = nullptr;
  std::size_t size_ = 0;
  std::size_t piece_count_ = 0;
  pool_ref blocks_;
  piece_block inline_;
  alignas(shared_buffer) std::byte room_[inline_pieces * sizeof(shared_buffer)];
};

/// A place between pieces of a chain, bidirectional: good until the chain changes.
class buffer_chain::const_iterator {
 public:
  using iterator_category = std::bidirectional_iterator_tag;
  using value_type = shared_buffer;
  using difference_type = std::ptrdiff_t;
  using pointer = const shared_buffer*;
  using reference = const shared_buffer&;

  const_iterator() noexcept = default;
  [[nodiscard]] reference operator*() const noexcept { return block_->items[index_]; }
  [[nodiscard]] pointer operator->() const noexcept { return block_->items + index_; }
  const_iterator& operator++() noexcept {
    if (++index_ == block_->last && block_->next != nullptr) {
      block_ = block_->next;
      index_ = block_->first;
    }
    return *this;
  }
  const_iterator& operator--() noexcept {
    if (index_ == block_->first) {
      block_ = block_->previous;
      index_ = block_->last;
    }
    --index_;
    return *this;
  }
  const_iterator operator++(int) noexcept { return std::exchange(*this, std::next(*this)); }
  const_iterator operator--(int) noexcept { return std::exchange(*this, std::prev(*this)); }
  [[nodiscard]] bool operator==(const const_iterator&) const noexcept = default;

 private:
  friend class buffer_chain;
  const_iterator(const detail::piece_block* block, std::uint32_t index) noexcept
      : block_(block), index_(index) {}

  const detail::piece_block* block_ = nullptr;
  std::uint32_t index_ = 0;
};

inline auto buffer_chain::begin() const noexcept -> const_iterator {
  return {front(), front()->first};
}
inline auto buffer_chain::end() const noexcept -> const_iterator { return {back(), back()->last}; }

/// One piece that shows `size` bytes, indeterminate, with `headroom` bytes before them and what is
/// left of its buffer behind. As alloc(headroom + size); an empty chain when all are spent.
[[nodiscard]] buffer_chain alloc_with_headroom(pool_ref pool, std::size_t headroom,
                                               std::size_t size) noexcept;

/// `size` bytes, indeterminate, in as few buffers of the rings as are to be had: the largest while
/// more is wanted, then the smallest that fits; `headroom` bytes before the first. All or nothing:
/// an empty chain when the rings are spent, or the first buffer is not above headroom. Size 0: an
/// empty chain.
[[nodiscard]] buffer_chain alloc_chain(pool_ref pool, std::size_t size,
                                       std::size_t headroom = 0) noexcept;

// ---- Fast path ----------------------------------------------------------------------------------

/// For which there is room.
inline void buffer_chain::put_back(shared_buffer&& piece) noexcept {
  piece_block& block = back();
  size_ += piece.size();
  ++piece_count_;
  new (block.items + block.last++) shared_buffer(std::move(piece));
}

inline void buffer_chain::put_front(shared_buffer&& piece) noexcept {
  piece_block& block = front();
  size_ += piece.size();
  ++piece_count_;
  new (block.items + --block.first) shared_buffer(std::move(piece));
}

/// `piece` is empty then. False: no block was to be had.
inline bool buffer_chain::push_back(shared_buffer& piece) noexcept {
  if (back().last == back().capacity && !reserve_back(1, source_for(piece))) [[unlikely]] {
    return false;
  }
  put_back(std::move(piece));
  return true;
}

inline bool buffer_chain::push_front(shared_buffer& piece) noexcept {
  if (front().first == 0 && !reserve_front(1, source_for(piece))) [[unlikely]] {
    return false;
  }
  put_front(std::move(piece));
  return true;
}

inline bool buffer_chain::append(shared_buffer&& piece) noexcept {
  const std::size_t bytes = piece.size();
  if (bytes == 0) {
    piece.reset();
    return true;
  }
  if (piece_count_ != 0 && last_piece()->try_join(piece)) {
    size_ += bytes;
    return true;
  }
  return push_back(piece);
}

inline bool buffer_chain::prepend(shared_buffer&& piece) noexcept {
  const std::size_t bytes = piece.size();
  if (bytes == 0) {
    piece.reset();
    return true;
  }
  if (piece_count_ != 0 && piece.try_join(*first_piece())) {
    *first_piece() = std::move(piece);
    size_ += bytes;
    return true;
  }
  return push_front(piece);
}

}  // namespace ringpool
