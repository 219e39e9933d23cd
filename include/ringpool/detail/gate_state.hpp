// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::detail {

/// The gate: who may use the caches now. A value type; the pool holds one atomic word of it.
struct gate_state {
  std::uint16_t target = 0;   ///< items one cache may hold while open
  bool open = true;           ///< closed: pressure, all calls use the ring
  bool fenced = false;        ///< no membarrier: owners fence, on the slow path alone; for ever
  bool clean = false;         ///< closed, and every cache was seen empty since
  bool opening = false;       ///< a thread is about to open: see open_gate
  std::uint8_t waited = 0;    ///< queues in which somebody waits for a buffer, the pool's own and
                              ///< those of classes that it lends to: closed, so that frees are seen
  std::uint32_t raiders = 0;  ///< raids under way, each closes the gate

  [[nodiscard]] std::uint16_t limit() const noexcept {
    return open && waited == 0 && raiders == 0 ? target : std::uint16_t{0};
  }
  [[nodiscard]] std::uint64_t pack() const noexcept {
    return std::uint64_t{fenced ? std::uint16_t{0} : limit()} | std::uint64_t{target} << 16 |
           std::uint64_t{open} << 32 | std::uint64_t{fenced} << 33 | std::uint64_t{clean} << 34 |
           std::uint64_t{opening} << 35 | std::uint64_t{waited} << 36 |
           std::uint64_t{raiders} << 43;
  }
  [[nodiscard]] static gate_state unpack(std::uint64_t word) noexcept {
    return {static_cast<std::uint16_t>(word >> 16),
            ((word >> 32) & 1) != 0,
            ((word >> 33) & 1) != 0,
            ((word >> 34) & 1) != 0,
            ((word >> 35) & 1) != 0,
            static_cast<std::uint8_t>((word >> 36) & 0x7F),
            static_cast<std::uint32_t>(word >> 43)};
  }
  [[nodiscard]] static bool waited_of(std::uint64_t word) noexcept {
    return ((word >> 36) & 0x7F) != 0;
  }
  /// L, all that the fast path needs.
  [[nodiscard]] static std::uint64_t fast_limit(std::uint64_t word) noexcept {
    return static_cast<std::uint16_t>(word);
  }
};

}  // namespace ringpool::detail
