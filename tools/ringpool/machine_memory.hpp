// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

/// What the machine says of its memory, in bytes; zeros where it does not.
struct machine_memory {
  std::uint64_t total = 0;
  /// MemFree + Buffers + Cached. MemAvailable counts the inodes of open sockets as reclaimable, two
  /// kilobytes a connection: with millions it promises what is not there.
  std::uint64_t available = 0;
  std::uint64_t slab = 0;  ///< the kernel's small objects, sockets among them
};

/// From /proc/meminfo (proc(5)).
[[nodiscard]] machine_memory machine_memory_now();

}  // namespace ringpool::tools
