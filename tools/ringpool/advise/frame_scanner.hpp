// SPDX-License-Identifier: MIT
#pragma once

//   lost --a chain of good lengths--> header --4 bytes--> payload --its last byte--> header
//     ^                                 |
//     '-- a bad length, or a missing ---'   (a payload may be missing: its length is known)

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "traffic.hpp"

namespace ringpool::tools {

/// Finds length-prefixed frames in one direction of a stream. Keeps a header, never a payload.
///
/// Invariant: every sample that it reports lies between two headers with lengths of 1 to the most.
/// Progress: no call waits.
/// Thread-safety: one thread.
/// Cost: constant memory; while in step, a few instructions a frame.
class frame_scanner {
 public:
  explicit frame_scanner(std::uint32_t max_frame_bytes) noexcept : max_(max_frame_bytes) {}

  /// The stream begins here: the next byte is the first of a header.
  void begin() noexcept;
  /// The next byte may be any of a frame.
  void lose() noexcept;

  /// The next `length` bytes, of which there are `captured`, came at `now`. Appends whole frames:
  /// when their first byte came, until their last one did.
  void feed(std::span<const std::uint8_t> captured, std::uint64_t length, std::int64_t now,
            std::vector<traffic_sample>& out);

  [[nodiscard]] bool inside_frame() const noexcept {
    return sure_ && (state_ == state::payload || header_bytes_ != 0);
  }
  /// What came cannot be frames, or is too long out of step: it is not looked at any more.
  [[nodiscard]] bool given_up() const noexcept { return given_up_; }
  [[nodiscard]] std::uint64_t frame_count() const noexcept { return frame_count_; }
  [[nodiscard]] std::uint64_t bad_length_count() const noexcept { return bad_length_count_; }
  /// Headers that a capture of whole packets would have had.
  [[nodiscard]] std::uint64_t missing_header_count() const noexcept { return missing_count_; }

 private:
  enum class state : std::uint8_t { lost, header, payload };

  [[nodiscard]] bool good(std::uint32_t length) const noexcept {
    return length >= 1 && length <= max_;
  }
  [[nodiscard]] std::optional<std::size_t> find_frames(std::span<const std::uint8_t> bytes,
                                                       std::uint64_t length) noexcept;
  void read_header(std::span<const std::uint8_t> captured, std::uint64_t& at, std::int64_t now,
                   std::vector<traffic_sample>& out);
  void frame_is_whole(std::int64_t now, std::vector<traffic_sample>& out);
  void confirm(std::vector<traffic_sample>& out);

  std::uint32_t max_;
  state state_ = state::lost;
  bool sure_ = false;  // otherwise the first frame waits for what follows it
  bool given_up_ = false;
  std::uint8_t header_bytes_ = 0;
  std::array<std::uint8_t, 4> header_{};
  std::uint32_t length_ = 0;
  std::uint32_t missing_bytes_ = 0;  // of the payload
  std::int64_t begin_ns_ = 0;
  std::optional<traffic_sample> unsure_;
  std::uint64_t lost_bytes_ = 0;
  std::uint64_t frame_count_ = 0;
  std::uint64_t bad_length_count_ = 0;
  std::uint64_t missing_count_ = 0;
};

}  // namespace ringpool::tools
