// SPDX-License-Identifier: MIT

// What chains copy and allocate; buffer_chain.cpp has what moves pieces.

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "ringpool/buffer_chain.hpp"

namespace ringpool {

// ---- Pools --------------------------------------------------------------------------------------

std::size_t pool_ref::max_size() const noexcept {
  return set_ != nullptr ? set_->max_size() : one_ != nullptr ? one_->buffer_size() : 0;
}

buffer pool_ref::try_alloc(std::size_t size) const noexcept {
  return set_ != nullptr   ? set_->try_alloc(size)
         : one_ != nullptr ? one_->try_alloc(size)
                           : buffer{};
}

buffer pool_ref::alloc(std::size_t size, const std::nothrow_t& tag) const noexcept {
  return set_ != nullptr   ? set_->alloc(size, tag)
         : one_ != nullptr ? one_->alloc(size, tag)
                           : buffer{};
}

buffer pool_ref::try_alloc_part(std::size_t most) const noexcept {
  if (set_ == nullptr) {
    return try_alloc(std::min(most, max_size()));
  }
  const std::span<const ring_buffer_pool> classes = set_->classes();
  const auto fits = std::find_if(classes.begin(), classes.end(), [&](const ring_buffer_pool& one) {
    return one.buffer_size() >= most;
  });
  for (auto larger = fits; larger != classes.end(); ++larger) {
    if (buffer one = set_->try_alloc(larger->buffer_size())) {
      one.resize(most);
      return one;
    }
  }
  for (auto smaller = fits; smaller != classes.begin();) {
    if (buffer one = set_->try_alloc((--smaller)->buffer_size())) {
      return one;
    }
  }
  return {};
}

// ---- Copying ------------------------------------------------------------------------------------

std::size_t buffer_chain::copy_to(std::span<std::byte> out, std::size_t offset) const noexcept {
  std::size_t copied = 0;
  for_each_piece([&](std::span<const std::byte> bytes) {
    const std::size_t skipped = std::min(offset, bytes.size());
    const std::size_t count = std::min(bytes.size() - skipped, out.size() - copied);
    if (count != 0) {
      std::memcpy(out.data() + copied, bytes.data() + skipped, count);
    }
    offset -= skipped;
    copied += count;
  });
  return copied;
}

/// All of the chain, whose buffers have no other owner, becomes `bytes`.
void buffer_chain::fill(std::span<const std::byte> bytes) noexcept {
  for (place at = start(); !bytes.empty(); at.advance()) {
    shared_buffer& piece = at.piece();
    std::memcpy(piece.try_write(), bytes.data(), piece.size());
    bytes = bytes.subspan(piece.size());
  }
}

bool buffer_chain::prepend_bytes(pool_ref pool, std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) {
    return true;
  }
  if (piece_count_ != 0) {
    if (std::byte* const room = first_piece()->try_grow_front(bytes.size()); room != nullptr) {
      std::memcpy(room, bytes.data(), bytes.size());
      size_ += bytes.size();
      return true;
    }
  }
  buffer_chain added = alloc_chain(pool, bytes.size());
  if (!added) {
    return false;
  }
  if (added.piece_count() == 1) {
    shared_buffer& piece = *added.first_piece();
    const std::size_t room = piece.tailroom();
    static_cast<void>(piece.try_grow_back(room));
    piece.remove_prefix(room);
  }
  added.fill(bytes);
  return prepend(std::move(added));
}

bool buffer_chain::append_bytes(pool_ref pool, std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) {
    return true;
  }
  std::size_t room = 0;
  std::byte* tail = nullptr;
  if (piece_count_ != 0) {
    room = std::min(tailroom(), bytes.size());
    tail = last_piece()->try_grow_back(room);
    room = tail == nullptr ? 0 : room;
    size_ += room;
  }
  if (room < bytes.size()) {
    shared_buffer* const last = last_piece();
    buffer_chain added = alloc_chain(pool, bytes.size() - room);
    added.fill(bytes.subspan(added ? room : bytes.size()));
    if (!added || !append(std::move(added))) {
      if (last != nullptr) {
        last->remove_suffix(room);
        size_ -= room;
      }
      return false;
    }
  }
  if (room != 0) {
    std::memcpy(tail, bytes.data(), room);
  }
  return true;
}

