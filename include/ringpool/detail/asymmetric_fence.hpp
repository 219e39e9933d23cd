// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ringpool/detail/atomics.hpp"

namespace ringpool::detail {

// A store-load fence whose cost lies with the rare side. The frequent side keeps its order against
// the compiler alone (light), the rare side makes every running thread of the process execute a
// full fence (heavy): membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14 and newer.
//
//   owner:  store mine; light; load theirs        raider:  store theirs; heavy; load mine
//   At least one of the two loads sees the other's store.

/// Registers the process for membarrier; the kernel is asked once, later calls are one load.
/// False where it is refused: ENOSYS, EPERM, or a seccomp filter that kills (the question is then
/// put by a child process). Owners must then pay a full fence themselves.
[[nodiscard]] bool membarrier_available() noexcept;

/// Registers a forked child anew.
void membarrier_after_fork() noexcept;

enum class heavy_result : std::uint8_t {
  made,       ///< all other threads have passed a full fence
  made_once,  ///< so they have, by other means: membarrier is refused, owners must fence from now
              ///< on
  refused,    ///< they have not; owners must fence from now on
};

/// Makes all other threads pass a full fence. Where the kernel refuses membarrier at run time (a
/// seccomp filter installed since), the calling thread visits every processor instead: to run there
/// it takes the place of whoever ran, and a context switch is a full fence.
[[nodiscard]] heavy_result membarrier_heavy() noexcept;

/// What the concurrent parts take as their policy in production.
struct asymmetric_atomics : std_atomics {
  static void light_fence() noexcept { std::atomic_signal_fence(seq_cst); }
  [[nodiscard]] static heavy_result heavy_fence() noexcept { return membarrier_heavy(); }
};

}  // namespace ringpool::detail
