// SPDX-License-Identifier: MIT
#pragma once

//   buffer      |---------------- whole_size ----------------|        the pool: one count a buffer
//   handle A    |=================== size ===================|  --+
//   slice B     |--- offset ---|======= size =======|           --+--> 2 handles
//
// The bytes go back to the pool when the last of the handles dies, whichever that is.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "ringpool/config.hpp"

namespace ringpool {

template <class Home>
class basic_buffer;

/// What a shared handle asks of the pool that its buffer is from. `references_of` is nullptr where
/// there is no buffer; else a detail::basic_reference_count, one for each buffer.
template <class Home>
// clang-format off
concept shared_buffer_home = requires(Home& home, slot_index slot, std::byte* data, std::size_t bytes) {
  { home.release(slot, data, bytes) } noexcept;
  { home.references_of(slot, data)->try_add() } noexcept -> std::same_as<bool>;
  { home.references_of(slot, data)->drop() } noexcept -> std::same_as<bool>;
  { home.reject_slice(data) } noexcept;
  { home.reject_copy(data) } noexcept;
};
// clang-format on

/// A buffer, or a part of one, with any number of owners, who read it: the last handle to die gives
/// it back to its pool. Must not outlive the pool.
///
/// Invariant: a buffer's count = handles on it and on its parts; false exactly when it owns
/// nothing. Progress: wait-free, but for the last handle, whose death is as the pool's deallocate.
/// Thread-safety: as a shared_ptr: handles on one buffer from any threads, one handle from one.
/// Cost: 32 bytes. Sharing: one store. A copy, a slice or a drop: one read-modify-write of the
///   buffer's count; the drop of an only handle: a load, and what deallocate costs. No heap.
template <class Home>
class basic_shared_buffer {
 public:
  basic_shared_buffer() noexcept = default;
  /// Shares `whole`, which is empty then. Who kept a pointer to its bytes must not write any more.
  basic_shared_buffer(basic_buffer<Home>&& whole) noexcept  // NOLINT(google-explicit-constructor)
      : home_(whole.home_), data_(whole.data_), size_(whole.size_), slot_(whole.slot_) {
    whole_size_ = size_;
    static_cast<void>(whole.release());
    if (auto* const references = references_of_mine(); references != nullptr) {
      references->start();
    }
  }
  /// One more handle. Where there are 2^31 (so many were never destroyed): an empty handle, and
  /// misuse_kind::too_many_references.
  basic_shared_buffer(const basic_shared_buffer& other) noexcept { share(other, 0, other.size_); }
  basic_shared_buffer(basic_shared_buffer&& other) noexcept
      : home_(std::exchange(other.home_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        slot_(std::exchange(other.slot_, empty_slot)),
        offset_(std::exchange(other.offset_, 0)),
        whole_size_(std::exchange(other.whole_size_, 0)) {}
  basic_shared_buffer& operator=(const basic_shared_buffer& other) noexcept {
    basic_shared_buffer copy(other);
    swap(copy);
    return *this;
  }
  basic_shared_buffer& operator=(basic_shared_buffer&& other) noexcept {
    basic_shared_buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~basic_shared_buffer() {
    if (data_ != nullptr) {
      drop();
    }
  }

  /// nullptr for an empty handle. Of size 0: not to be dereferenced.
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  /// Bytes: of the buffer when it was shared, or of the slice.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<const std::byte> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }
  /// Bytes of the buffer before data(): where unique() would have what this handle shows.
  [[nodiscard]] std::size_t offset() const noexcept { return offset_; }

  /// Handles on the buffer and its parts, as it was a moment ago; 0: this one is empty. A handle
  /// without a buffer (of alloc(0)) counts itself alone. 1 does not order the bytes: see unique.
  [[nodiscard]] std::size_t use_count() const noexcept {
    if (data_ == nullptr) {
      return 0;
    }
    const auto* const references = references_of_mine();
    return references == nullptr ? 1 : references->handles();
  }

  /// A handle on `size` bytes from `offset` on, counted like a copy, with what can be wrong there.
  /// Beyond size(): an empty handle and misuse_kind::invalid_slice. Of an empty handle: an empty
  /// one.
  [[nodiscard]] basic_shared_buffer slice(std::size_t offset, std::size_t size) const noexcept {
    basic_shared_buffer part;
    if (offset <= size_ && size <= size_ - offset) [[likely]] {
      part.share(*this, static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(size));
    } else if (data_ != nullptr) {
      home_->reject_slice(data_);
    }
    return part;
  }

  /// The buffer with one owner again, all of it, whatever part this handle shows, if this is the
  /// only handle. Otherwise an empty handle, and *this stays as it is.
  [[nodiscard]] basic_buffer<Home> unique() && noexcept {
    if (data_ == nullptr) {
      return {};
    }
    const auto* const references = references_of_mine();
    if (references != nullptr && !references->is_only()) {
      return {};
    }
    basic_buffer<Home> whole(*home_, start(), whole_size_, slot_);
    forget();
    return whole;
  }

  // The part that this handle shows, within the buffer as it was when it was shared. Neither
  // counts.

  /// Bytes of the buffer behind those shown, as offset() is those before.
  [[nodiscard]] std::size_t tailroom() const noexcept { return whole_size_ - offset_ - size_; }
  /// Bytes that the pool cannot give to others while this handle lives; at least what it shows.
  [[nodiscard]] std::size_t capacity() const noexcept {
    return data_ == nullptr ? 0 : home_->capacity_of(slot_, start());
  }
  /// The pool; nullptr for an empty handle.
  [[nodiscard]] Home* home() const noexcept { return home_; }
  /// Where the bytes shown may be written: this is the only handle. nullptr otherwise, and for an
  /// empty one.
  [[nodiscard]] std::byte* try_write() noexcept { return is_only() ? data_ : nullptr; }
  /// Shows `bytes` more in front, which may be written there, their first is returned. nullptr, and
  /// nothing happens, beyond offset() or where there are other handles.
  [[nodiscard]] std::byte* try_grow_front(std::size_t bytes) noexcept {
    if (bytes > offset_ || !is_only()) {
      return nullptr;
    }
    move_start(-static_cast<std::ptrdiff_t>(bytes));
    return data_;
  }
  /// Likewise behind, within tailroom().
  [[nodiscard]] std::byte* try_grow_back(std::size_t bytes) noexcept {
    if (bytes > tailroom() || !is_only()) {
      return nullptr;
    }
    std::byte* const first = data_ + size_;
    size_ += static_cast<std::uint32_t>(bytes);
    return first;
  }
  /// Shows `bytes` fewer in front, or behind. Beyond size(): misuse_kind::invalid_slice, no effect.
  void remove_prefix(std::size_t bytes) noexcept {
    if (can_remove(bytes)) [[likely]] {
      move_start(static_cast<std::ptrdiff_t>(bytes));
    }
  }
  void remove_suffix(std::size_t bytes) noexcept {
    if (can_remove(bytes)) [[likely]] {
      size_ -= static_cast<std::uint32_t>(bytes);
    }
  }
  [[nodiscard]] bool shares_buffer_with(const basic_shared_buffer& other) const noexcept {
    return data_ != nullptr && start() == other.start();
  }
  /// Shows what `next` shows as well, and drops that, where it follows in the same buffer.
  [[nodiscard]] bool try_join(basic_shared_buffer& next) noexcept {
    if (data_ == nullptr || data_ + size_ != next.data_ || offset_ + size_ != next.offset_ ||
        home_ != next.home_ || slot_ != next.slot_ || this == &next) {
      return false;
    }
    size_ += next.size_;
    next.reset();
    return true;
  }

  /// Drops this handle now.
  void reset() noexcept { basic_shared_buffer(std::move(*this)); }

  void swap(basic_shared_buffer& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(slot_, other.slot_);
    std::swap(offset_, other.offset_);
    std::swap(whole_size_, other.whole_size_);
  }
  friend void swap(basic_shared_buffer& a, basic_shared_buffer& b) noexcept { a.swap(b); }

 private:
  [[nodiscard]] std::byte* start() const noexcept { return data_ - offset_; }
  [[nodiscard]] auto* references_of_mine() const noexcept {
    return data_ == nullptr ? nullptr : home_->references_of(slot_, start());
  }

  [[nodiscard]] bool is_only() const noexcept {
    const auto* const references = references_of_mine();
    return references == nullptr ? data_ != nullptr : references->is_only();
  }
  [[nodiscard]] bool can_remove(std::size_t bytes) noexcept {
    if (bytes > size_ && data_ != nullptr) [[unlikely]] {
      home_->reject_slice(data_);
    }
    return bytes <= size_ && data_ != nullptr;
  }
  void move_start(std::ptrdiff_t bytes) noexcept {
    data_ += bytes;
    offset_ += static_cast<std::uint32_t>(bytes);
    size_ -= static_cast<std::uint32_t>(bytes);
  }

  /// *this is empty; it becomes a counted handle on a part of what `other` shows.
  void share(const basic_shared_buffer& other, std::uint32_t offset, std::uint32_t size) noexcept {
    auto* const references = other.references_of_mine();
    if (references != nullptr && !references->try_add()) [[unlikely]] {
      other.home_->reject_copy(other.data_);
      return;
    }
    if (other.data_ != nullptr) {
      home_ = other.home_;
      data_ = other.data_ + offset;
      size_ = size;
      slot_ = other.slot_;
      offset_ = other.offset_ + offset;
      whole_size_ = other.whole_size_;
    }
  }

  void drop() noexcept {
    auto* const references = references_of_mine();
    if (references != nullptr && references->drop()) {
      home_->release(slot_, start(), whole_size_);
    }
  }

  void forget() noexcept {
    home_ = nullptr;
    data_ = nullptr;
    size_ = offset_ = whole_size_ = 0;
    slot_ = empty_slot;
  }

  Home* home_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint32_t size_ = 0;
  slot_index slot_ = empty_slot;
  std::uint32_t offset_ = 0;      // of data_ in the buffer
  std::uint32_t whole_size_ = 0;  // of the buffer when it was shared
};

}  // namespace ringpool
