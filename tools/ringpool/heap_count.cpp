// SPDX-License-Identifier: MIT
#include "heap_count.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constinit thread_local std::uint64_t allocation_count = 0;

}  // namespace

// clang's sanitizers link operators of their own, and two sets of them do not go together.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER_OPERATORS
#endif
#endif

#ifdef HAS_SANITIZER_OPERATORS

namespace ringpool::tools {
bool heap_allocations_are_counted() noexcept { return false; }
}  // namespace ringpool::tools

#else

namespace ringpool::tools {
bool heap_allocations_are_counted() noexcept { return true; }
}  // namespace ringpool::tools

namespace {

void* counted(void* block) {
  ++allocation_count;
  if (block == nullptr) {
    throw std::bad_alloc();
  }
  return block;
}

}  // namespace

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t size) {
  return counted(std::malloc(std::max<std::size_t>(size, 1)));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return counted(
      std::aligned_alloc(unit, (std::max<std::size_t>(size, 1) + unit - 1) / unit * unit));
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

#endif

namespace ringpool::tools {

std::uint64_t heap_allocations_of_this_thread() noexcept { return allocation_count; }

}  // namespace ringpool::tools
