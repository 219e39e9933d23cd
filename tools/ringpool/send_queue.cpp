// SPDX-License-Identifier: MIT
#include "send_queue.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <ringpool/codec/frame.hpp>

namespace ringpool::tools {
namespace {

constexpr std::size_t frames_per_call = 64;

/// Takes `bytes` off the front of two pieces of memory.
void skip(std::array<::iovec, 2>& parts, std::size_t bytes) noexcept {
  for (::iovec& part : parts) {
    const std::size_t step = std::min(bytes, part.iov_len);
    part.iov_base = static_cast<std::byte*>(part.iov_base) + step;
    part.iov_len -= step;
    bytes -= step;
  }
}

}  // namespace

struct send_queue::batch {
  std::array<frame_header, frames_per_call> headers;
  std::array<::iovec, 2 * frames_per_call> parts;
  std::size_t part_count = 0;
  std::size_t bytes = 0;
};

bool send_queue::make_room() noexcept {
  if (last_ != nullptr && last_->end < send_chunk::frame_count) {
    return true;
  }
  send_chunk* chunk = chunks_->acquire();
  if (chunk == nullptr) {
    return false;
  }
  (last_ == nullptr ? first_ : last_->next) = chunk;
  last_ = chunk;
  return true;
}

void send_queue::push(loop_buffer&& frame) noexcept {
  held_bytes_ += frame.capacity();
  ++frame_count_;
  last_->frames[last_->end++] = std::move(frame);
}

void send_queue::gather(batch& out) const noexcept {
  std::size_t count = 0;
  for (const send_chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
    for (std::size_t i = chunk->begin; i < chunk->end && count < frames_per_call; ++i, ++count) {
      const loop_buffer& frame = chunk->frames[i];
      frame_header& header = out.headers[count];
      header = encode_frame_header(static_cast<std::uint32_t>(frame.size()));
      auto parts = frame_iovecs(header, {frame.data(), frame.size()});
      if (count == 0) {
        skip(parts, sent_bytes_);
      }
      for (const ::iovec& part : parts) {
        if (part.iov_len != 0) {
          out.parts[out.part_count++] = part;
          out.bytes += part.iov_len;
        }
      }
    }
  }
}

send_result send_queue::flush(int fd) noexcept {
  std::size_t total = 0;
  while (!empty()) {
    batch next;
    gather(next);
    ::msghdr message{};
    message.msg_iov = next.parts.data();
    message.msg_iovlen = next.part_count;
    const ::ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) {
        continue;
      }
      const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
      return {full ? send_status::blocked : send_status::failed, total};
    }
    const auto sent_bytes = static_cast<std::size_t>(sent);
    total += sent_bytes;
    drop_sent(sent_bytes);
    if (sent_bytes < next.bytes) {
      return {send_status::blocked, total};  // the kernel will say when there is room again
    }
  }
  return {send_status::drained, total};
}

void send_queue::drop_sent(std::size_t bytes) noexcept {
  bytes += sent_bytes_;
  while (frame_count_ != 0) {
    const std::size_t whole = frame_header_bytes + first_->frames[first_->begin].size();
    if (bytes < whole) {
      break;
    }
    bytes -= whole;
    drop_front();
  }
  sent_bytes_ = static_cast<std::uint32_t>(bytes);
}

void send_queue::drop_front() noexcept {
  loop_buffer& frame = first_->frames[first_->begin++];
  held_bytes_ -= frame.capacity();
  --frame_count_;
  frame = loop_buffer{};
  if (first_->begin == first_->end) {
    send_chunk* spent = std::exchange(first_, first_->next);
    if (first_ == nullptr) {
      last_ = nullptr;
    }
    chunks_->release(*spent);
  }
}

void send_queue::clear() noexcept {
  while (first_ != nullptr) {
    send_chunk* spent = std::exchange(first_, first_->next);
    chunks_->release(*spent);
  }
  last_ = nullptr;
  held_bytes_ = 0;
  frame_count_ = 0;
  sent_bytes_ = 0;
}

}  // namespace ringpool::tools
