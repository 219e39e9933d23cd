// SPDX-License-Identifier: MIT
#pragma once

//   size 300 --> size_class_table [300 / 64] --> class 1 --> its ring_buffer_pool
//
//   one range of addresses:
//   +----------+------------------+------------------+------------------+
//   | metadata | class 0: 64 B    | class 1: 512 B   | class 2: 4096 B  |   regions of equal,
//   +----------+------------------+------------------+------------------+   power-of-two size
//   pointer --> (pointer - first region) >> region_shift --> class

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <system_error>

#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/size_classes.hpp"

namespace ringpool {

/// A set of pools of several buffer sizes; an allocation takes the smallest class that fits.
///
/// Invariant: every class's own; one range of addresses holds all buffers of the set.
/// Progress: as ring_buffer_pool's.
/// Thread-safety: as ring_buffer_pool's.
/// Cost: the class's, and one table load to allocate, one shift to free.
class multi_size_ring_pool {
 public:
  /// Classes in any order, 1 to max_class_count, no buffer size twice. `options` hold for each
  /// class, but for what its settings say; upstream and its budget for the whole set. Throws
  /// std::system_error with an errc, and a text that names the class, counted from 0 as given.
  explicit multi_size_ring_pool(std::span<const size_class> classes, pool_options options = {});
  multi_size_ring_pool(std::initializer_list<size_class> classes, pool_options options = {});
  /// As the constructor, without exceptions: nullptr and `error`.
  [[nodiscard]] static std::unique_ptr<multi_size_ring_pool> create(
      std::span<const size_class> classes, const pool_options& options,
      std::error_code& error) noexcept;
  ~multi_size_ring_pool();
  multi_size_ring_pool(const multi_size_ring_pool&) = delete;
  multi_size_ring_pool& operator=(const multi_size_ring_pool&) = delete;

  /// Ring and elastic of the smallest class that fits, the rings of larger classes as
  /// pool_options::spill has it, then upstream. A handle's capacity is its buffer's. A size above
  /// max_size() goes to upstream. size 0: a valid handle that uses no buffer. Throws std::bad_alloc
  /// when all are spent.
  [[nodiscard]] buffer alloc(std::size_t size);
  /// As alloc; an empty handle when all are spent.
  [[nodiscard]] buffer alloc(std::size_t size, const std::nothrow_t&) noexcept;
  /// The ring of the smallest class that fits, alone: no spill.
  [[nodiscard]] buffer try_alloc(std::size_t size) noexcept;
  /// As ring_buffer_pool's, of the smallest class that fits: waiters of one class are served first
  /// come, first served; for upstream memory, those of all classes. What a class lends goes to its
  /// own waiters first.
  [[nodiscard]] buffer alloc_for(std::size_t size, std::chrono::nanoseconds timeout) noexcept;
  [[nodiscard]] buffer alloc_until(std::size_t size,
                                   std::chrono::steady_clock::time_point deadline) noexcept;
  [[nodiscard]] alloc_awaitable async_alloc(std::size_t size) noexcept;
  [[nodiscard]] alloc_awaitable async_alloc(std::size_t size, async_options options) noexcept;
  [[nodiscard]] bool enqueue(buffer_waiter& waiter) noexcept;
  [[nodiscard]] buffer alloc_unless_waited_for(std::size_t size) noexcept;
  void free(buffer&& handle) noexcept { handle.reset(); }

  [[nodiscard]] void* allocate(std::size_t size) noexcept;
  [[nodiscard]] void* try_allocate(std::size_t size) noexcept;
  /// nullptr: nothing happens. Pointers that are not out: the misuse handler.
  void deallocate(void* pointer) noexcept;

  /// The ring of the smallest class that fits `size`, alone. Returns how many it filled.
  [[nodiscard]] std::size_t allocate_bulk(std::size_t size, std::span<void*> out) noexcept;
  /// Pointers of any classes.
  void deallocate_bulk(std::span<void* const> pointers) noexcept;

  /// Sums of the classes': see ring_buffer_pool.
  std::size_t trim() noexcept;
  /// Leaves `keep_count` elastic buffers of each class their memory.
  std::size_t trim(std::size_t keep_count) noexcept;
  std::size_t decay() noexcept;

