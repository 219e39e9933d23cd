// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ringpool::detail {

/// What AddressSanitizer, MemorySanitizer or Valgrind's memcheck are told of a pool's buffers,
/// where one of them runs: without that a pool is one block of theirs, in which every access is
/// right.
///
/// The sanitizers are found by their symbols at run time, memcheck by its client requests (compiled
/// in where <valgrind/memcheck.h> is), so a library that was built without them serves a program
/// that was built with them. Pools that are checked take the slow path for every call: the fast one
/// is inline in the user's code, and pays nothing.
struct memory_checker {
  memory_checker() = delete;

  /// True where one of them runs, unless the environment says RINGPOOL_MEMORY_CHECKER=off.
  [[nodiscard]] static bool wanted() noexcept;

  /// A new pool: nothing in its region may be touched. LeakSanitizer looks into it for pointers.
  static void adopt(const std::byte* region, std::size_t bytes) noexcept;
  /// The end of the pool.
  static void forget(const std::byte* region, std::size_t bytes) noexcept;

  enum class content : bool { undefined, zero };
  /// Its owner may now touch `bytes` at `data`, and reads what it wrote itself or, as said, zeros.
  static void give(const std::byte* region, const std::byte* data, std::size_t bytes,
                   content is) noexcept;
  /// Nobody may touch it any more; `bytes`: all of it, whatever its owner was given.
  static void take_back(const std::byte* region, const std::byte* data, std::size_t bytes) noexcept;
  /// The pool itself writes to a buffer that it is about to take back.
  static void open(const std::byte* data, std::size_t bytes) noexcept;
};

}  // namespace ringpool::detail