bool buffer_chain::coalesce(pool_ref pool) noexcept {
  if (piece_count_ <= 1) {
    return true;
  }
  buffer whole = size_ <= pool.max_size() ? pool.try_alloc(size_) : buffer{};
  if (!whole) {
    return false;
  }
  copy_to(whole.span());
  clear();
  put_back(shared_buffer(std::move(whole)));
  return true;
}

/// Neighbours that are small, and what giving them all up would give back.
struct buffer_chain::run {
  std::size_t pieces = 0;
  std::size_t bytes = 0;
  std::size_t pinned = 0;
};

/// `previous`: the piece before `at`, or nullptr. `pieces`: how many there are from `at` on.
auto buffer_chain::run_from(place at, std::size_t pieces, const shared_buffer* previous,
                            std::size_t threshold, std::size_t most) noexcept -> run {
  run found;
  std::size_t last_pinned = 0;  // by the buffer that the last piece is from
  for (; pieces != 0; --pieces, at.advance()) {
    const shared_buffer& piece = at.piece();
    const bool same = previous != nullptr && piece.shares_buffer_with(*previous);
    if (piece.size() > threshold || found.bytes + piece.size() > most) {
      found.pinned -= same ? last_pinned : 0;
      break;
    }
    if (!same) {
      last_pinned = piece.capacity();
      found.pinned += last_pinned;
    }
    ++found.pieces;
    found.bytes += piece.size();
    previous = &piece;
  }
  return found;
}

std::size_t buffer_chain::compact(pool_ref pool, std::size_t threshold) noexcept {
  const std::size_t pinned = pinned_bytes();
  std::size_t left = piece_count_;
  std::size_t kept = 0;
  place to = start();
  const shared_buffer* previous = nullptr;
  for (place from = start(); left != 0;) {
    const run found = run_from(from, left, previous, threshold, pool.max_size());
    buffer copy;
    if (found.bytes != 0 && found.bytes < found.pinned) {
      copy = pool.try_alloc(found.bytes);
    }
    const bool pays = copy.capacity() != 0 && copy.capacity() < found.pinned;
    std::size_t copied = 0;
    for (std::size_t i = std::max<std::size_t>(found.pieces, 1); i != 0; --i, --left) {
      shared_buffer& piece = from.piece();
      if (pays) {
        std::memcpy(copy.data() + copied, piece.data(), piece.size());
        copied += piece.size();
        piece.reset();
      } else if (&piece != &to.piece()) {
        to.piece() = std::move(piece);
      }
      from.advance();
      if (!pays || i == 1) {
        if (pays) {
          to.piece() = std::move(copy);
        }
        previous = &to.piece();
        to.advance();
        ++kept;
      }
    }
  }
  while (piece_count_ > kept) {
    pop_back();
  }
  return pinned - pinned_bytes();
}

// ---- Allocation ---------------------------------------------------------------------------------

buffer_chain alloc_with_headroom(pool_ref pool, std::size_t headroom, std::size_t size) noexcept {
  buffer_chain made(pool);
  buffer memory = size <= std::numeric_limits<std::size_t>::max() - headroom
                      ? pool.alloc(headroom + size, std::nothrow)
                      : buffer{};
  if (memory) {
    memory.resize(memory.capacity());
    shared_buffer piece(std::move(memory));
    piece.remove_suffix(piece.size() - headroom - size);
    piece.remove_prefix(headroom);
    made.put_back(std::move(piece));
  }
  return made;
}

buffer_chain alloc_chain(pool_ref pool, std::size_t size, std::size_t headroom) noexcept {
  buffer_chain made(pool);
  if (size == 0 || size > std::numeric_limits<std::size_t>::max() - headroom) {
    return made;
  }
  for (std::size_t left = headroom + size; left != 0;) {
    buffer memory = pool.try_alloc_part(left);
    const std::size_t taken = memory.size();
    if (taken <= headroom) {  // 0 without a buffer
      made.clear();
      return made;
    }
    left -= taken;
    memory.resize(memory.capacity());
    shared_buffer piece(std::move(memory));
    piece.remove_suffix(piece.size() - taken);
    piece.remove_prefix(std::exchange(headroom, 0));
    if (!made.push_back(piece)) {
      made.clear();
      return made;
    }
  }
  return made;
}

}  // namespace ringpool
