// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ringpool::tools {

/// Zeroed memory of which a page becomes resident when it is first touched.
class zero_pages {
 public:
  explicit zero_pages(std::size_t bytes);  // throws std::system_error
  ~zero_pages();
  zero_pages(const zero_pages&) = delete;
  zero_pages& operator=(const zero_pages&) = delete;

  [[nodiscard]] void* get() const noexcept { return memory_; }
  /// Makes all of it zero again, and none of it resident.
  void discard() noexcept;

 private:
  void* memory_ = nullptr;
  std::size_t bytes_;
};

/// An array whose elements are all bits zero at first and cost nothing until they are touched.
template <class T>
class zero_array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit zero_array(std::uint32_t size) : pages_(sizeof(T) * size), size_(size) {}

  [[nodiscard]] T& operator[](std::uint32_t index) const noexcept {
    return static_cast<T*>(pages_.get())[index];
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t index_of(const T& element) const noexcept {
    return static_cast<std::uint32_t>(&element - static_cast<const T*>(pages_.get()));
  }
  void discard() noexcept { pages_.discard(); }

 private:
  zero_pages pages_;
  std::uint32_t size_;
};

/// First in, first out; at most `limit` numbers. Its memory follows what was in it since it was
/// last empty.
class number_fifo {
 public:
  explicit number_fifo(std::uint32_t limit) : places_(limit) {}

  void push(std::uint32_t number) noexcept {
    places_[(first_ + count_) % places_.size()] = number;
    ++count_;
  }
  [[nodiscard]] std::uint32_t pop() noexcept {
    const std::uint32_t number = places_[first_];
    first_ = --count_ == 0 ? 0 : (first_ + 1) % places_.size();
    return number;
  }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

 private:
  zero_array<std::uint32_t> places_;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace ringpool::tools
