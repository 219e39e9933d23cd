// SPDX-License-Identifier: MIT
#pragma once

// What the reference servers share, and room_client in part: the command line of `ringpool serve`,
// as far as they have it, and the frame on the wire, see ringpool/codec/frame.hpp.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bench {

struct server_options {
  std::string address = "127.0.0.1";  ///< numeric, IPv4
  std::uint16_t port = 0;             ///< 0: any free one
  unsigned loops = 1;                 ///< threads
  std::string port_file;              ///< receives ADDR:PORT once the server is ready
};

/// Takes ADDR:PORT apart, numeric IPv4; false when it is no such thing.
[[nodiscard]] bool parse_address(const std::string& text, std::string& address,
                                 std::uint16_t& port);

/// As many descriptors as this process may have.
void raise_descriptor_limit() noexcept;

/// Reads the command line; a value: end with it. Raises the limit of descriptors to what may be.
[[nodiscard]] std::optional<int> read_options(int argc, char** argv, server_options& options);

/// Says that the server listens, on standard output and in the port file, which appears whole.
/// Throws std::system_error.
void announce(const server_options& options, std::uint16_t port);

inline constexpr std::size_t header_bytes = 4;
inline constexpr std::uint32_t most_payload_bytes = 16384;
/// Of a connection's buffer, until a larger frame comes.
inline constexpr std::size_t first_buffer_bytes = 4096;

/// What a header announces; 0 when no frame has such a length: close the connection.
[[nodiscard]] inline std::uint32_t payload_bytes(const std::byte* header) noexcept {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < header_bytes; ++i) {
    length = length << 8 | std::to_integer<std::uint32_t>(header[i]);
  }
  return length <= most_payload_bytes ? length : 0;
}

}  // namespace bench