  [[nodiscard]] multi_size_stats stats() const;
  [[nodiscard]] std::size_t class_count() const noexcept { return class_count_; }
  [[nodiscard]] std::size_t min_size() const noexcept { return classes_[0].buffer_size(); }
  [[nodiscard]] std::size_t max_size() const noexcept {
    return classes_[class_count_ - 1].buffer_size();
  }
  /// The pools, by rising buffer_size.
  [[nodiscard]] std::span<const ring_buffer_pool> classes() const noexcept {
    return {classes_, class_count_};
  }
  /// True for every address inside the set's own buffers.
  [[nodiscard]] bool owns(const void* pointer) const noexcept;

 private:
  using placement = ring_buffer_pool::placement;
  using source = ring_buffer_pool::source;
  using form = ring_buffer_pool::form;

  explicit multi_size_ring_pool(std::nullptr_t /*unplaced*/) noexcept {}
  [[nodiscard]] detail::failure build(std::span<const size_class> classes,
                                      const pool_options& options);
  [[nodiscard]] detail::failure place_classes(std::span<const size_class> sorted,
                                              const pool_options& options, std::size_t& at);

  struct plan;
  /// What was taken, and the class that took it.
  struct choice {
    ring_buffer_pool* home = nullptr;
    placement taken;
  };
  [[nodiscard]] choice take(std::size_t size, source from, form as) noexcept;
  RINGPOOL_COLD choice take_slow(std::size_t size, source from, form as) noexcept;
  [[nodiscard]] ring_buffer_pool& smallest_fit(std::size_t size) const noexcept;
  [[nodiscard]] ring_buffer_pool& home_of(const void* pointer) const noexcept;
  [[nodiscard]] std::size_t class_at(std::uintptr_t address) const noexcept;

  size_class_table table_;
  ring_buffer_pool* classes_ = nullptr;  // in the arena
  std::size_t class_count_ = 0;
  std::uintptr_t first_region_ = 0;
  unsigned region_shift_ = 0;

  arena arena_;
  detail::upstream_ledger upstream_;
};

// ---- Fast path ----------------------------------------------------------------------------------

RINGPOOL_INLINE auto multi_size_ring_pool::take(std::size_t size, source from, form as) noexcept
    -> choice {
  if (table_.covers(size)) [[likely]] {
    ring_buffer_pool& home = classes_[table_.class_of(size)];
    if (const placement hit = home.take_fast(size); hit.data != nullptr) [[likely]] {
      return {&home, hit};
    }
  }
  return take_slow(size, from, as);
}

RINGPOOL_INLINE void* multi_size_ring_pool::allocate(std::size_t size) noexcept {
  return take(size, source::any, form::pointer).taken.data;
}

RINGPOOL_INLINE void* multi_size_ring_pool::try_allocate(std::size_t size) noexcept {
  return take(size, source::ring, form::pointer).taken.data;
}

RINGPOOL_INLINE buffer multi_size_ring_pool::alloc(std::size_t size) {
  const choice got = take(size, source::any, form::handle);
  if (got.taken.data == nullptr) [[unlikely]] {
    detail::throw_bad_alloc();
  }
  return got.home->handle(got.taken, size);
}

RINGPOOL_INLINE buffer multi_size_ring_pool::alloc(std::size_t size,
                                                   const std::nothrow_t&) noexcept {
  const choice got = take(size, source::any, form::handle);
  return got.home->handle(got.taken, size);
}

RINGPOOL_INLINE buffer multi_size_ring_pool::try_alloc(std::size_t size) noexcept {
  const choice got = take(size, source::ring, form::handle);
  return got.home->handle(got.taken, size);
}

inline ring_buffer_pool& multi_size_ring_pool::home_of(const void* pointer) const noexcept {
  const std::size_t number = class_at(reinterpret_cast<std::uintptr_t>(pointer));
  return classes_[number < class_count_ ? number : 0];  // class 0 knows foreign pointers too
}

/// class_count_ or more for addresses of no class.
inline std::size_t multi_size_ring_pool::class_at(std::uintptr_t address) const noexcept {
  return (address - first_region_) >> region_shift_;
}

RINGPOOL_INLINE void multi_size_ring_pool::deallocate(void* pointer) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (const std::size_t number = class_at(address); number < class_count_) [[likely]] {
    ring_buffer_pool& home = classes_[number];
    if (home.give_fast(home.map_.number_at(address), address)) [[likely]] {
      return;
    }
  }
  home_of(pointer).give_slow(pointer, max_buffer_size);
}

}  // namespace ringpool
