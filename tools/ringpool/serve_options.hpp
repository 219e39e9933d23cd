// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ringpool/codec/frame.hpp>
#include <ringpool/multi_size_ring_pool.hpp>
#include <string>
#include <vector>

namespace ringpool::tools {

enum class buffer_kind : std::uint8_t { pool, malloc };

struct serve_options {
  std::string listen = "127.0.0.1:9000";  ///< ADDR:PORT; port 0: any free one
  std::string port_file;                  ///< receives ADDR:PORT once the server is ready
  std::string stats_file;                 ///< receives JSON at SIGUSR1 and at exit
  buffer_kind buffers = buffer_kind::pool;
  unsigned loops = 0;  ///< 0: one a processor
  std::vector<size_class> classes{
      {64, 8192}, {256, 4096}, {1024, 2048}, {4096, 1024}, {16384, 256}};
  std::uint32_t max_frame_bytes = default_max_frame_bytes;
  zeroing zero_on_free = zeroing::none;
  bool hardened = false;
  std::size_t elastic_count = 0;  ///< further buffers a class
  std::size_t upstream_budget_bytes = 0;
  std::size_t send_queue_bytes = 65536;  ///< of buffers held for one connection's peer to read
  std::chrono::milliseconds send_timeout{10'000};   ///< 0: none, here and below
  std::chrono::milliseconds frame_timeout{10'000};  ///< from a frame's first byte to its last
  std::chrono::milliseconds idle_timeout{300'000};
  std::chrono::milliseconds drain_timeout{5'000};
};

/// What is wrong with the options and what is accepted; empty when they are good.
[[nodiscard]] std::string find_fault(const serve_options& options);

}  // namespace ringpool::tools
