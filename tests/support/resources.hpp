// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <new>

namespace ringpool::test {

/// new and delete, counted; throws instead while `refuse` is set.
class counting_resource final : public std::pmr::memory_resource {
 public:
  std::atomic<bool> refuse{false};
  std::atomic<std::size_t> allocation_count{0};
  std::atomic<std::size_t> deallocation_count{0};
  std::atomic<std::size_t> outstanding_bytes{0};  ///< the pool's headers included

 private:
  void* do_allocate(std::size_t size_bytes, std::size_t alignment) override {
    if (refuse.load()) {
      throw std::bad_alloc();
    }
    void* const memory = std::pmr::new_delete_resource()->allocate(size_bytes, alignment);
    allocation_count.fetch_add(1);
    outstanding_bytes.fetch_add(size_bytes);
    return memory;
  }
  void do_deallocate(void* memory, std::size_t size_bytes, std::size_t alignment) override {
    deallocation_count.fetch_add(1);
    outstanding_bytes.fetch_sub(size_bytes);
    std::pmr::new_delete_resource()->deallocate(memory, size_bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
};

/// Memory that reads as zero, as a pool's own does: stamps start unowned.
class zeroed_resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t size_bytes, std::size_t alignment) override {
    void* memory = std::pmr::new_delete_resource()->allocate(size_bytes, alignment);
    return std::memset(memory, 0, size_bytes);
  }
  void do_deallocate(void* memory, std::size_t size_bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, size_bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
};

}  // namespace ringpool::test
