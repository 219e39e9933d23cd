// SPDX-License-Identifier: MIT
#pragma once

// Captures for tests, byte by byte: what tcpdump would have written.

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace ringpool::test {

inline std::string big_endian(std::uint64_t value, int bytes) {
  std::string result;
  for (int i = bytes - 1; i >= 0; --i) {
    result.push_back(static_cast<char>(value >> (8 * i)));
  }
  return result;
}

inline std::string little_endian(std::uint64_t value, int bytes) {
  const std::string big = big_endian(value, bytes);
  return {big.rbegin(), big.rend()};
}

/// A length and as many bytes, none of which makes a good length.
inline std::string frame_of(std::uint32_t length) {
  return big_endian(length, 4) + std::string(length, '\xee');
}

struct tcp_segment {
  std::uint16_t from = 40000;
  std::uint16_t to = 9000;
  std::uint32_t sequence = 1000;
  std::string payload = {};
  std::uint8_t flags = 0x10;  // ACK; 0x01 FIN, 0x02 SYN, 0x04 RST
};

inline constexpr std::uint8_t fin_ack = 0x11;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t syn_ack = 0x12;
inline constexpr std::uint8_t reset = 0x04;

inline std::string tcp(const tcp_segment& one) {
  return big_endian(one.from, 2) + big_endian(one.to, 2) + big_endian(one.sequence, 4) +
         big_endian(7, 4) + big_endian(0x5000U | one.flags, 2) + big_endian(0xffff, 2) +
         big_endian(0, 4) + one.payload;
}

inline std::string udp(std::uint16_t to, std::string_view payload) {
  return big_endian(40000, 2) + big_endian(to, 2) + big_endian(8 + payload.size(), 2) +
         big_endian(0, 2) + std::string(payload);
}

/// `fragment`: the flags and the offset of a fragment.
inline std::string ipv4(int protocol, std::string_view content, std::uint16_t fragment = 0) {
  return big_endian(0x4500, 2) + big_endian(20 + content.size(), 2) + big_endian(1, 2) +
         big_endian(fragment, 2) + "\x40" + big_endian(static_cast<unsigned>(protocol), 1) +
         big_endian(0, 2) + big_endian(0x0a000001, 4) + big_endian(0x0a000002, 4) +
         std::string(content);
}

/// `extensions`: whole headers, the first of which is of the kind `next`.
inline std::string ipv6(int next, std::string_view content, std::string_view extensions = {}) {
  return big_endian(0x60000000, 4) + big_endian(extensions.size() + content.size(), 2) +
         big_endian(static_cast<unsigned>(next), 1) + "\x40" + std::string(15, '\0') + "\x01" +
         std::string(15, '\0') + "\x02" + std::string(extensions) + std::string(content);
}

inline std::string ethernet(std::string_view packet, std::uint16_t type = 0x0800) {
  return std::string(12, '\x02') + big_endian(type, 2) + std::string(packet);
}

/// A pcap file with times in nanoseconds.
class capture_writer {
 public:
  static constexpr std::uint32_t link_ethernet = 1;

  explicit capture_writer(std::uint32_t link = link_ethernet, std::size_t kept = 262144)
      : kept_(kept),
        bytes_(little_endian(0xa1b23c4d, 4) + little_endian(2, 2) + little_endian(4, 2) +
               little_endian(0, 8) + little_endian(kept, 4) + little_endian(link, 4)) {}

  /// A packet at `at_ns` behind the last one.
  void add(std::string_view packet, std::uint64_t at_ns = 1000) {
    now_ns_ += at_ns;
    const std::string_view kept = packet.substr(0, kept_);
    bytes_ += little_endian(now_ns_ / 1'000'000'000, 4);
    bytes_ += little_endian(now_ns_ % 1'000'000'000, 4);
    bytes_ += little_endian(kept.size(), 4) + little_endian(packet.size(), 4);
    bytes_ += kept;
  }
  /// Over Ethernet and IPv4.
  void add(const tcp_segment& segment, std::uint64_t at_ns = 1000) {
    add(ethernet(ipv4(6, tcp(segment))), at_ns);
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::size_t kept_;
  std::uint64_t now_ns_ = 1'700'000'000'000'000'000;
  std::string bytes_;
};

/// The same packets as a pcapng file of one section and one interface.
inline std::string pcapng_of(const std::vector<std::string>& packets) {
  const auto block = [](std::uint32_t type, std::string body) {
    body.resize((body.size() + 3) / 4 * 4);
    const std::string length = little_endian(body.size() + 12, 4);
    return little_endian(type, 4) + length + body + length;
  };
  std::string result = block(0x0a0d0d0a, little_endian(0x1a2b3c4d, 4) + little_endian(1, 4) +
                                             little_endian(~std::uint64_t{0}, 8));
  result += block(1, little_endian(1, 4) + little_endian(262144, 4));
  for (const std::string& packet : packets) {
    result +=
        block(6, little_endian(0, 4) + little_endian(0x60000, 4) + little_endian(1000, 4) +
                     little_endian(packet.size(), 4) + little_endian(packet.size(), 4) + packet);
  }
  return result;
}

}  // namespace ringpool::test
