// SPDX-License-Identifier: MIT
#include "memory_use.hpp"

#include <fstream>
#include <limits>
#include <string>

namespace ringpool::tools {

memory_use memory_use_of_this_process() {
  memory_use result;
  std::ifstream file("/proc/self/smaps_rollup");
  std::string name;
  while (file >> name) {
    std::uint64_t kibibytes = 0;
    if (name == "Rss:" && file >> kibibytes) {
      result.resident_bytes = kibibytes * 1024;
    } else if (name == "Private_Dirty:" && file >> kibibytes) {
      result.private_dirty_bytes = kibibytes * 1024;
    }
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return result;
}

}  // namespace ringpool::tools
