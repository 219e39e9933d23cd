// SPDX-License-Identifier: MIT
#include "machine_memory.hpp"

#include <fstream>
#include <string>

namespace ringpool::tools {

machine_memory machine_memory_now() {
  machine_memory result;
  std::ifstream meminfo("/proc/meminfo");
  std::string name;
  for (std::uint64_t kibibytes = 0; meminfo >> name >> kibibytes; meminfo.ignore(64, '\n')) {
    if (name == "MemTotal:") {
      result.total = kibibytes * 1024;
    } else if (name == "MemFree:" || name == "Buffers:" || name == "Cached:") {
      result.available += kibibytes * 1024;
    } else if (name == "Slab:") {
      result.slab = kibibytes * 1024;
    }
  }
  return result;
}

}  // namespace ringpool::tools
