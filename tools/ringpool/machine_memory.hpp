// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

/// What the machine says of its memory, in bytes; zeros where it does not.
struct machine_memory {
  std::uint64_t total = 0;
  std::uint64_t available = 0;         ///< MemAvailable: could be had without swapping
  std::uint64_t slab = 0;              ///< the kernel's small objects, sockets among them
  std::uint64_t tcp_sockets = 0;       ///< in use, as /proc/net/sockstat counts; not bytes
  std::uint64_t tcp_buffer_bytes = 0;  ///< of data in them
};

/// From /proc/meminfo and /proc/net/sockstat (proc(5)).
[[nodiscard]] machine_memory machine_memory_now();

}  // namespace ringpool::tools
