// SPDX-License-Identifier: MIT
#include "memory_checker.hpp"

#include <cstdlib>
#include <string_view>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define RINGPOOL_MEMCHECK(...) \
  do {                         \
    __VA_ARGS__;               \
  } while (false)
#else
#define RINGPOOL_MEMCHECK(...) \
  do {                         \
  } while (false)
#endif

// Weak: nullptr where the sanitizer is not in the process.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): their names
extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* start, std::size_t bytes);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* start, std::size_t bytes);
[[gnu::weak]] void __msan_poison(const volatile void* start, std::size_t bytes);
[[gnu::weak]] void __msan_unpoison(const volatile void* start, std::size_t bytes);
[[gnu::weak]] void __lsan_register_root_region(const void* start, std::size_t bytes);
[[gnu::weak]] void __lsan_unregister_root_region(const void* start, std::size_t bytes);
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

namespace ringpool::detail {
namespace {

bool switched_off() {
  const char* const said = std::getenv("RINGPOOL_MEMORY_CHECKER");
  return said != nullptr && std::string_view(said) == "off";
}

/// Not callgrind, nor another of Valgrind's tools: they do not answer.
bool memcheck() noexcept {
#ifdef RUNNING_ON_VALGRIND
  char any = 0;
  return VALGRIND_MAKE_MEM_DEFINED(&any, sizeof any) != 0;
#else
  return false;
#endif
}

bool asan() noexcept { return __asan_poison_memory_region != nullptr; }
bool msan() noexcept { return __msan_poison != nullptr; }

void hide(const std::byte* start, std::size_t bytes) noexcept {
  if (asan()) {
    __asan_poison_memory_region(start, bytes);
  }
  if (msan()) {
    __msan_poison(start, bytes);
  }
}

}  // namespace

bool memory_checker::wanted() noexcept {
  static const bool answer = (asan() || msan() || memcheck()) && !switched_off();
  return answer;
}

void memory_checker::adopt(const std::byte* region, std::size_t bytes) noexcept {
  hide(region, bytes);
  if (__lsan_register_root_region != nullptr) {
    __lsan_register_root_region(region, bytes);
  }
  RINGPOOL_MEMCHECK(VALGRIND_MAKE_MEM_NOACCESS(region, bytes));
  RINGPOOL_MEMCHECK(VALGRIND_CREATE_MEMPOOL(region, 0, 0));
}

void memory_checker::forget(const std::byte* region, std::size_t bytes) noexcept {
  RINGPOOL_MEMCHECK(VALGRIND_DESTROY_MEMPOOL(region));
  if (__lsan_unregister_root_region != nullptr) {
    __lsan_unregister_root_region(region, bytes);
  }
  open(region, bytes);
}

void memory_checker::give([[maybe_unused]] const std::byte* region, const std::byte* data,
                          std::size_t bytes, content is) noexcept {
  if (asan()) {
    __asan_unpoison_memory_region(data, bytes);
  }
  if (msan() && is == content::zero) {
    __msan_unpoison(data, bytes);
  }
  RINGPOOL_MEMCHECK(VALGRIND_MEMPOOL_ALLOC(region, data, bytes));
  if (is == content::zero) {
    RINGPOOL_MEMCHECK(VALGRIND_MAKE_MEM_DEFINED(data, bytes));
  }
}

void memory_checker::take_back([[maybe_unused]] const std::byte* region, const std::byte* data,
                               std::size_t bytes) noexcept {
  hide(data, bytes);
  RINGPOOL_MEMCHECK(VALGRIND_MEMPOOL_FREE(region, data));
  RINGPOOL_MEMCHECK(VALGRIND_MAKE_MEM_NOACCESS(data, bytes));
}

void memory_checker::open(const std::byte* data, std::size_t bytes) noexcept {
  if (asan()) {
    __asan_unpoison_memory_region(data, bytes);
  }
  if (msan()) {
    __msan_unpoison(data, bytes);
  }
  RINGPOOL_MEMCHECK(VALGRIND_MAKE_MEM_DEFINED(data, bytes));
}

}  // namespace ringpool::detail
