// SPDX-License-Identifier: MIT
#pragma once

//   0        8          16      24      28      32 ...
//   +--------+----------+-------+-------+-------+------------------------+
//   | serial | checksum | owner | payer | bytes | payload made of serial |
//   +--------+----------+-------+-------+-------+------------------------+
//
// What the stress bodies keep inside a buffer while they hold it. `owner` is 0 while the buffer is
// free: a hardened pool poisons 16 bytes, a fresh or trimmed buffer reads as zero, so it survives.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "verdict.hpp"

namespace ringpool::stress {

/// Most bytes of a buffer that a seal covers: large ones would test memory, not the pool.
inline constexpr std::size_t largest_payload_bytes = 256;

/// Names the holder of a buffer: a thread, or a signal handler on it. Never 0.
using holder = std::uint64_t;

struct stamp {
  std::uint64_t serial;
  std::uint64_t checksum;
  std::uint64_t owner;
  std::uint32_t payer;  ///< worker whose account the buffer is on, wherever it is handed
  std::uint32_t bytes;
};

inline stamp& stamp_of(void* data) noexcept { return *static_cast<stamp*>(data); }

// relaxed throughout: the stamps must not order anything that the pool has to order; a thread
// sanitizer then sees the payload through the pool's own edges alone.

inline void claim(void* data, holder who, verdict& log) noexcept {
  const std::atomic_ref owner(stamp_of(data).owner);
  log.require(owner.exchange(who, std::memory_order_relaxed) == 0,
              "a buffer was given out while somebody held it");
}

inline void unclaim(void* data, holder who, verdict& log) noexcept {
  const std::atomic_ref owner(stamp_of(data).owner);
  log.require(owner.exchange(0, std::memory_order_relaxed) == who,
              "a buffer changed its owner while it was held");
}

inline void pass(void* data, holder from, holder to, verdict& log) noexcept {
  const std::atomic_ref owner(stamp_of(data).owner);
  log.require(owner.exchange(to, std::memory_order_relaxed) == from,
              "a buffer on its way to another thread changed its owner");
}

inline std::uint64_t payload_word(std::uint64_t serial, std::size_t place) noexcept {
  return (serial + place) * 0x9E3779B97F4A7C15;
}

/// Fills the payload of a buffer of `size` bytes in all, and sums it up.
inline void seal(void* data, std::size_t size, std::uint64_t serial) noexcept {
  const std::size_t bytes = std::min(size, largest_payload_bytes);
  stamp& head = stamp_of(data);
  auto* words = reinterpret_cast<std::uint64_t*>(&head + 1);
  const std::size_t count = (bytes - sizeof(stamp)) / sizeof(std::uint64_t);
  std::uint64_t sum = serial;
  for (std::size_t i = 0; i < count; ++i) {
    words[i] = payload_word(serial, i);
    sum = sum * 31 + words[i];
  }
  head.serial = serial;
  head.bytes = static_cast<std::uint32_t>(bytes);
  head.checksum = sum;
}

/// The payload is what its seal says.
inline void verify(void* data, verdict& log) noexcept {
  const stamp& head = stamp_of(data);
  if (head.bytes < sizeof(stamp) || head.bytes > largest_payload_bytes) {
    log.violation("a held buffer's header changed");
    return;
  }
  const auto* words = reinterpret_cast<const std::uint64_t*>(&head + 1);
  const std::size_t count = (head.bytes - sizeof(stamp)) / sizeof(std::uint64_t);
  std::uint64_t sum = head.serial;
  for (std::size_t i = 0; i < count; ++i) {
    sum = sum * 31 + words[i];
  }
  log.require(sum == head.checksum, "a held buffer's payload changed");
}

}  // namespace ringpool::stress
