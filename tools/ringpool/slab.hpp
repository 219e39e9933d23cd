// SPDX-License-Identifier: MIT
#pragma once

//   one reserved address range                                     a bit each: in use
//   [obj 0][obj 1][obj 2][obj 3] ... [obj end-1] | untouched ...   1 0 1 1 0 0 ...
//
// acquire() takes the lowest free object, so that after a burst the live ones gather at the front
// and trim() can give the pages behind them back.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace ringpool::tools {

/// The part of a slab that does not depend on its type.
class slab_core {
 public:
  slab_core(std::size_t object_bytes, std::uint32_t limit);  // throws std::system_error
  ~slab_core();
  slab_core(const slab_core&) = delete;
  slab_core& operator=(const slab_core&) = delete;

  [[nodiscard]] void* acquire() noexcept;
  void release(std::uint32_t index) noexcept;
  void trim() noexcept;

  [[nodiscard]] void* at(std::uint32_t index) const noexcept {
    return base_ + std::size_t{index} * object_bytes_;
  }
  [[nodiscard]] std::uint32_t index_of(const void* object) const noexcept {
    const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(object) - base_);
    return static_cast<std::uint32_t>(offset / object_bytes_);
  }
  [[nodiscard]] bool used(std::uint32_t index) const noexcept {
    return ((bits_[index / 64] >> (index % 64)) & 1) != 0;
  }
  [[nodiscard]] std::uint32_t end() const noexcept { return end_; }
  [[nodiscard]] std::uint32_t limit() const noexcept { return limit_; }

  // From any thread.
  [[nodiscard]] std::uint32_t in_use() const noexcept {
    return in_use_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t committed_bytes() const noexcept {
    return committed_bytes_.load(std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] std::uint32_t used_end() const noexcept;
  void set_end(std::uint32_t end) noexcept;

  std::byte* base_ = nullptr;
  std::uint64_t* bits_ = nullptr;
  std::size_t object_bytes_;
  std::size_t object_range_bytes_;
  std::size_t mapped_bytes_;
  std::uint32_t limit_;
  std::uint32_t word_count_;
  std::uint32_t first_word_ = 0;  // no free object in the words before it
  std::uint32_t end_ = 0;         // objects from here on are untouched
  std::uint32_t recent_end_ = 0;  // end of what was in use since the last trim
  // relaxed: one writer; other threads read a snapshot
  std::atomic<std::uint32_t> in_use_{0};
  std::atomic<std::size_t> committed_bytes_{0};
};

/// Objects of one type from a reserved address range: no heap, committed on touch, trimmed back.
///
/// Invariant: limit = in use + free; end() is above every object that is in use.
/// Progress: acquire and release are constant-time but for a scan of full bitmap words.
/// Thread-safety: one thread; in_use() and committed_bytes() from any.
/// Cost: no atomic read-modify-write, no shared line; object + 1 bit of memory each.
template <class T>
class slab {
 public:
  explicit slab(std::uint32_t limit) : core_(sizeof(T), limit) {}

  /// nullptr when `limit` objects are in use.
  template <class... Args>
  [[nodiscard]] T* acquire(Args&&... args) noexcept {
    void* memory = core_.acquire();
    return memory == nullptr ? nullptr : ::new (memory) T(std::forward<Args>(args)...);
  }
  void release(T& object) noexcept {
    const std::uint32_t index = core_.index_of(&object);
    object.~T();
    core_.release(index);
  }
  /// Gives the pages behind the most that was in use since the last call back to the system.
  void trim() noexcept { core_.trim(); }

  [[nodiscard]] T& operator[](std::uint32_t index) noexcept {
    return *std::launder(static_cast<T*>(core_.at(index)));
  }
  [[nodiscard]] std::uint32_t index_of(const T& object) const noexcept {
    return core_.index_of(&object);
  }
  /// The object at `index` when it is in use, nullptr otherwise.
  [[nodiscard]] T* find(std::uint32_t index) noexcept {
    return index < core_.end() && core_.used(index) ? &(*this)[index] : nullptr;
  }
  [[nodiscard]] std::uint32_t end() const noexcept { return core_.end(); }
  [[nodiscard]] std::uint32_t limit() const noexcept { return core_.limit(); }
  [[nodiscard]] std::uint32_t in_use() const noexcept { return core_.in_use(); }
  [[nodiscard]] std::size_t committed_bytes() const noexcept { return core_.committed_bytes(); }

 private:
  slab_core core_;
};

}  // namespace ringpool::tools
