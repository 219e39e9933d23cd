// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>

namespace ringpool::test {

/// proc(5), statm: the second field, in pages. 0 where it cannot be read.
inline std::size_t resident_bytes_of_process() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  std::size_t total = 0;
  std::size_t resident = 0;
  const bool read = file != nullptr && std::fscanf(file, "%zu %zu", &total, &resident) == 2;
  if (file != nullptr) {
    std::fclose(file);
  }
  return read ? resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace ringpool::test
