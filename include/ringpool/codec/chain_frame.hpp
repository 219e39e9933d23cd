// SPDX-License-Identifier: MIT
#pragma once

//  received:   | buffer 1: length, 4092 bytes |  | buffer 2: 4096 bytes |  | buffer 3: 900 | next
//  ...
//                           \_____________________________|________________________/
//  frame:                     a chain of three pieces, which are those bytes where they lie
//
// The wire is codec/frame.hpp's. Frames may be as large as the wire allows: no buffer has to be so
// large as they are.
//
// Guarantees
// - Any way of cutting a stream into buffers gives the same frames, and no payload byte is copied.
// - The decoder holds slices of what came, and nothing between frames. What they pin is the buffers
//   that came: a peer that sends little at a time makes small slices of large buffers. `held()`
//   says how many bytes that is, `compact` copies them together.
// - A bad length is an error before any payload byte is looked at, and stays one until reset().

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "ringpool/buffer_chain.hpp"
#include "ringpool/codec/frame.hpp"

namespace ringpool {

/// Cuts a stream of received buffers into frames, which are chains of parts of them.
///
///   while (decoder.decode(received) == decode_status::frame_ready) {
///     handle(decoder.take());
///   }
///
/// Invariant: held().size() = bytes of the frame's payload that came.
/// Progress: wait-free but for a block of the chain every so many pieces, and the drop of a buffer.
/// Thread-safety: none; one stream, one thread at a time. Frames may go to any threads.
/// Cost: 264 bytes. No copy; a piece: 32 bytes moved, and one read-modify-write where its buffer
/// has
///   bytes of another frame too.
class chain_frame_decoder {
 public:
  /// Blocks of long chains come from `blocks`, which outlives the frames; see buffer_chain.
  explicit chain_frame_decoder(std::uint32_t max_frame_bytes = default_max_frame_bytes,
                               pool_ref blocks = {}) noexcept
      : cursor_(max_frame_bytes), blocks_(blocks), frame_(blocks) {}

  /// Takes bytes off the front of `input`, which is empty once all are taken, until a frame is
  /// complete, or the length is bad. need_buffer: no block was to be had, or the buffer has 2^31
  /// handles; the rest of input is for a later call. Asked again before take(), it says the same.
  [[nodiscard]] decode_status decode(shared_buffer& input) noexcept;

  /// The frame that decode() announced, size() being its length. The decoder is between frames
  /// again. Before frame_ready: an empty chain, and nothing changes.
  [[nodiscard]] buffer_chain take() noexcept {
    if (!cursor_.complete() || cursor_.failed()) {
      return buffer_chain();
    }
    cursor_.reset();
    return std::exchange(frame_, buffer_chain(blocks_));
  }

  /// What came of the frame.
  [[nodiscard]] const buffer_chain& held() const noexcept { return frame_; }
  /// As the chain's: for frames that came in small parts of large buffers.
  std::size_t compact(pool_ref pool, std::size_t threshold) noexcept {
    return frame_.compact(pool, threshold);
  }

  /// Gives up a half frame and its pieces, or an error.
  void reset() noexcept {
    cursor_.reset();
    frame_.clear();
  }

  [[nodiscard]] bool between_frames() const noexcept { return cursor_.between_frames(); }
  [[nodiscard]] const frame_cursor& cursor() const noexcept { return cursor_; }
  /// The reason of decode_status::failed; false otherwise.
  [[nodiscard]] std::error_code error() const noexcept {
    return cursor_.failed() ? make_error_code(cursor_.error()) : std::error_code{};
  }
  /// The same in words; empty without an error.
  [[nodiscard]] std::string error_message() const {
    return cursor_.failed() ? describe(cursor_.error(), cursor_.length(), cursor_.max_frame_bytes())
                            : std::string();
  }

 private:
  [[nodiscard]] bool store(shared_buffer& input) noexcept;

  frame_cursor cursor_;
  pool_ref blocks_;
  buffer_chain frame_;
};

/// Makes a frame of the payload in `chain`: writes the header into its headroom, or into a buffer
/// of `pool` where it has none or its first buffer has other owners. The frame is then sent to many
/// by buffer_chain::share. False, and nothing happens: the payload is empty or above
/// max_frame_limit_bytes, or the rings are spent.
[[nodiscard]] bool encode_frame(pool_ref pool, buffer_chain& chain) noexcept;

}  // namespace ringpool
