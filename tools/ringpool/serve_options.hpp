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
enum class backend_kind : std::uint8_t { epoll, uring };
enum class server_mode : std::uint8_t {
  echo,  ///< each frame goes back to its sender
  room,  ///< a connection's first frame names its room; each further one goes to all in there
};
/// What waits for the next frame of an idle connection, with io_uring.
enum class idle_mode : std::uint8_t {
  receive,  ///< an armed multishot receive: least work a frame
  poll,     ///< an armed poll, and a receive when it fires: less kernel memory a connection
};
/// Who is closed when buffers are short.
enum class shed_policy : std::uint8_t {
  off,
  largest,  ///< who holds far more than the others
};
/// What becomes of a member of a room whose queue is full.
enum class slow_policy : std::uint8_t { close, skip };

struct serve_options {
  std::string config;                     ///< a file in TOML, below what the command line says
  std::string check_config;               ///< likewise: print what it comes to, and serve nothing
  std::string preset;                     ///< a named configuration, below the file
  std::string print_preset;               ///< print this one, and serve nothing
  std::string listen = "127.0.0.1:9000";  ///< ADDR:PORT; port 0: any free one
  std::string port_file;                  ///< receives ADDR:PORT once the server is ready
  std::string stats_file;                 ///< receives JSON at SIGUSR1 and at exit
  std::string metrics_listen;             ///< ADDR:PORT of metrics over HTTP; empty: none
  std::string metrics_port_file;          ///< receives that ADDR:PORT once it is ready
  std::string record_file;                ///< receives a sample of what is allocated
  std::uint64_t record_limit_bytes = std::uint64_t{64} << 20;  ///< of that file
  std::uint32_t record_one_in = 64;                            ///< allocations, or frames
  buffer_kind buffers = buffer_kind::pool;
  backend_kind backend = backend_kind::epoll;
  server_mode mode = server_mode::echo;
  unsigned loops = 0;  ///< 0: one a processor
  bool pin = false;    ///< loop i runs on the i-th processor it may
  std::vector<size_class> classes{
      {64, 8192}, {256, 4096}, {1024, 2048}, {4096, 1024}, {16384, 256}};
  std::uint32_t max_frame_bytes = default_max_frame_bytes;
  zeroing zero_on_free = zeroing::none;
  bool hardened = false;
  std::size_t elastic_count = 0;  ///< further buffers a class
  std::size_t elastic_floor = 0;  ///< of those, whose memory stays
  spill_options spill{};
  std::chrono::milliseconds elastic_decay{2000};  ///< idle elastic memory goes after this long
  memory_options memory{};                        ///< of the ring's buffers
  sampling_options sampling{};                    ///< who holds buffers; interval 0: unknown
  std::size_t cache_limit = 128;                  ///< most buffers that one thread may cache
  std::size_t upstream_budget_bytes = 0;
  std::size_t send_queue_bytes = 65536;     ///< of buffers held for one connection's peer to read
  std::size_t connection_budget_bytes = 0;  ///< of buffers held for one connection; 0: none
  std::size_t room_budget_bytes = 0;  ///< of frames that wait for members of one room; 0: none
  shed_policy shed = shed_policy::off;
  std::size_t receive_bytes = 0;   ///< io_uring: of a buffer the kernel fills; 0: 4096, or less
  unsigned receive_buffers = 256;  ///< io_uring: most of them, a ring
  idle_mode idle = idle_mode::receive;
  slow_policy slow = slow_policy::close;
  bool room_copies = false;                         ///< a copy for each member, to compare with
  std::chrono::milliseconds send_timeout{10'000};   ///< 0: none, here and below
  std::chrono::milliseconds frame_timeout{10'000};  ///< from a frame's first byte to its last
  std::chrono::milliseconds idle_timeout{300'000};
  std::chrono::milliseconds drain_timeout{5'000};
};

/// Bytes of a buffer that the kernel fills: as set, or 4096, or what the largest class has.
[[nodiscard]] std::size_t receive_bytes_of(const serve_options& options) noexcept;

/// Bytes of the pieces that larger frames are kept in; 0: every frame lies in one buffer.
[[nodiscard]] std::size_t piece_bytes_of(const serve_options& options) noexcept;

/// What is wrong with the options and what is accepted; empty when they are good.
[[nodiscard]] std::string find_fault(const serve_options& options);

}  // namespace ringpool::tools
