// SPDX-License-Identifier: MIT
#pragma once

//   header (32 bytes) | block header (16) | records (24 each) | block header | records | ...
//
// All numbers are little-endian; docs/traffic.md has the tables. A block is of one loop, its
// records by rising end; blocks of several loops overlap in time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace ringpool::tools {

/// One allocation that was sampled.
struct traffic_record {
  static constexpr std::uint64_t unknown = ~std::uint64_t{0};

  std::uint64_t at_ns = 0;          ///< since the recording began
  std::uint64_t held_ns = unknown;  ///< until it was given back
  std::uint32_t bytes = 0;
  std::uint32_t weight = 1;  ///< allocations that it stands for
};

namespace recording_format {

inline constexpr std::array<std::uint8_t, 8> magic{'R', 'P', 'R', 'E', 'C', '\r', '\n', 0x1a};
inline constexpr std::uint32_t version = 1;
inline constexpr std::uint32_t block_mark = 0x4b4c4252;  // "RBLK"
inline constexpr std::size_t header_bytes = 32;        // magic, version, one in, begin, record size
inline constexpr std::size_t block_header_bytes = 16;  // mark, loop, records, dropped
inline constexpr std::size_t record_bytes = 24;
inline constexpr std::uint32_t most_records_in_block = 1U << 16;

template <class Number>
void store(std::uint8_t* out, Number value) noexcept {
  static_assert(std::is_unsigned_v<Number>);
  for (std::size_t i = 0; i < sizeof value; ++i) {
    out[i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

template <class Number>
[[nodiscard]] Number load(const std::uint8_t* in) noexcept {
  static_assert(std::is_unsigned_v<Number>);
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = static_cast<Number>(value | static_cast<Number>(Number{in[i]} << (8 * i)));
  }
  return value;
}

inline void store_record(std::uint8_t* out, const traffic_record& record) noexcept {
  store(out, record.at_ns);
  store(out + 8, record.held_ns);
  store(out + 16, record.bytes);
  store(out + 20, record.weight);
}

[[nodiscard]] inline traffic_record load_record(const std::uint8_t* in) noexcept {
  return {load<std::uint64_t>(in), load<std::uint64_t>(in + 8), load<std::uint32_t>(in + 16),
          load<std::uint32_t>(in + 20)};
}

}  // namespace recording_format
}  // namespace ringpool::tools
