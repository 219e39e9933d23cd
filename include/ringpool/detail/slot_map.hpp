// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

#include "ringpool/config.hpp"

namespace ringpool::detail {

/// Arithmetic between a buffer's address and its number: address = base + number x stride.
///
/// The way back needs no division. With stride = odd x 2^shift, the difference to the base times
/// the inverse of `odd` modulo 2^64, rotated right by `shift`, is the number if the difference is
/// a multiple of the stride, and otherwise at least 2^64 / stride (T. Granlund and P. Montgomery,
/// "Division by Invariant Integers using Multiplication", PLDI 1994, section 9). So one comparison
/// with the capacity finds foreign, interior and misaligned pointers.
struct slot_map {
  std::uintptr_t base = 0;
  std::uint64_t inverse = 1;  ///< of the odd part of stride, modulo 2^64
  std::uint32_t stride = 1;   ///< bytes
  std::uint32_t shift = 0;    ///< trailing zero bits of stride

  [[nodiscard]] static constexpr slot_map make(std::uintptr_t base, std::uint32_t stride) noexcept {
    const auto shift = static_cast<std::uint32_t>(std::countr_zero(stride));
    const std::uint64_t odd = stride >> shift;
    std::uint64_t inverse = odd;  // right in 3 bits; each Newton step doubles them
    for (int step = 0; step < 5; ++step) {
      inverse *= 2 - odd * inverse;
    }
    return {base, inverse, stride, shift};
  }

  /// The number of the buffer that starts at `address`; a huge value when none can.
  [[nodiscard]] constexpr std::uint64_t number_at(std::uintptr_t address) const noexcept {
    return std::rotr((address - base) * inverse, static_cast<int>(shift));
  }
  [[nodiscard]] constexpr std::uintptr_t address_of(std::uint64_t number) const noexcept {
    return base + number * stride;
  }
};

static_assert(slot_map::make(4096, 1536).number_at(4096 + 7 * 1536) == 7);
static_assert(slot_map::make(4096, 1536).number_at(4096 + 7 * 1536 + 64) > 0xFFFFFFFF);
static_assert(slot_map::make(4096, 64).number_at(4096 - 64) > 0xFFFFFFFF);

}  // namespace ringpool::detail
