// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "ringpool/config.hpp"

namespace ringpool {

template <class Home>
class basic_shared_buffer;

/// Where a buffer's memory comes from.
enum class buffer_origin : std::uint8_t {
  none,      ///< no memory: an empty handle, or one of size 0
  ring,      ///< the pool's own buffers
  elastic,   ///< the pool's further buffers, committed on use
  upstream,  ///< the memory resource behind the pool
};

/// What a handle asks of the pool it gives its buffer back to.
template <class Home>
// clang-format off
concept buffer_home = requires(Home& home, slot_index slot, std::byte* data, std::size_t bytes) {
  { home.release(slot, data, bytes) } noexcept;
  { home.capacity_of(slot, data) } noexcept -> std::convertible_to<std::size_t>;
  { home.origin_of(slot) } noexcept -> std::same_as<buffer_origin>;
  { home.shrink(data, bytes, bytes) } noexcept;
  { home.reject_resize(data) } noexcept;
};
// clang-format on

/// A buffer with one owner: gives itself back to its pool when it dies. Must not outlive the pool.
///
/// Invariant: false exactly when it owns nothing; otherwise size() <= capacity().
/// Progress: every call is as the pool's deallocate.
/// Thread-safety: as a unique_ptr; may be handed to, and die on, any thread.
/// Cost: 24 bytes; destruction costs what deallocate does, less the look-up of the number.
template <class Home>
class basic_buffer {
 public:
  basic_buffer() noexcept = default;
  /// For pools: takes charge of a buffer that `home` gave out.
  basic_buffer(Home& home, std::byte* data, std::size_t size, slot_index slot) noexcept
      : home_(&home), data_(data), size_(static_cast<std::uint32_t>(size)), slot_(slot) {}

  basic_buffer(basic_buffer&& other) noexcept
      : home_(std::exchange(other.home_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        slot_(std::exchange(other.slot_, empty_slot)) {}
  basic_buffer& operator=(basic_buffer&& other) noexcept {
    basic_buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  basic_buffer(const basic_buffer&) = delete;
  basic_buffer& operator=(const basic_buffer&) = delete;
  ~basic_buffer() {
    if (data_ != nullptr) {
      home_->release(slot_, data_, size_);
    }
  }

  /// nullptr for an empty handle. Of a handle of size 0: not to be dereferenced.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  /// Bytes: what was asked for, or last set by resize.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Bytes that may be written: the pool's buffer_size; what was asked for, from upstream.
  [[nodiscard]] std::size_t capacity() const noexcept {
    return data_ == nullptr ? 0 : home_->capacity_of(slot_, data_);
  }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }
  [[nodiscard]] buffer_origin origin() const noexcept {
    return data_ == nullptr ? buffer_origin::none : home_->origin_of(slot_);
  }

  /// Sets size(). Beyond capacity(): misuse_kind::invalid_resize, no effect. Bytes that become
  /// visible are indeterminate.
  void resize(std::size_t size) noexcept {
    if (size > capacity()) [[unlikely]] {
      if (data_ != nullptr) {
        home_->reject_resize(data_);
      }
      return;
    }
    if (size < size_) {
      home_->shrink(data_, size, size_);
    }
    size_ = static_cast<std::uint32_t>(size);
  }

  /// Gives the buffer back now.
  void reset() noexcept { basic_buffer(std::move(*this)); }

  /// Gives up ownership: the pointer is for the pool's deallocate.
  [[nodiscard]] std::byte* release() noexcept {
    home_ = nullptr;
    size_ = 0;
    slot_ = empty_slot;
    return std::exchange(data_, nullptr);
  }

  void swap(basic_buffer& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(slot_, other.slot_);
  }
  friend void swap(basic_buffer& a, basic_buffer& b) noexcept { a.swap(b); }

 private:
  friend class basic_shared_buffer<Home>;  // takes over what this owns

  Home* home_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint32_t size_ = 0;
  slot_index slot_ = empty_slot;
};

}  // namespace ringpool
