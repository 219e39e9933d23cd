// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/epoll.h>

#include "load_options.hpp"
#include "load_reader.hpp"
#include "load_schedule.hpp"
#include "load_socket.hpp"
#include "load_tally.hpp"
#include "load_window.hpp"

namespace ringpool::tools {

/// What a running loop shows to the thread that draws the progress: one writer, read at leisure.
struct alignas(64) load_live {
  std::atomic<std::uint64_t> connected{0};
  std::atomic<std::uint64_t> echoed{0};
  std::atomic<std::uint64_t> faults{0};
};

/// Nanoseconds of the monotonic clock.
[[nodiscard]] std::int64_t monotonic_ns() noexcept;

/// One thread's share of a load: every `loops`-th connection, one epoll instance.
///
///   release ---> owed ---> encode, send ---> outstanding ---> receive, judge
///   (schedule,   |                ^              |                  |
///    or an echo) '- socket full --'              '--- lost at the end of the drain
///
/// Invariant:     in_flight_ = sum of outstanding() over all connections.
/// Progress:      run() ends at the end of its phase and drain, whatever the server does.
/// Thread-safety: one thread at a time; live() may be read by others.
class load_loop {
 public:
  load_loop(const load_setup& setup, std::uint32_t index);

  /// Sets up all connections, at most `connect_burst` at a time. Throws load_error when one fails
  /// or time runs out. Returns early when `stop` is set.
  void connect(const std::atomic<bool>& stop);

  /// One phase; all loops of a load are given the same start. Ends early when no connection is
  /// left.
  load_tally run(const load_phase& phase, std::int64_t start_ns, const std::atomic<bool>& stop);

  [[nodiscard]] const load_live& live() const noexcept { return live_; }

 private:
  static constexpr std::uint32_t connect_burst = 64;
  static constexpr std::size_t event_batch = 512;
  static constexpr std::size_t scratch_bytes = std::size_t{256} * 1024;
  static constexpr std::uint32_t release_batch = 256;

  struct connection {
    connection(std::uint32_t connection_id, std::uint32_t max_payload)
        : reader(max_payload), id(connection_id) {}
    [[nodiscard]] bool flushed() const noexcept { return unsent_at == unsent.size(); }

    descriptor fd;
    echo_window window;
    load_reader reader;
    std::vector<std::byte> unsent;  // encoded, and the socket was full
    std::size_t unsent_at = 0;
    std::uint64_t owed = 0;   // frames that may be sent now and are not encoded yet
    std::uint64_t round = 0;  // open loop: frames encoded in this phase
    std::uint32_t id;
    bool open = false;  // the connection was made; stays set when it breaks
  };

  [[nodiscard]] std::size_t allowed_connections() const noexcept;
  void start_one(std::size_t index);
  void finish_one(std::size_t index);
  [[noreturn]] void fail_connect(int error) const;

  void begin(const load_phase& phase, std::int64_t start_ns);
  void drain(std::int64_t until_ns);
  load_tally finish();
  void turn(std::int64_t until_ns);
  void release_due(std::int64_t now);
  [[nodiscard]] std::int64_t due_of(std::uint64_t index) const noexcept;
  [[nodiscard]] std::int64_t next_due() const noexcept { return due_of(released_); }
  [[nodiscard]] std::uint64_t overdue() const noexcept;
  [[nodiscard]] bool settled() const noexcept;

  void pump(connection& link);
  [[nodiscard]] std::size_t encode_owed(connection& link, std::int64_t now);
  [[nodiscard]] std::size_t encode_one(connection& link, std::int64_t due,
                                       std::span<std::byte> space);
  [[nodiscard]] bool write(connection& link, std::span<const std::byte> bytes);
  [[nodiscard]] bool flush(connection& link);
  void receive(connection& link, bool ending);
  void accept_echo(connection& link, std::span<const std::byte> payload, std::int64_t now);
  void break_connection(connection& link);

  int wait(std::int64_t timeout_ns);
  void publish() noexcept;

  const load_setup& setup_;
  descriptor epoll_;
  std::vector<connection> connections_;
  std::vector<std::byte> out_;
  std::vector<std::byte> in_;
  std::vector<epoll_event> events_;
  load_live live_;
  std::uint64_t open_ = 0;
  std::uint64_t in_flight_ = 0;

  load_phase phase_;
  open_schedule schedule_;
  load_tally tally_;
  std::int64_t measure_from_ns_ = 0;
  std::int64_t end_ns_ = 0;
  std::uint64_t released_ = 0;  // open loop: frames of this loop that have fallen due
  bool sending_ = false;
};

}  // namespace ringpool::tools
