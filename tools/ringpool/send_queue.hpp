// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffers.hpp"
#include "frame_queue.hpp"

namespace ringpool::tools {

using send_queue = frame_queue<loop_buffer>;
using send_chunk = send_queue::chunk;
static_assert(sizeof(send_chunk) == 256);

enum class send_status : std::uint8_t { drained, blocked, failed };

struct send_result {
  send_status status;
  std::size_t sent_bytes;
};

/// Sends what the socket takes, with one system call for every 64 frames; does not wait.
[[nodiscard]] send_result flush(send_queue& queue, int fd) noexcept;

}  // namespace ringpool::tools
