// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <mutex>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"
#include "ringpool/detail/fork_list.hpp"
#include "ringpool/detail/reference_count.hpp"

namespace ringpool::detail {

/// Memory from a std::pmr::memory_resource within a budget, with every block known by address: a
/// pointer that is no block is told without reading what it points to.
///
/// Invariant: in_use_bytes = sum of the blocks outstanding <= budget.
/// Progress: blocking, as upstream resources are; the lock is never held while upstream is called.
/// Thread-safety: any thread; not from signal handlers.
/// Cost: upstream's own, one lock, one hash look-up, 64 bytes a block.
class upstream_ledger {
 public:
  struct block {
    block* next;
    std::size_t bytes;  ///< as asked for
    void* owner;        ///< the pool that counts it
    reference_count references{};
  };
  static constexpr std::size_t header_bytes = cache_line_bytes;
  static constexpr std::size_t bucket_count = std::size_t{1} << 16;
  static_assert(sizeof(block) <= header_bytes);

  upstream_ledger() noexcept;
  /// Gives back what is still outstanding.
  ~upstream_ledger();
  upstream_ledger(const upstream_ledger&) = delete;
  upstream_ledger& operator=(const upstream_ledger&) = delete;

  /// `buckets`: bucket_count zeroed pointers.
  void reset(std::pmr::memory_resource* resource, std::size_t budget_bytes,
             block** buckets) noexcept;

  /// Cache-line aligned; nullptr without a resource, beyond the budget, or when upstream throws.
  [[nodiscard]] std::byte* allocate(std::size_t bytes, void* owner) noexcept;

  struct removal {
    bool found = false;
    void* owner = nullptr;
  };
  /// `zero`: clear the bytes first. Not found: nothing happened.
  removal deallocate(void* pointer, bool zero) noexcept;

  [[nodiscard]] std::size_t in_use_bytes() const noexcept { return in_use_bytes_.load(relaxed); }

  /// Of a block that is known to be outstanding.
  [[nodiscard]] static std::size_t bytes_of(const std::byte* data) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the header that allocate made
    return reinterpret_cast<const block*>(data - header_bytes)->bytes;
  }

  /// Likewise.
  [[nodiscard]] static reference_count& references_of(const std::byte* data) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-*): the header that allocate made, not the bytes
    return reinterpret_cast<block*>(const_cast<std::byte*>(data) - header_bytes)->references;
  }

 private:
  [[nodiscard]] bool charge(std::size_t bytes) noexcept;
  [[nodiscard]] block*& bucket_of(const void* data) const noexcept;
  void give_back(block* one) noexcept;
  static void on_fork(void* self, fork_phase phase) noexcept;

  std::pmr::memory_resource* resource_ = nullptr;
  std::size_t budget_bytes_ = 0;
  block** buckets_ = nullptr;
  std::atomic<std::size_t> in_use_bytes_{0};
  std::mutex mutex_;
  fork_node node_;
};

}  // namespace ringpool::detail
