// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

/// A byte for each buffer of a pool. The fast path of a free knows `held` alone: the others lead to
/// the slow one.
enum class buffer_state : std::uint8_t {
  free,            ///< of elastic buffers: those without memory, untouched or trimmed
  held,            ///< by a caller
  lent,            ///< by one who asked for a smaller class
  sampled,         ///< by a caller, and its record says by whom
  lent_sampled,    ///< both
  used,            ///< an elastic buffer that is free and has memory
  collected,       ///< such a one inside of trim
  collected_bare,  ///< inside of trim, without memory
};

[[nodiscard]] constexpr bool is_out(buffer_state state) noexcept {
  return state >= buffer_state::held && state <= buffer_state::lent_sampled;
}
[[nodiscard]] constexpr bool is_lent(buffer_state state) noexcept {
  return state == buffer_state::lent || state == buffer_state::lent_sampled;
}
[[nodiscard]] constexpr bool is_sampled(buffer_state state) noexcept {
  return state == buffer_state::sampled || state == buffer_state::lent_sampled;
}

/// Hardened pools: who freed a buffer last, from where, and how often it was freed.
struct free_history {
  std::atomic<const void*> site;  ///< the return address of the call
  std::atomic<std::int32_t> last_freer;
  std::atomic<std::uint32_t> free_count;
};

}  // namespace ringpool::detail
