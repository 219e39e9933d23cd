// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

namespace ringpool::detail {

/// Writes the name of a code address, `function+0x1f` or `program+0x1234` for addr2line, as far as
/// it fits; returns how many bytes, without an end mark. No heap: it is for lines before an abort.
/// dladdr(3) knows what a library exports, and of programs what -rdynamic does.
[[nodiscard]] std::size_t write_symbol(const void* address, std::span<char> out) noexcept;

}  // namespace ringpool::detail
