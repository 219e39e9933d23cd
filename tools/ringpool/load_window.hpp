// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "load_frame.hpp"

namespace ringpool::tools {

/// What became of a frame that came back.
enum class echo_verdict : std::uint8_t {
  in_order,      ///< intact, and behind every frame that came back before
  out_of_order,  ///< intact, but a later one came back before it (reordered in the sense of RFC
                 ///< 4737)
  duplicated,    ///< intact, and it had come back already (or had been given up)
  foreign,       ///< intact, but another connection's or another run's, or never sent
  corrupted,     ///< the checksum does not fit
};

struct echo {
  echo_verdict verdict;
  std::int64_t due_ns;  ///< when the frame was due to be sent; only for in_order and out_of_order
};

/// The frames of one connection that were sent and have not come back.
///
///      base_                      next_
///        v                          v
///   ...  | due | - | due | due | - |        '-' has come back, out of order
///
/// A corrupted or a foreign frame came in the place of one of ours: it settles the oldest one, so
/// that one fault is counted once, not a second time as a loss. (Where it came as an extra, the
/// true echo counts as duplicated.)
///
/// Invariant:     sent() = settled + outstanding().
/// Progress:      wait-free, but for the growth of the ring.
/// Thread-safety: none.
/// Cost:          8 bytes per frame between the oldest outstanding one and the newest.
class echo_window {
 public:
  /// Notes a frame that is about to be sent; its sequence number.
  std::uint64_t add(std::int64_t due_ns);

  /// Judges the payload of a frame that came back to the connection `own` (whose sequence is not
  /// looked at).
  echo judge(std::span<const std::byte> payload, const frame_stamp& own) noexcept;

  /// Gives up on all that is outstanding; how many frames that was.
  std::uint64_t give_up() noexcept;

  [[nodiscard]] std::uint64_t outstanding() const noexcept { return outstanding_; }
  [[nodiscard]] std::uint64_t sent() const noexcept { return next_; }

 private:
  static constexpr std::int64_t settled = INT64_MIN;

  std::int64_t& slot(std::uint64_t sequence) noexcept {
    return ring_[sequence & (ring_.size() - 1)];
  }
  void settle_oldest() noexcept;
  void advance() noexcept;
  void grow();

  std::vector<std::int64_t> ring_;  // a power of two of due times
  std::uint64_t base_ = 0;          // everything below is settled
  std::uint64_t next_ = 0;          // the next frame's sequence
  std::uint64_t expected_ = 0;      // one above the greatest sequence that came back
  std::uint64_t outstanding_ = 0;
};

}  // namespace ringpool::tools
