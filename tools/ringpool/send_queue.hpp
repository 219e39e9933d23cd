// SPDX-License-Identifier: MIT
#pragma once

//   first_ -> [chunk: frame frame frame ...] -> [chunk: ...] <- last_
//              ^ front: sent_bytes_ of its header and payload are on their way already

#include <cstddef>
#include <cstdint>

#include "buffers.hpp"
#include "slab.hpp"

namespace ringpool::tools {

/// A stretch of a queue. Cache-line multiple, so that slabs pack them without straddling.
struct send_chunk {
  static constexpr std::uint16_t frame_count = 10;

  send_chunk* next = nullptr;
  std::uint16_t begin = 0;
  std::uint16_t end = 0;
  loop_buffer frames[frame_count];
};
static_assert(sizeof(send_chunk) == 256);

enum class send_status : std::uint8_t { drained, blocked, failed };

struct send_result {
  send_status status;
  std::size_t sent_bytes;
};

/// The frames of one connection that its peer has yet to read, in order. The payload buffers are
/// the ones the decoder filled; headers are made while sending.
///
/// Invariant: held_bytes() = sum of the capacities of the queued buffers; a chunk in the list has a
///   frame, but for the last one after make_room().
/// Progress: no call waits; flush() makes one system call for every 64 frames.
/// Thread-safety: one thread.
/// Cost: a chunk of 256 bytes for every 10 frames, from a slab, while frames are queued.
class send_queue {
 public:
  explicit send_queue(slab<send_chunk>& chunks) noexcept : chunks_(&chunks) {}
  ~send_queue() { clear(); }
  send_queue(const send_queue&) = delete;
  send_queue& operator=(const send_queue&) = delete;

  /// Makes sure that push() has a place; false when the chunks are spent.
  [[nodiscard]] bool make_room() noexcept;
  /// After make_room().
  void push(loop_buffer&& frame) noexcept;

  /// Sends what the socket takes.
  [[nodiscard]] send_result flush(int fd) noexcept;

  void clear() noexcept;

  [[nodiscard]] bool empty() const noexcept { return frame_count_ == 0; }
  [[nodiscard]] std::uint32_t frame_count() const noexcept { return frame_count_; }
  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_bytes_; }

 private:
  struct batch;
  void gather(batch& out) const noexcept;
  void drop_sent(std::size_t bytes) noexcept;
  void drop_front() noexcept;

  slab<send_chunk>* chunks_;
  send_chunk* first_ = nullptr;
  send_chunk* last_ = nullptr;
  std::size_t held_bytes_ = 0;
  std::uint32_t frame_count_ = 0;
  std::uint32_t sent_bytes_ = 0;  // of the front frame, header included
};

}  // namespace ringpool::tools
