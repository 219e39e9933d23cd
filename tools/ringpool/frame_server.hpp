// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ringpool/census.hpp>
#include <ringpool/stats.hpp>
#include <string>
#include <vector>

#include "budget.hpp"
#include "connection.hpp"
#include "metrics/frame_sizes.hpp"
#include "metrics/service_time.hpp"
#include "record/recording_stats.hpp"
#include "serve_options.hpp"

namespace ringpool::tools {

/// What a server did so far. Exact while nothing is in flight.
struct server_stats {
  buffer_kind buffers = buffer_kind::pool;
  backend_kind backend = backend_kind::epoll;
  std::int64_t time_ms = 0;        ///< of the snapshot, since 1970
  std::int64_t start_time_ms = 0;  ///< of the server, likewise
  double uptime_s = 0;
  std::uint64_t loops = 0;
  std::uint64_t rings = 0;           ///< io_urings, with their tables of direct descriptors
  std::uint64_t kernel_buffers = 0;  ///< offered to receives to come; not in buffers_in_use
  std::uint64_t receive_bytes = 0;   ///< of each of those; 0 with epoll
  std::uint64_t rooms = 0;
  std::uint64_t room_deliveries = 0;  ///< frames queued for members of rooms
  std::uint64_t room_drops = 0;       ///< and not queued: a slow member, or no buffer
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;  ///< of payload
  frame_size_counts sizes;

  std::uint64_t connections_open = 0;
  std::uint64_t connections_idle = 0;  ///< with nothing in flight
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_turned_away = 0;  ///< no descriptor was left
  std::uint64_t connections_refused = 0;      ///< no record or no kernel memory was left
  std::array<std::uint64_t, static_cast<std::size_t>(close_reason::count)> closed_by{};
  [[nodiscard]] std::uint64_t connections_closed() const noexcept;

  std::uint64_t zero_length_errors = 0;
  std::uint64_t negative_length_errors = 0;
  std::uint64_t too_long_errors = 0;
  std::uint64_t truncated_errors = 0;  ///< the peer closed inside a frame

  std::uint64_t slowed_count = 0;  ///< times a connection was not read since its peer did not read
  std::uint64_t over_limit_count = 0;    ///< charges that a budget refused
  std::uint64_t charged_bytes = 0;       ///< of buffers that connections hold
  std::uint64_t room_charged_bytes = 0;  ///< of frames that wait for members of rooms with a budget
  std::vector<heavy_peer> largest_holders;  ///< where it was asked for
  std::uint64_t starved_count = 0;  ///< times a connection found no buffer, retries included

  service_time_counts service_time;  ///< of one in 64 frames, or more

  std::vector<pool_stats> classes;  ///< empty with malloc; with what earlier ones of a size counted
  std::vector<pool_stats> retired_classes;  ///< of sizes that an earlier configuration had
  std::uint64_t reloads = 0;                ///< configurations taken up since the start
  std::uint64_t refused_reloads = 0;        ///< and not, since something was wrong
  std::uint64_t retired_sets = 0;           ///< of pools, with buffers that are still out
  std::uint64_t buffers_in_use = 0;
  std::uint64_t heap_allocations_on_data_path = 0;
  bool heap_allocations_counted = true;  ///< false under some sanitizers: the above is too low
  std::uint64_t table_bytes = 0;         ///< committed for connections, sessions and queues
  recording_stats recording;
  std::uint64_t resident_bytes = 0;
  std::uint64_t private_dirty_bytes = 0;
  /// table_bytes an open connection; 0 with none.
  [[nodiscard]] double bytes_per_connection() const noexcept;
};

/// Short name for reports and JSON: "idle_timeout".
[[nodiscard]] const char* to_string(close_reason reason) noexcept;

/// Echoes frames over TCP until it is stopped.
///
/// Invariant: connections_open = accepted - closed; buffers_in_use is 0 while every connection is
///   idle.
/// Progress: start() and stop() block: for the threads, and for the drain. snapshot() and
///   holders() wait for nobody.
///   reconfigure() and free_retired() wait for no loop.
/// Thread-safety: snapshot(), holders() and request_stop() from any thread, the rest from one.
/// Cost: one thread a loop.
class frame_server {
 public:
  explicit frame_server(serve_options options);  // throws std::system_error
  ~frame_server();
  frame_server(const frame_server&) = delete;
  frame_server& operator=(const frame_server&) = delete;

  /// Binds and serves; returns the port. Throws std::system_error.
  std::uint16_t start();
  /// Where it listens, ADDR:PORT; after start().
  [[nodiscard]] std::string address() const;
  /// Begins to drain; called again: to end at once. Does not wait.
  void request_stop() noexcept;
  /// True while a loop has not ended.
  [[nodiscard]] bool running() const noexcept;
  /// Waits until every loop has ended. After request_stop().
  void join();
  void stop() {
    request_stop();
    join();
  }

  [[nodiscard]] server_stats snapshot() const;
  /// Who holds the buffers, class by class; empty without sampling. Looks at each buffer's state.
  [[nodiscard]] std::vector<census> holders() const;
  /// The connections that hold most, the largest first. From the thread that reconfigures; waits
  /// for the loops, 0.2 s at most.
  [[nodiscard]] std::vector<heavy_peer> largest_holders();

  /// Goes on with other options, as plan_reload() made them: no connection is closed for it and no
  /// frame lost. Where those of the pool differ there is a new set of pools from now on, and the
  /// old one is there until its last buffer is back. Throws std::system_error: all stays as it was.
  void reconfigure(const serve_options& options);
  void count_refused_reload() noexcept;
  /// Sets of pools that were replaced and are there still; free_retired() is then to be called.
  [[nodiscard]] std::size_t retired_count() const noexcept;
  void free_retired();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace ringpool::tools
