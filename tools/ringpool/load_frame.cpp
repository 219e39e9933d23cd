// SPDX-License-Identifier: MIT
#include "load_frame.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <zlib.h>

namespace ringpool::tools {
namespace {

constexpr std::size_t connection_at = 4;
constexpr std::size_t run_at = 8;
constexpr std::size_t sequence_at = 16;

template <class Integer>
void store(std::span<std::byte> payload, std::size_t at, Integer value) noexcept {
  std::memcpy(payload.data() + at, &value, sizeof value);
}

template <class Integer>
Integer fetch(std::span<const std::byte> payload, std::size_t at) noexcept {
  Integer value;
  std::memcpy(&value, payload.data() + at, sizeof value);
  return value;
}

std::uint32_t checksum(std::span<const std::byte> payload) noexcept {
  const auto covered = payload.subspan(connection_at);
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(covered.data()), covered.size()));
}

}  // namespace

void write_payload(std::span<std::byte> payload, const frame_stamp& stamp,
                   std::uint64_t random) noexcept {
  assert(payload.size() >= stamp_bytes);
  store(payload, connection_at, stamp.connection);
  store(payload, run_at, stamp.run);
  store(payload, sequence_at, stamp.sequence);
  for (auto rest = payload.subspan(stamp_bytes); !rest.empty();) {
    const std::uint64_t word = mix_bits(random += 0x9e3779b97f4a7c15U);
    const std::size_t step = std::min(rest.size(), sizeof word);
    std::memcpy(rest.data(), &word, step);
    rest = rest.subspan(step);
  }
  store(payload, 0, checksum(payload));
}

std::optional<frame_stamp> read_payload(std::span<const std::byte> payload) noexcept {
  if (payload.size() < stamp_bytes || fetch<std::uint32_t>(payload, 0) != checksum(payload)) {
    return std::nullopt;
  }
  return frame_stamp{.run = fetch<std::uint64_t>(payload, run_at),
                     .sequence = fetch<std::uint64_t>(payload, sequence_at),
                     .connection = fetch<std::uint32_t>(payload, connection_at)};
}

}  // namespace ringpool::tools
