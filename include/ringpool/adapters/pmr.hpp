// SPDX-License-Identifier: MIT
#pragma once

// Containers on a pool.
//
//   std::pmr::list<T> --> pmr::pool_resource --+--> pool: up to its largest buffer and alignment 64
//                                              '--> resource's upstream: larger, or more aligned
//   std::list<T, pool_allocator<T>> --> pool: every size, alignof(T) <= 64; no virtual call
//
// Guarantees
// - A block goes back to where it came from: the size and the alignment decide, which the caller
//   has to repeat. With false ones a buffer goes home all the same, and a block of the resource's
//   upstream reaches the misuse handler; a block of the pool's own upstream is not told apart.
// - All spent is std::bad_alloc, and a container keeps what the standard promises then. Where ring
//   and elastic are spent the pool's own upstream serves, within its budget: see pool_options.
//
// A node of a list or map takes a whole buffer: give the set a class of the node's size, rounded up
// to 64. docs/adapters.md has the sizes, and when not to do this.

#include <cstddef>
#include <memory_resource>
#include <type_traits>

#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace detail {

[[nodiscard]] inline std::size_t largest_buffer(const ring_buffer_pool& pool) noexcept {
  return pool.buffer_size();
}
[[nodiscard]] inline std::size_t largest_buffer(const multi_size_ring_pool& pool) noexcept {
  return pool.max_size();
}

}  // namespace detail

namespace pmr {

/// A std::pmr::memory_resource over a multi_size_ring_pool or a ring_buffer_pool. Neither the pool
/// nor upstream is owned: both outlive it, and it outlives what was allocated.
///
/// Invariant: an allocation is the pool's exactly when bytes <= its largest buffer and alignment <=
///   cache_line_bytes.
/// Progress: as the pool's allocate and deallocate; as upstream for what is upstream's.
/// Thread-safety: any thread, also to free what another allocated; not from signal handlers.
/// Cost: the pool's, and the virtual call of every memory_resource. 32 bytes.
template <class Pool = multi_size_ring_pool>
class pool_resource final : public std::pmr::memory_resource {
 public:
  /// `upstream`: for what no buffer of the pool is large or aligned enough for; nullptr: that is
  /// refused with std::bad_alloc.
  explicit pool_resource(
      Pool& pool, std::pmr::memory_resource* upstream = std::pmr::new_delete_resource()) noexcept
      : pool_(&pool),
        upstream_(upstream != nullptr ? upstream : std::pmr::null_memory_resource()),
        largest_(detail::largest_buffer(pool)) {}
  pool_resource(const pool_resource&) = delete;
  pool_resource& operator=(const pool_resource&) = delete;

  [[nodiscard]] Pool& pool() const noexcept { return *pool_; }
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  [[nodiscard]] bool is_pools(std::size_t bytes, std::size_t alignment) const noexcept {
    return bytes <= largest_ && alignment <= cache_line_bytes;
  }

  /// Of 0 bytes: an address that is not to be dereferenced, the same each time. Throws
  /// std::bad_alloc when the pool is spent, its own upstream too, and what upstream throws.
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (!is_pools(bytes, alignment)) [[unlikely]] {
      return upstream_->allocate(bytes, alignment);
    }
    void* const taken = pool_->allocate(bytes);
    if (taken == nullptr) [[unlikely]] {
      detail::throw_bad_alloc();
    }
    return taken;
  }

  /// What is not out, or was upstream's: the pool's misuse handler.
  void do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) override {
    if (is_pools(bytes, alignment)) [[likely]] {
      pool_->deallocate(pointer);
    } else {
      give_upstream(pointer, bytes, alignment);
    }
  }

  RINGPOOL_COLD void give_upstream(void* pointer, std::size_t bytes, std::size_t alignment) {
    if (pool_->owns(pointer)) {
      pool_->deallocate(pointer);  // a false size: the buffer goes home all the same
    } else {
      upstream_->deallocate(pointer, bytes, alignment);
    }
  }

  /// The same pool and the same upstream; without type information: the same object.
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
#if defined(__cpp_rtti)
    const auto* const same = dynamic_cast<const pool_resource*>(&other);
    return same != nullptr && same->pool_ == pool_ && same->upstream_ == upstream_;
#else
    return this == &other;
#endif
  }

  Pool* pool_;
  std::pmr::memory_resource* upstream_;
  std::size_t largest_;
};

}  // namespace pmr

/// An allocator for containers and std::allocate_shared, without a virtual call. Outlived by the
/// pool. It goes with the memory when a container is moved or swapped, so that both take constant
/// time and cannot throw; a copy of a container uses the pool of what it was copied from.
///
/// Invariant: equal exactly when the pools are the same object.
/// Progress: as the pool's allocate and deallocate.
/// Thread-safety: any thread, also to free what another allocated.
/// Cost: the pool's. Sizes above the largest buffer go to the pool's upstream: a lock, a look-up
///   and 64 bytes each. 8 bytes in the container.
template <class T, class Pool = multi_size_ring_pool>
class pool_allocator {
 public:
  using value_type = T;
  using is_always_equal = std::false_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  // NOLINTNEXTLINE(google-explicit-constructor): std::list<T, pool_allocator<T>> numbers(pool)
  pool_allocator(Pool& pool) noexcept : pool_(&pool) {}
  template <class U>
  // NOLINTNEXTLINE(google-explicit-constructor): as [allocator.requirements] has it
  pool_allocator(const pool_allocator<U, Pool>& other) noexcept : pool_(&other.pool()) {}

  /// Throws std::bad_alloc when all are spent, or count > max_size().
  [[nodiscard]] T* allocate(std::size_t count) {
    static_assert(alignof(T) <= cache_line_bytes,
                  "no buffer is aligned to more than 64 bytes: take a pmr::pool_resource");
    void* const taken = count > max_size() ? nullptr : pool_->allocate(count * sizeof(T));
    if (taken == nullptr) [[unlikely]] {
      detail::throw_bad_alloc();
    }
    return static_cast<T*>(taken);
  }
  /// What is not out: the pool's misuse handler.
  void deallocate(T* pointer, std::size_t /*count*/) noexcept { pool_->deallocate(pointer); }

  /// What fits into max_buffer_size; whether there is as much is another matter.
  [[nodiscard]] std::size_t max_size() const noexcept { return max_buffer_size / sizeof(T); }
  [[nodiscard]] Pool& pool() const noexcept { return *pool_; }

  template <class U>
  [[nodiscard]] bool operator==(const pool_allocator<U, Pool>& other) const noexcept {
    return pool_ == &other.pool();
  }

 private:
  Pool* pool_;
};

}  // namespace ringpool
