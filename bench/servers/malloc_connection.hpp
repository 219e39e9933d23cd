// SPDX-License-Identifier: MIT
#pragma once

//   buffer   | sent | whole frames, to be sent | part of a frame | room       |
//            0      sent_                      ready_            filled_      capacity_

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "descriptor.hpp"
#include "options.hpp"

namespace bench {

enum class outcome : std::uint8_t { read, write, close };

/// One client of the epoll server, and its malloc'd buffer: there while the connection is open,
/// grown when a frame is larger. Frames go back from where they were read, as many at once as came
/// whole: no copy, and two system calls for all of them.
///
/// Invariant: sent <= ready <= filled <= capacity; filled < capacity where it waits to read.
/// Progress: no call waits.
/// Thread-safety: none; one thread.
/// Cost: a recv and a send for the frames of one read.
class malloc_connection {
 public:
  explicit malloc_connection(ringpool::tools::descriptor socket) noexcept
      : socket_(std::move(socket)),
        buffer_(static_cast<std::byte*>(std::malloc(first_buffer_bytes))) {}

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

  /// Does what can be done now; tells what to wait for.
  [[nodiscard]] outcome go_on() noexcept { return sent_ != ready_ ? send() : receive(); }

  outcome waits_for = outcome::read;  ///< what epoll was told

 private:
  struct free_memory {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };

  static bool must_wait() noexcept { return errno == EAGAIN || errno == EINTR; }

  outcome receive() noexcept {
    if (!buffer_) {
      return outcome::close;
    }
    const ::ssize_t got = ::recv(fd(), buffer_.get() + filled_, capacity_ - filled_, 0);
    if (got <= 0) {
      return got < 0 && must_wait() ? outcome::read : outcome::close;
    }
    filled_ += static_cast<std::size_t>(got);
    find_frames();
    return send();
  }

  void find_frames() noexcept {
    while (filled_ - ready_ >= header_bytes) {
      const std::size_t payload = payload_bytes(buffer_.get() + ready_);
      if (payload == 0) {
        ending_ = true;  // once what came before it is sent
        return;
      }
      if (filled_ - ready_ < header_bytes + payload) {
        return;
      }
      ready_ += header_bytes + payload;
    }
  }

  outcome send() noexcept {
    if (sent_ != ready_) {
      const ::ssize_t gone = ::send(fd(), buffer_.get() + sent_, ready_ - sent_, MSG_NOSIGNAL);
      if (gone < 0 && !must_wait()) {
        return outcome::close;
      }
      sent_ += static_cast<std::size_t>(std::max<::ssize_t>(gone, 0));
      if (sent_ != ready_) {
        return outcome::write;
      }
    }
    return !ending_ && make_room() ? outcome::read : outcome::close;
  }

  /// The part of a frame moves to the front, in a buffer that takes the whole; false: no memory.
  bool make_room() noexcept {
    filled_ -= ready_;
    std::memmove(buffer_.get(), buffer_.get() + ready_, filled_);
    ready_ = sent_ = 0;
    if (filled_ < header_bytes) {
      return true;
    }
    const std::size_t wanted = header_bytes + payload_bytes(buffer_.get());
    return wanted <= capacity_ || grow(wanted);
  }

  bool grow(std::size_t wanted) noexcept {
    void* const larger = std::realloc(buffer_.get(), wanted);
    if (larger == nullptr) {
      return false;
    }
    static_cast<void>(buffer_.release());
    buffer_.reset(static_cast<std::byte*>(larger));
    capacity_ = wanted;
    return true;
  }

  ringpool::tools::descriptor socket_;
  std::unique_ptr<std::byte, free_memory> buffer_;
  std::size_t capacity_ = first_buffer_bytes;
  std::size_t filled_ = 0;
  std::size_t ready_ = 0;
  std::size_t sent_ = 0;
  bool ending_ = false;
};

}  // namespace bench
