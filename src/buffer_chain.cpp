// SPDX-License-Identifier: MIT
#include "ringpool/buffer_chain.hpp"

#include <algorithm>
#include <memory>
#include <new>

namespace ringpool {
namespace {

constexpr std::size_t wanted_block_bytes = 1024;
constexpr std::size_t min_block_bytes = 320;
static_assert(sizeof(detail::piece_block) +
                  2 * buffer_chain::inline_pieces * sizeof(shared_buffer) <=
              min_block_bytes);

/// An empty block, in a buffer. nullptr: none was to be had.
detail::piece_block* make_block(pool_ref source) noexcept {
  const std::size_t bytes = std::clamp(source.max_size(), min_block_bytes, wanted_block_bytes);
  buffer memory = source.alloc(bytes, std::nothrow);
  if (!memory) {
    return nullptr;
  }
  memory.resize(memory.capacity());
  auto* const made = new (memory.data()) detail::piece_block;
  made->items = reinterpret_cast<shared_buffer*>(made + 1);
  made->capacity = static_cast<std::uint32_t>((memory.size() - sizeof(detail::piece_block)) /
                                              sizeof(shared_buffer));
  made->self = std::move(memory);
  return made;
}

/// Moves count items so that they start at `to`. Ranges may overlap.
void move_items(shared_buffer* from, std::size_t count, shared_buffer* to) noexcept {
  for (std::size_t i = 0; i < count && from != to; ++i) {
    const std::size_t one = from > to ? i : count - 1 - i;
    new (to + one) shared_buffer(std::move(from[one]));
    std::destroy_at(from + one);
  }
}

}  // namespace

// ---- Blocks -------------------------------------------------------------------------------------

void buffer_chain::place::advance() noexcept {
  if (++index == block->last && block->next != nullptr) {
    block = block->next;
    index = block->first;
  }
}

/// Gives back a block that has no pieces, unless it is the chain's own.
void buffer_chain::drop_block(piece_block& block) noexcept {
  if (&block == &inline_) {
    inline_.first = inline_.last = 0;
    return;
  }
  (block.previous != nullptr ? block.previous->next : front_) = block.next;
  (block.next != nullptr ? block.next->previous : back_) = block.previous;
  const buffer memory = std::move(block.self);
  std::destroy_at(&block);
}

/// Where pieces go that have no room: the chain's own block, moved up in it, while they are few and
/// all in there, else a new one. nullptr: none was to be had.
detail::piece_block* buffer_chain::room_for(std::size_t pieces, pool_ref source) noexcept {
  return front_ == nullptr && pieces <= inline_pieces ? &inline_ : make_block(source);
}

/// Makes room for `count` pieces, at most four, in the last block. False: none was to be had.
bool buffer_chain::reserve_back(std::size_t count, pool_ref source) noexcept {
  piece_block& block = back();
  const std::uint32_t held = block.count();
  if (block.capacity - block.last >= count) {
    return true;
  }
  piece_block* const target = room_for(held + count, source);
  if (target == nullptr) {
    return false;
  }
  if (front_ == nullptr) {
    move_items(block.items + block.first, held, target->items);
    block.first = block.last = 0;
    target->last = held;
    if (target != &inline_) {
      front_ = back_ = target;
    }
  } else {
    target->previous = back_;
    back_->next = target;
    back_ = target;
  }
  return true;
}

/// Likewise in front, in the first block.
bool buffer_chain::reserve_front(std::size_t count, pool_ref source) noexcept {
  piece_block& block = front();
  const std::uint32_t held = block.count();
  if (block.first >= count) {
    return true;
  }
  piece_block* const target = room_for(held + count, source);
  if (target == nullptr) {
    return false;
  }
  if (front_ == nullptr) {
    const std::uint32_t first = target->capacity - held;
    move_items(block.items + block.first, held, target->items + first);
    block.first = block.last = 0;
    target->first = first;
    target->last = target->capacity;
    if (target != &inline_) {
      front_ = back_ = target;
    }
  } else {
    target->first = target->last = target->capacity;
    target->next = front_;
    front_->previous = target;
    front_ = target;
  }
  return true;
}

void buffer_chain::pop_front() noexcept {
  piece_block& block = front();
  size_ -= block.items[block.first].size();
  --piece_count_;
  std::destroy_at(block.items + block.first++);
  if (block.count() == 0) {
    drop_block(block);
  }
}

void buffer_chain::pop_back() noexcept {
  piece_block& block = back();
  size_ -= block.items[--block.last].size();
  --piece_count_;
  std::destroy_at(block.items + block.last);
  if (block.count() == 0) {
    drop_block(block);
  }
}

// ---- Whole chains -------------------------------------------------------------------------------

/// Whatever it had is another chain's now.
void buffer_chain::forget() noexcept {
  front_ = back_ = nullptr;
  inline_.first = inline_.last = 0;
  size_ = piece_count_ = 0;
}

/// *this is empty; what `other` has becomes its own.
void buffer_chain::take_over(buffer_chain& other) noexcept {
  front_ = other.front_;
  back_ = other.back_;
  size_ = other.size_;
  piece_count_ = other.piece_count_;
  if (front_ == nullptr) {
    const piece_block& from = other.inline_;
    inline_.first = from.first;
    inline_.last = from.last;
    move_items(from.items + from.first, from.count(), inline_.items + from.first);
  }
  other.forget();
}

buffer_chain& buffer_chain::operator=(buffer_chain&& other) noexcept {
  if (this != &other) {
    clear();
    blocks_ = other.blocks_;
    take_over(other);
  }
  return *this;
}

void buffer_chain::clear() noexcept {
  while (piece_count_ != 0) {
    piece_block& block = back();
    piece_count_ -= block.count();
    std::destroy(block.items + block.first, block.items + block.last);
    drop_block(block);
  }
  size_ = 0;
}

/// The blocks of `other` behind those of *this.
void buffer_chain::link(buffer_chain& other) noexcept {
  back_->next = other.front_;
  other.front_->previous = back_;
  back_ = other.back_;
  size_ += other.size_;
  piece_count_ += other.piece_count_;
  other.forget();
}

bool buffer_chain::append(buffer_chain&& other) noexcept {
  return this == &other || !other || append_all(other, source_for(*other.first_piece()));
}

bool buffer_chain::prepend(buffer_chain&& other) noexcept {
  if (this == &other || !other) {
    return true;
  }
  if (!other.append_all(*this, source_for(*other.first_piece()))) {
    return false;
  }
  take_over(other);
  return true;
}

/// `other` may be empty, and is then.
bool buffer_chain::append_all(buffer_chain& other, pool_ref source) noexcept {
  if (!other) {
    return true;
  }
  if (piece_count_ == 0) {
    take_over(other);
    return true;
  }
  if (other.front_ != nullptr && front_ != nullptr) {
    link(other);
    return true;
  }
  if (other.front_ == nullptr) {
    if (!reserve_back(other.piece_count_, source)) {
      return false;
    }
    while (other) {
      put_back(std::move(*other.first_piece()));
      other.pop_front();
    }
    other.forget();
    return true;
  }
  if (!other.reserve_front(piece_count_, source)) {
    return false;
  }
  while (piece_count_ != 0) {
    other.put_front(std::move(*last_piece()));
    pop_back();
  }
  forget();
  take_over(other);
  return true;
}

/// The blocks from `first` on, which is not the first of *this, become those of `into`; sizes stay.
void buffer_chain::cut_off(piece_block& first, buffer_chain& into) noexcept {
  into.front_ = &first;
  into.back_ = back_;
  back_ = first.previous;
  back_->next = first.previous = nullptr;
}

/// Moves the pieces from `from` to the end of its block in front of `into`. False: as they were.
bool buffer_chain::move_behind(place from, buffer_chain& into) noexcept {
  piece_block& block = *from.block;
  for (std::uint32_t i = block.last; i != from.index; --i) {
    if (!into.push_front(block.items[i - 1])) {
      for (; i != block.last; ++i) {
        block.items[i] = std::move(*into.first_piece());
        into.pop_front();
      }
      return false;
    }
  }
  return true;
}

buffer_chain buffer_chain::split(std::size_t offset) noexcept {
  buffer_chain rest(blocks_);
  if (offset >= size_) {
    return rest;
  }
  if (offset == 0) {
    rest.take_over(*this);
    return rest;
  }
  std::size_t pieces = 0;
  std::size_t inner = offset;
  place at = start();
  for (; inner >= at.piece().size(); at.advance()) {
    inner -= at.piece().size();
    ++pieces;
  }
  shared_buffer cut;
  shared_buffer* const kept = inner == 0 ? nullptr : &at.piece();
  if (kept != nullptr) {
    cut = kept->slice(inner, kept->size() - inner);
    if (!cut) {
      return rest;
    }
    ++pieces;
    ++at.index;
  }
  const std::size_t rest_size = size_ - offset;
  const std::size_t rest_pieces = piece_count_ - pieces + (kept != nullptr ? 1 : 0);
  const bool whole_block = kept == nullptr && at.index == at.block->first;
  piece_block* const following = whole_block ? at.block : at.block->next;
  if (following != nullptr) {
    cut_off(*following, rest);
  }
  if (!whole_block) {
    const auto moved = at.block->last - at.index;
    if (!move_behind(at, rest) || (kept != nullptr && !rest.push_front(cut))) {
      // moved back, if the piece that was cut is the one that found no room
      for (std::uint32_t i = at.index; rest.piece_count_ != 0; ++i) {
        at.block->items[i] = std::move(*rest.first_piece());
        rest.pop_front();
      }
      if (following != nullptr) {
        back_->next = following;
        following->previous = back_;
        back_ = rest.back_;
      }
      rest.forget();
      return rest;
    }
    std::destroy_n(at.block->items + at.index, moved);
    at.block->last = at.index;
  }
  if (kept != nullptr) {
    kept->remove_suffix(kept->size() - inner);
  }
  rest.size_ = rest_size;
  rest.piece_count_ = rest_pieces;
  size_ = offset;
  piece_count_ = pieces;
  return rest;
}

buffer_chain buffer_chain::share() const noexcept {
  buffer_chain made(blocks_);
  for (const piece_block* block = front(); block != nullptr; block = block->next) {
    for (std::uint32_t i = block->first; i != block->last; ++i) {
      shared_buffer copy(block->items[i]);
      if (!copy || !made.push_back(copy)) {
        made.clear();
        return made;
      }
    }
  }
  return made;
}

// ---- Ends ---------------------------------------------------------------------------------------

void buffer_chain::trim_front(std::size_t bytes) noexcept {
  while (bytes != 0 && piece_count_ != 0) {
    shared_buffer& piece = *first_piece();
    if (bytes < piece.size()) {
      piece.remove_prefix(bytes);
      size_ -= bytes;
      return;
    }
    bytes -= piece.size();
    pop_front();
  }
}

void buffer_chain::trim_back(std::size_t bytes) noexcept {
  while (bytes != 0 && piece_count_ != 0) {
    shared_buffer& piece = *last_piece();
    if (bytes < piece.size()) {
      piece.remove_suffix(bytes);
      size_ -= bytes;
      return;
    }
    bytes -= piece.size();
    pop_back();
  }
}

std::size_t buffer_chain::headroom() const noexcept {
  const piece_block& block = *front();
  return piece_count_ == 0 ? 0 : block.items[block.first].offset();
}

std::size_t buffer_chain::tailroom() const noexcept {
  const piece_block& block = back_ == nullptr ? inline_ : *back_;
  return piece_count_ == 0 ? 0 : block.items[block.last - 1].tailroom();
}

// ---- Looking ------------------------------------------------------------------------------------

std::size_t buffer_chain::pinned_bytes() const noexcept {
  std::size_t sum = 0;
  const shared_buffer* previous = nullptr;
  for (const piece_block* block = front(); block != nullptr; block = block->next) {
    for (std::uint32_t i = block->first; i != block->last; ++i) {
      const shared_buffer& piece = block->items[i];
      sum += previous != nullptr && piece.shares_buffer_with(*previous) ? 0 : piece.capacity();
      previous = &piece;
    }
  }
  return sum;
}

std::size_t buffer_chain::iovecs(std::span<::iovec> out, std::size_t offset) const noexcept {
  std::size_t filled = 0;
  for (const piece_block* block = front(); block != nullptr; block = block->next) {
    for (std::uint32_t i = block->first; i != block->last; ++i) {
      const std::span<const std::byte> bytes = block->items[i].span();
      if (offset >= bytes.size()) {
        offset -= bytes.size();
        continue;
      }
      if (filled == out.size()) {
        return filled;
      }
      // iovec has no const form; sending does not write through it
      out[filled++] = {const_cast<std::byte*>(bytes.data()) + offset, bytes.size() - offset};
      offset = 0;
    }
  }
  return filled;
}

}  // namespace ringpool
