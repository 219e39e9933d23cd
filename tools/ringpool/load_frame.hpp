// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace ringpool::tools {

/// What a load writes into the payload of each frame, so that the echo proves itself:
///
///    0        4            8        16          24
///    | crc32  | connection | run    | sequence  | random bytes of (seed, connection, sequence) ...
///             '------------------- covered by the crc ----------------------------------------'
///
/// The integers are in the byte order of the machine: only the process that wrote them reads them.
struct frame_stamp {
  std::uint64_t run = 0;         ///< differs between any two loads, even against one server
  std::uint64_t sequence = 0;    ///< 0, 1, 2 ... on each connection
  std::uint32_t connection = 0;  ///< unique in a run

  friend bool operator==(const frame_stamp&, const frame_stamp&) = default;
};

inline constexpr std::uint32_t stamp_bytes = 24;  ///< the smallest payload a load can send
inline constexpr std::uint32_t frame_header_bytes = 4;

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
/// 2014).
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t value) noexcept {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

/// One random number for each frame: it chooses the frame's size and starts its random bytes.
[[nodiscard]] constexpr std::uint64_t frame_random(std::uint64_t seed,
                                                   const frame_stamp& stamp) noexcept {
  return mix_bits(mix_bits(seed + 0x9e3779b97f4a7c15U * (std::uint64_t{stamp.connection} + 1)) +
                  stamp.sequence);
}

/// Fills the whole of `payload` (at least stamp_bytes long).
void write_payload(std::span<std::byte> payload, const frame_stamp& stamp,
                   std::uint64_t random) noexcept;

/// The stamp of an intact payload; nothing when it is too short for one or its checksum does not
/// fit.
[[nodiscard]] std::optional<frame_stamp> read_payload(std::span<const std::byte> payload) noexcept;

}  // namespace ringpool::tools
