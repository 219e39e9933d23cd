// SPDX-License-Identifier: MIT
#pragma once

//   first_ -> [chunk: frame frame frame ...] -> [chunk: ...] <- last_
//              ^ front: sent_bytes_ of its header and bytes are on their way already

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ringpool/codec/frame.hpp>
#include <span>
#include <utility>

#include "budget.hpp"
#include "slab.hpp"

namespace ringpool::tools {

/// What is to be sent: a payload and the header before it, or bytes that have their headers inside.
template <class Buffer>
struct queued_frame {
  Buffer bytes;
  frame_header header{};  // no header is all zero
  std::uint32_t held_bytes = 0;

  [[nodiscard]] std::size_t header_size() const noexcept {
    return header == frame_header{} ? 0 : header.size();
  }
  [[nodiscard]] std::size_t size() const noexcept { return header_size() + bytes.size(); }
};

/// A stretch of a queue. Cache-line multiple, so that slabs pack them without straddling.
template <class Buffer>
struct alignas(64) frame_chunk {
  static constexpr std::uint16_t frame_count = 240 / sizeof(queued_frame<Buffer>);

  frame_chunk* next = nullptr;
  std::uint16_t begin = 0;
  std::uint16_t end = 0;
  queued_frame<Buffer> frames[frame_count];
};

/// The frames of one connection that its peer has yet to read, in order.
///
/// Invariant: held_bytes() = sum of held_bytes of the queued frames, which its payer is charged
/// with; a
///   chunk in the list has a
///   frame, but for the last one after make_room().
/// Progress: no call waits.
/// Thread-safety: one thread.
/// Cost: a chunk of 256 bytes for every 6 or 7 frames, from a slab, while frames are queued.
template <class Buffer>
class frame_queue {
 public:
  using chunk = frame_chunk<Buffer>;

  /// `payer`: is charged with what is pushed already, and gets it back; nullptr: nobody is.
  explicit frame_queue(slab<chunk>& chunks, connection_budget* payer = nullptr) noexcept
      : chunks_(&chunks), payer_(payer) {}
  ~frame_queue() { clear(); }
  frame_queue(const frame_queue&) = delete;
  frame_queue& operator=(const frame_queue&) = delete;

  /// Makes sure that a push has a place; false when the chunks are spent.
  [[nodiscard]] bool make_room() noexcept {
    if (last_ != nullptr && last_->end < chunk::frame_count) {
      return true;
    }
    chunk* fresh = chunks_->acquire();
    if (fresh == nullptr) {
      return false;
    }
    (last_ == nullptr ? first_ : last_->next) = fresh;
    last_ = fresh;
    return true;
  }

  /// After make_room(): a payload, to be sent behind a header. `held_bytes`: what it keeps from
  /// others.
  void push_payload(Buffer&& payload, std::size_t held_bytes) noexcept {
    const std::size_t size = payload.size();
    push_first_part(std::move(payload), size, held_bytes);
  }
  /// After make_room(): the first part of a payload of `length` bytes, to be sent behind a header.
  void push_first_part(Buffer&& part, std::size_t length, std::size_t held_bytes) noexcept {
    push({std::move(part), encode_frame_header(static_cast<std::uint32_t>(length)),
          static_cast<std::uint32_t>(held_bytes)});
  }
  /// After make_room(): bytes that are sent as they are.
  void push_bytes(Buffer&& bytes, std::size_t held_bytes) noexcept {
    push({std::move(bytes), {}, static_cast<std::uint32_t>(held_bytes)});
  }

  struct gathered {
    std::size_t part_count = 0;
    std::size_t bytes = 0;
  };
  /// Describes what is to be sent, from the front on, in `out`.
  [[nodiscard]] gathered gather(std::span<::iovec> out) const noexcept {
    gathered sum;
    std::size_t skipped = sent_bytes_;
    for (const chunk* at = first_; at != nullptr; at = at->next) {
      for (std::size_t i = at->begin; i < at->end; ++i) {
        if (sum.part_count + 2 > out.size()) {
          return sum;
        }
        const queued_frame<Buffer>& frame = at->frames[i];
        append(out, sum, {frame.header.data(), frame.header_size()}, skipped);
        append(out, sum, {frame.bytes.data(), frame.bytes.size()}, skipped);
      }
    }
    return sum;
  }

