// SPDX-License-Identifier: MIT
#pragma once

//   piece       |.. .. 00 00|   |01 2c|   |de ad ..|
//   read_be<std::uint32_t>  ^^^^^  ^^^^^               300, in one step where it lies in one piece

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "ringpool/buffer_chain.hpp"

namespace ringpool {

/// What cursors read and write: integers of 8, 16, 32 and 64 bits.
template <class Integer>
concept wire_integer = std::integral<Integer> && !std::same_as<std::remove_cv_t<Integer>, bool> &&
                       sizeof(Integer) <= 8;

namespace detail {

/// On little-endian and big-endian processors alike: compilers make one instruction of it.
template <wire_integer Integer, bool BigEndian>
[[nodiscard]] Integer from_wire(const std::byte* bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    const std::size_t place = BigEndian ? sizeof(Integer) - 1 - i : i;
    value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * place);
  }
  return static_cast<Integer>(value);
}

template <wire_integer Integer, bool BigEndian>
void to_wire(Integer value, std::byte* bytes) noexcept {
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    const std::size_t place = BigEndian ? sizeof(Integer) - 1 - i : i;
    bytes[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * place));
  }
}

}  // namespace detail

/// Reads a chain from the front. A read that the chain is too short for returns false and reads
/// nothing: the cursor and what it should have set stay as they are.
///
/// Invariant: position() + remaining() = the chain's size(), in which no read leaves a piece.
/// Progress: wait-free, in at most as many steps as it passes pieces.
/// Thread-safety: as iterators: the chain must not change while it is read.
/// Cost: 48 bytes; no read-modify-write; an integer in one piece: a comparison and a load.
class chain_reader {
 public:
  explicit chain_reader(const buffer_chain& chain) noexcept
      : block_(chain.front()), index_(block_->first), remaining_(chain.size()) {
    enter();
  }

  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return remaining_; }

  /// Most significant byte first.
  template <wire_integer Integer>
  [[nodiscard]] bool read_be(Integer& value) noexcept {
    return read_integer<Integer, true>(value);
  }
  /// Least significant byte first.
  template <wire_integer Integer>
  [[nodiscard]] bool read_le(Integer& value) noexcept {
    return read_integer<Integer, false>(value);
  }
  /// All of `out`.
  [[nodiscard]] bool read(std::span<std::byte> out) noexcept {
    if (out.size() > remaining_) {
      return false;
    }
    while (!out.empty()) {
      const std::size_t count = std::min(out.size(), here_.size());
      std::memcpy(out.data(), here_.data(), count);
      out = out.subspan(count);
      pass(count);
    }
    return true;
  }
  [[nodiscard]] bool skip(std::size_t bytes) noexcept {
    if (bytes > remaining_) {
      return false;
    }
    while (bytes != 0) {
      const std::size_t count = std::min(bytes, here_.size());
      bytes -= count;
      pass(count);
    }
    return true;
  }

  /// As those without peek, but the cursor stays.
  template <wire_integer Integer>
  [[nodiscard]] bool peek_be(Integer& value) const noexcept {
    return chain_reader(*this).read_be(value);
  }
  template <wire_integer Integer>
  [[nodiscard]] bool peek_le(Integer& value) const noexcept {
    return chain_reader(*this).read_le(value);
  }
  [[nodiscard]] bool peek(std::span<std::byte> out) const noexcept {
    return chain_reader(*this).read(out);
  }
  /// What of the piece here is left to read; empty only at the end.
  [[nodiscard]] std::span<const std::byte> peek_piece() const noexcept { return here_; }

 private:
  template <class Integer, bool BigEndian>
  [[nodiscard]] bool read_integer(Integer& value) noexcept {
    if (here_.size() >= sizeof(Integer)) [[likely]] {
      value = detail::from_wire<Integer, BigEndian>(here_.data());
      pass(sizeof(Integer));
      return true;
    }
    std::byte gathered[sizeof(Integer)];
    if (!read(gathered)) {
      return false;
    }
    value = detail::from_wire<Integer, BigEndian>(gathered);
    return true;
  }

  /// At most what is here.
  void pass(std::size_t bytes) noexcept {
    here_ = here_.subspan(bytes);
    position_ += bytes;
    remaining_ -= bytes;
    if (here_.empty()) {
      enter();
    }
  }
  /// The next piece that has bytes.
  void enter() noexcept {
    while (remaining_ != 0 && here_.empty()) {
      if (index_ == block_->last) {
        block_ = block_->next;
        index_ = block_->first;
      }
      here_ = block_->items[index_++].span();
    }
  }

  const detail::piece_block* block_;
  std::uint32_t index_;  // of the piece behind the one that is here
  std::size_t position_ = 0;
  std::size_t remaining_;
  std::span<const std::byte> here_;
};

/// Writes over the bytes of a chain from the front. A write that goes beyond its end, or into a
/// buffer that has other owners, returns false and writes nothing.
///
/// Invariant: position() + remaining() = the chain's size().
/// Progress: wait-free, in at most as many steps as it passes pieces.
/// Thread-safety: as iterators: the chain must not change meanwhile, nor be shared.
/// Cost: 40 bytes; no read-modify-write; a load of each buffer's count for each write.
class chain_writer {
 public:
  explicit chain_writer(buffer_chain& chain) noexcept
      : block_(&chain.front()), index_(block_->first), remaining_(chain.size()) {}

  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return remaining_; }

  template <wire_integer Integer>
  [[nodiscard]] bool write_be(Integer value) noexcept {
    std::byte bytes[sizeof(Integer)];
    detail::to_wire<Integer, true>(value, bytes);
    return write(bytes);
  }
  template <wire_integer Integer>
  [[nodiscard]] bool write_le(Integer value) noexcept {
    std::byte bytes[sizeof(Integer)];
    detail::to_wire<Integer, false>(value, bytes);
    return write(bytes);
  }
  [[nodiscard]] bool write(std::span<const std::byte> bytes) noexcept {
    chain_writer look(*this);
    const bool writable =
        look.pass(bytes.size(), [](std::byte* to, std::size_t) { return to != nullptr; });
    return writable && pass(bytes.size(), [&](std::byte* to, std::size_t count) {
             std::memcpy(to, bytes.data(), count);
             bytes = bytes.subspan(count);
             return true;
           });
  }
  /// Whoever owns them.
  [[nodiscard]] bool skip(std::size_t bytes) noexcept {
    return pass(bytes, [](std::byte*, std::size_t) { return true; });
  }

 private:
  /// `use(where to write or nullptr, count)` for each part of the next `bytes`, until it says no.
  template <class Use>
  [[nodiscard]] bool pass(std::size_t bytes, Use use) noexcept {
    if (bytes > remaining_) {
      return false;
    }
    while (bytes != 0) {
      if (index_ == block_->last) {
        block_ = block_->next;
        index_ = block_->first;
      }
      shared_buffer& piece = block_->items[index_];
      const std::size_t count = std::min(bytes, piece.size() - offset_);
      std::byte* const start = piece.try_write();
      if (count != 0 && !use(start == nullptr ? nullptr : start + offset_, count)) {
        return false;
      }
      bytes -= count;
      position_ += count;
      remaining_ -= count;
      offset_ += count;
      if (offset_ == piece.size()) {
        offset_ = 0;
        ++index_;
      }
    }
    return true;
  }

  detail::piece_block* block_;
  std::uint32_t index_;
  std::size_t offset_ = 0;  // in the piece
  std::size_t position_ = 0;
  std::size_t remaining_;
};

}  // namespace ringpool
