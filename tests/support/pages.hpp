// SPDX-License-Identifier: MIT
#pragma once

// What the kernel knows of memory, asked without touching it.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ringpool/arena.hpp"

namespace ringpool::test {

/// Bytes of the pages that lie wholly in [start, start + bytes) and are resident, by mincore(2).
[[nodiscard]] inline std::size_t resident_bytes(const void* start, std::size_t bytes) {
  const std::size_t page = arena::page_bytes();
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  const std::uintptr_t from = (address + page - 1) & ~(page - 1);
  const std::uintptr_t to = (address + bytes) & ~(page - 1);
  if (from >= to) {
    return 0;
  }
  std::vector<unsigned char> resident((to - from) / page);
  if (::mincore(reinterpret_cast<void*>(from), to - from, resident.data()) != 0) {
    return 0;
  }
  std::size_t count = 0;
  for (const unsigned char one : resident) {
    count += one & 1U;
  }
  return count * page;
}

/// True if the kernel can read the byte: a fault is an error of write(2), no signal.
[[nodiscard]] inline bool is_readable(const void* address) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return false;
  }
  const bool readable = ::write(ends[1], address, 1) == 1;
  ::close(ends[0]);
  ::close(ends[1]);
  return readable;
}

}  // namespace ringpool::test
