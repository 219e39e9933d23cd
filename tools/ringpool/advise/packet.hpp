// SPDX-License-Identifier: MIT
#pragma once

//   link header | VLAN tags | IPv4 or IPv6 with extension headers | TCP or UDP | payload
//
// Lengths come from the headers, so that a packet of which the capture kept only the beginning has
// its right size; `captured` is what there is of its payload.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ringpool::tools {

/// What precedes the network layer in each packet of a capture.
enum class link_kind : std::uint8_t { ethernet, linux_cooked, linux_cooked_2, raw_ip, loopback };

enum class packet_kind : std::uint8_t {
  tcp,
  udp,
  fragment,   ///< of IP: not the first, or more to come
  other,      ///< neither TCP nor UDP over IP
  cut,        ///< the capture kept too little of it
  malformed,  ///< its headers contradict each other
};

/// One end of a flow: IPv4 in the first 4 bytes, zero behind them.
struct packet_end {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
  bool operator==(const packet_end&) const = default;
};

struct packet {
  packet_kind kind = packet_kind::other;
  packet_end from = {};
  packet_end to = {};
  std::uint32_t sequence = 0;  ///< of TCP, as its flags
  bool syn = false;
  bool ack = false;
  bool fin = false;
  bool reset = false;
  std::uint32_t payload_bytes = 0;              ///< as sent
  std::span<const std::uint8_t> captured = {};  ///< its beginning, payload_bytes at most
};

/// `bytes`: what the capture has of a packet that was `wire_bytes` long. Reads no further, and
/// keeps no promise but that: anything may be in a file.
[[nodiscard]] packet parse_packet(link_kind link, std::span<const std::uint8_t> bytes,
                                  std::uint32_t wire_bytes) noexcept;

}  // namespace ringpool::tools