  /// Takes what was sent off the front.
  void drop_sent(std::size_t bytes) noexcept {
    bytes += sent_bytes_;
    const std::size_t held_before = held_bytes_;
    while (frame_count_ != 0 && bytes >= front().size()) {
      bytes -= front().size();
      pop();
    }
    sent_bytes_ = static_cast<std::uint32_t>(bytes);
    refund(held_before - held_bytes_);
  }

  /// Of a queue with frames.
  [[nodiscard]] queued_frame<Buffer>& front() noexcept { return first_->frames[first_->begin]; }
  void drop_front() noexcept {
    const std::size_t held_before = held_bytes_;
    pop();
    refund(held_before - held_bytes_);
  }

  /// All that `other` has, behind what is here; with chunks of one slab and the same payer.
  void splice(frame_queue& other) noexcept {
    drop_unused_chunk();
    other.drop_unused_chunk();
    if (other.first_ == nullptr) {
      return;
    }
    (last_ == nullptr ? first_ : last_->next) = std::exchange(other.first_, nullptr);
    last_ = std::exchange(other.last_, nullptr);
    held_bytes_ += std::exchange(other.held_bytes_, 0);
    frame_count_ += std::exchange(other.frame_count_, 0);
  }

  /// Of two queues with chunks of one slab and the same payer, or none.
  void swap(frame_queue& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(held_bytes_, other.held_bytes_);
    std::swap(frame_count_, other.frame_count_);
    std::swap(sent_bytes_, other.sent_bytes_);
  }

  void clear() noexcept {
    while (first_ != nullptr) {
      chunk* spent = std::exchange(first_, first_->next);
      chunks_->release(*spent);
    }
    last_ = nullptr;
    frame_count_ = 0;
    sent_bytes_ = 0;
    refund(std::exchange(held_bytes_, 0));
  }

  [[nodiscard]] bool empty() const noexcept { return frame_count_ == 0; }
  [[nodiscard]] std::uint32_t frame_count() const noexcept { return frame_count_; }
  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_bytes_; }

 private:
  void push(queued_frame<Buffer>&& frame) noexcept {
    held_bytes_ += frame.held_bytes;
    ++frame_count_;
    last_->frames[last_->end++] = std::move(frame);
  }

  void pop() noexcept {
    held_bytes_ -= front().held_bytes;
    front() = {};
    --frame_count_;
    if (++first_->begin == first_->end) {
      chunk* spent = std::exchange(first_, first_->next);
      if (first_ == nullptr) {
        last_ = nullptr;
      }
      chunks_->release(*spent);
    }
  }

  void refund(std::size_t bytes) noexcept {
    if (payer_ != nullptr && bytes != 0) {
      payer_->refund(bytes);
    }
  }

  /// Of make_room(), when no push followed.
  void drop_unused_chunk() noexcept {
    if (last_ == nullptr || last_->end != 0) {
      return;
    }
    chunk* before = first_ == last_ ? nullptr : first_;
    while (before != nullptr && before->next != last_) {
      before = before->next;
    }
    chunks_->release(*std::exchange(last_, before));
    (before == nullptr ? first_ : before->next) = nullptr;
  }

  static void append(std::span<::iovec> out, gathered& sum, std::span<const std::byte> part,
                     std::size_t& skipped) noexcept {
    const std::size_t step = std::min(skipped, part.size());
    skipped -= step;
    part = part.subspan(step);
    if (!part.empty()) {
      // sendmsg(2) only reads, and takes a pointer to what it could write
      out[sum.part_count++] = {const_cast<std::byte*>(part.data()), part.size()};
      sum.bytes += part.size();
    }
  }

  slab<chunk>* chunks_;
  connection_budget* payer_;
  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  std::size_t held_bytes_ = 0;
  std::uint32_t frame_count_ = 0;
  std::uint32_t sent_bytes_ = 0;  // of the front frame, header included
};

}  // namespace ringpool::tools
