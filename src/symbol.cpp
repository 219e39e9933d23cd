// SPDX-License-Identifier: MIT
#include "ringpool/detail/symbol.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace ringpool::detail {

std::size_t write_symbol(const void* address, std::span<char> out) noexcept {
  if (out.empty()) {
    return 0;
  }
  int length = 0;
  ::Dl_info found{};
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  if (::dladdr(address, &found) == 0 || found.dli_fname == nullptr) {
    length = std::snprintf(out.data(), out.size(), "%p", address);
  } else if (found.dli_sname != nullptr) {
    length = std::snprintf(out.data(), out.size(), "%s+0x%zx", found.dli_sname,
                           number - reinterpret_cast<std::uintptr_t>(found.dli_saddr));
  } else {
    const char* const slash = std::strrchr(found.dli_fname, '/');
    length = std::snprintf(out.data(), out.size(), "%s+0x%zx",
                           slash != nullptr ? slash + 1 : found.dli_fname,
                           number - reinterpret_cast<std::uintptr_t>(found.dli_fbase));
  }
  return std::min(static_cast<std::size_t>(std::max(length, 0)), out.size() - 1);
}

}  // namespace ringpool::detail
