// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

/// Calls of operator new by the calling thread since it started. The command replaces the global
/// operator new to count them; the library does not.
[[nodiscard]] std::uint64_t heap_allocations_of_this_thread() noexcept;

/// False where a sanitizer brings its own operator new: the count stays 0.
[[nodiscard]] bool heap_allocations_are_counted() noexcept;

}  // namespace ringpool::tools
