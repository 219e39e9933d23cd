// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "traffic.hpp"

namespace ringpool::tools {

/// What a reader could not read: the file, the place in it, what is wrong, and what is accepted.
class read_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct read_options {
  std::string path = {};
  bool packets = false;    ///< captures: UDP packets, not the frames of TCP streams
  std::uint16_t port = 0;  ///< captures: the server's; 0: guessed from handshakes, or all
  std::uint32_t max_frame_bytes = 16384;
  std::int64_t hold_ns = -1;  ///< captures: a buffer is held so long after its last byte came
  /// Bytes read so far, of how many.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
};

/// A pcap or pcapng file: frames of TCP streams, or UDP packets. docs/traffic.md says what it must
/// contain. held_ns: from a frame's first segment to its last plus hold_ns; unknown without that.
/// Throws read_error, also when there was nothing to be found in it.
[[nodiscard]] traffic read_capture(const read_options& options);

/// A table of comma-separated values with a header: `size,count`, or `at_ns,held_ns,size` and
/// optionally `weight`. Throws read_error.
[[nodiscard]] traffic read_table(const read_options& options);

/// What `ringpool serve --record FILE` wrote. One that ends early is read up to there, with a
/// remark. Throws read_error.
[[nodiscard]] traffic read_recording(const read_options& options);

/// A running server: ADDR:PORT of `ringpool serve --metrics`. It knows how many buffers of each
/// class were taken, not when. Throws read_error.
[[nodiscard]] traffic read_live(const std::string& address);

}  // namespace ringpool::tools
