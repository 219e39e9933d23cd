// SPDX-License-Identifier: MIT
#include "machine_memory.hpp"

#include <unistd.h>

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
    } else if (name == "MemAvailable:") {
      result.available = kibibytes * 1024;
    } else if (name == "Slab:") {
      result.slab = kibibytes * 1024;
    }
  }
  std::ifstream sockstat("/proc/net/sockstat");
  while (sockstat >> name && name != "TCP:") {
  }
  for (std::uint64_t value = 0; sockstat >> name >> value;) {
    if (name == "inuse") {
      result.tcp_sockets = value;
    } else if (name == "mem") {
      result.tcp_buffer_bytes = value * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
      break;
    }
  }
  return result;
}

}  // namespace ringpool::tools
