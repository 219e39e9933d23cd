// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "load_frame.hpp"

namespace ringpool::tools {

/// Cuts a received stream into payloads. It is the load's own reading of the wire format (4 bytes
/// of length, signed, big-endian, then the payload), apart from the library's codec on purpose: the
/// load must not share a fault with the server it checks. A frame that lies whole in the input is
/// handed on where it lies; only the rest of the last one is copied.
///
/// Invariant:     partial_ is a proper prefix of one frame, or empty.
/// Progress:      wait-free, but for the growth of partial_.
/// Thread-safety: none.
class load_reader {
 public:
  explicit load_reader(std::uint32_t max_payload) : max_payload_(max_payload) {}

  /// Calls sink(std::span<const std::byte> payload) for each frame that `input` completes.
  /// false: a length below 1 or above the maximum; the stream is of no use from there on.
  template <class Sink>
  [[nodiscard]] bool feed(std::span<const std::byte> input, Sink&& sink) {
    if (!partial_.empty() && !finish_partial(input, sink)) {
      return false;
    }
    while (input.size() >= frame_header_bytes) {
      const std::size_t frame = frame_size(input);
      if (frame == 0) {
        return false;
      }
      if (input.size() < frame) {
        break;
      }
      sink(input.subspan(frame_header_bytes, frame - frame_header_bytes));
      input = input.subspan(frame);
    }
    partial_.insert(partial_.end(), input.begin(), input.end());
    return true;
  }

  [[nodiscard]] bool between_frames() const noexcept { return partial_.empty(); }

 private:
  /// Header and payload together; 0 for a length that is not allowed.
  [[nodiscard]] std::size_t frame_size(std::span<const std::byte> header) const noexcept {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < frame_header_bytes; ++i) {
      length = (length << 8) | std::to_integer<std::uint32_t>(header[i]);
    }
    return length == 0 || length > max_payload_ ? 0 : std::size_t{length} + frame_header_bytes;
  }

  void take(std::span<const std::byte>& input, std::size_t wanted_size) {
    const std::size_t count = std::min(input.size(), wanted_size - partial_.size());
    partial_.insert(partial_.end(), input.begin(),
                    input.begin() + static_cast<std::ptrdiff_t>(count));
    input = input.subspan(count);
  }

  template <class Sink>
  bool finish_partial(std::span<const std::byte>& input, Sink&& sink) {
    if (partial_.size() < frame_header_bytes) {
      take(input, frame_header_bytes);
    }
    if (partial_.size() < frame_header_bytes) {
      return true;
    }
    const std::size_t frame = frame_size(partial_);
    if (frame == 0) {
      return false;
    }
    take(input, frame);
    if (partial_.size() < frame) {
      return true;
    }
    sink(std::span<const std::byte>(partial_).subspan(frame_header_bytes));
    partial_.clear();
    return true;
  }

  std::uint32_t max_payload_;
  std::vector<std::byte> partial_;
};

}  // namespace ringpool::tools
