// SPDX-License-Identifier: MIT
#include "packet.hpp"

#include <algorithm>

namespace ringpool::tools {
namespace {

constexpr std::uint16_t ether_ipv4 = 0x0800;
constexpr std::uint16_t ether_ipv6 = 0x86dd;
constexpr int most_vlan_tags = 4;
constexpr int most_extensions = 8;

constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;

// Extension headers of IPv6 that may stand before the payload, RFC 8200 and RFC 7045.
constexpr std::uint8_t hop_by_hop = 0;
constexpr std::uint8_t routing = 43;
constexpr std::uint8_t fragment_header = 44;
constexpr std::uint8_t authentication = 51;
constexpr std::uint8_t destination_options = 60;
constexpr std::uint8_t mobility = 135;

/// Reads of what is there; `left` is how much of the packet there was on the wire from here on.
struct cursor {
  std::span<const std::uint8_t> bytes;
  std::size_t left;

  [[nodiscard]] bool has(std::size_t count) const noexcept { return bytes.size() >= count; }
  [[nodiscard]] std::uint16_t u16(std::size_t at) const noexcept {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
  }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const noexcept {
    return std::uint32_t{u16(at)} << 16 | u16(at + 2);
  }
  /// Of what is there and of what was sent alike; false where it is not there.
  [[nodiscard]] bool skip(std::size_t count) noexcept {
    if (bytes.size() < count) {
      return false;
    }
    bytes = bytes.subspan(count);
    left -= count;
    return true;
  }
  /// What is behind the first `count` bytes is padding.
  [[nodiscard]] bool limit(std::size_t count) noexcept {
    if (count > left) {
      return false;
    }
    left = count;
    bytes = bytes.first(std::min(bytes.size(), count));
    return true;
  }
};

packet_kind parse_tcp(cursor at, packet& out) noexcept {
  if (!at.has(14)) {
    return at.left < 20 ? packet_kind::malformed : packet_kind::cut;
  }
  out.from.port = at.u16(0);
  out.to.port = at.u16(2);
  out.sequence = at.u32(4);
  const std::size_t header_bytes = std::size_t{4} * (at.bytes[12] >> 4);
  const std::uint8_t flags = at.bytes[13];
  out.fin = (flags & 0x01) != 0;
  out.syn = (flags & 0x02) != 0;
  out.reset = (flags & 0x04) != 0;
  out.ack = (flags & 0x10) != 0;
  if (header_bytes < 20 || header_bytes > at.left) {
    return packet_kind::malformed;
  }
  out.payload_bytes = static_cast<std::uint32_t>(at.left - header_bytes);
  out.captured = at.bytes.subspan(std::min(header_bytes, at.bytes.size()));
  return packet_kind::tcp;
}

packet_kind parse_udp(cursor at, packet& out) noexcept {
  if (!at.has(8)) {
    return at.left < 8 ? packet_kind::malformed : packet_kind::cut;
  }
  out.from.port = at.u16(0);
  out.to.port = at.u16(2);
  // 0: a jumbogram, or segments that the sender's card was to make
  const std::size_t length = at.u16(4) == 0 ? at.left : at.u16(4);
  if (length < 8 || !at.limit(length) || !at.skip(8)) {
    return packet_kind::malformed;
  }
  out.payload_bytes = static_cast<std::uint32_t>(at.left);
  out.captured = at.bytes;
  return packet_kind::udp;
}

packet_kind parse_transport(std::uint8_t protocol, const cursor& at, packet& out) noexcept {
  switch (protocol) {
    case protocol_tcp: return parse_tcp(at, out);
    case protocol_udp: return parse_udp(at, out);
    default: return packet_kind::other;
  }
}

packet_kind parse_ipv4(cursor at, packet& out) noexcept {
  if (!at.has(20)) {
    return at.left < 20 ? packet_kind::malformed : packet_kind::cut;
  }
  const std::size_t header_bytes = std::size_t{4} * (at.bytes[0] & 0x0f);
  const std::uint8_t protocol = at.bytes[9];
  std::copy_n(at.bytes.begin() + 12, 4, out.from.address.begin());
  std::copy_n(at.bytes.begin() + 16, 4, out.to.address.begin());
  if ((at.u16(6) & 0x3fff) != 0) {
    return packet_kind::fragment;
  }
  // 0: more than 64 KiB, which the sender's card was to cut into segments
  const std::size_t length = at.u16(2) == 0 ? at.left : at.u16(2);
  if (header_bytes < 20 || header_bytes > length || !at.limit(length)) {
    return packet_kind::malformed;
  }
  return at.skip(header_bytes) ? parse_transport(protocol, at, out) : packet_kind::cut;
}

packet_kind parse_ipv6(cursor at, packet& out) noexcept {
  if (!at.has(40)) {
    return at.left < 40 ? packet_kind::malformed : packet_kind::cut;
  }
  std::copy_n(at.bytes.begin() + 8, 16, out.from.address.begin());
  std::copy_n(at.bytes.begin() + 24, 16, out.to.address.begin());
  const std::size_t length = at.u16(4);
  std::uint8_t next = at.bytes[6];
  if (!at.skip(40) || (length != 0 && !at.limit(length))) {
    return packet_kind::malformed;
  }
  for (int i = 0; i < most_extensions; ++i) {
    const bool is_extension = next == hop_by_hop || next == routing || next == authentication ||
                              next == destination_options || next == mobility;
    if (next == fragment_header) {
      if (!at.has(8)) {
        return at.left < 8 ? packet_kind::malformed : packet_kind::cut;
      }
      if ((at.u16(2) & 0xfff9) != 0) {
        return packet_kind::fragment;
      }
      next = at.bytes[0];  // an atomic fragment, RFC 6946
      static_cast<void>(at.skip(8));
      continue;
    }
    if (!is_extension) {
      return parse_transport(next, at, out);
    }
    if (!at.has(2)) {
      return at.left < 2 ? packet_kind::malformed : packet_kind::cut;
    }
    const std::size_t units = at.bytes[1];
    const std::size_t bytes = next == authentication ? 4 * (units + 2) : 8 * (units + 1);
    next = at.bytes[0];
    if (bytes > at.left) {
      return packet_kind::malformed;
    }
    if (!at.skip(bytes)) {
      return packet_kind::cut;
    }
  }
  return packet_kind::malformed;
}

packet_kind parse_ip(const cursor& at, packet& out) noexcept {
  if (!at.has(1)) {
    return packet_kind::cut;
  }
  switch (at.bytes[0] >> 4) {
    case 4: return parse_ipv4(at, out);
    case 6: return parse_ipv6(at, out);
    default: return packet_kind::other;
  }
}

packet_kind parse_ether_type(cursor at, std::uint16_t type, packet& out) noexcept {
  for (int i = 0; i < most_vlan_tags && (type == 0x8100 || type == 0x88a8 || type == 0x9100); ++i) {
    if (!at.has(4)) {
      return packet_kind::cut;
    }
    type = at.u16(2);
    static_cast<void>(at.skip(4));
  }
  return type == ether_ipv4 || type == ether_ipv6 ? parse_ip(at, out) : packet_kind::other;
}

/// `type_at`: where the EtherType is in a link header of `bytes`.
packet_kind parse_link(cursor at, std::size_t type_at, std::size_t bytes, packet& out) noexcept {
  if (!at.has(bytes)) {
    return packet_kind::cut;
  }
  const std::uint16_t type = at.u16(type_at);
  static_cast<void>(at.skip(bytes));
  return parse_ether_type(at, type, out);
}

}  // namespace

packet parse_packet(link_kind link, std::span<const std::uint8_t> bytes,
                    std::uint32_t wire_bytes) noexcept {
  packet out;
  cursor at{bytes, std::max<std::size_t>(bytes.size(), wire_bytes)};
  switch (link) {
    case link_kind::ethernet: out.kind = parse_link(at, 12, 14, out); break;
    case link_kind::linux_cooked: out.kind = parse_link(at, 14, 16, out); break;
    case link_kind::linux_cooked_2: out.kind = parse_link(at, 0, 20, out); break;
    case link_kind::raw_ip: out.kind = parse_ip(at, out); break;
    case link_kind::loopback:  // an address family in one of two byte orders: the version says it
      out.kind = at.skip(4) ? parse_ip(at, out) : packet_kind::cut;
      break;
  }
  return out;
}

}  // namespace ringpool::tools
