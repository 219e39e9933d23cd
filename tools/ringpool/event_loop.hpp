// SPDX-License-Identifier: MIT
#pragma once

//   loop 0: listener --accept--> the loop with the fewest connections
//                                   |  a descriptor, written to that loop's mailbox (a pipe)
//   loop k: epoll <-----------------+
//             |--> frame_service: connections, sessions, buffers in flight
//             '--> one tick for all deadlines
//
// Edge-triggered: a socket is registered once, for everything, and never changed; what is not read
// on purpose (no buffer, slow reader) stays readable in its record, so that slowing a connection
// costs no system call and a sleeping loop is not woken again and again for it.
// One acceptor rather than SO_REUSEPORT: loads stay even, a taken port is an error, and no
// connection is lost with a listening socket that closes. A pipe carries what two loops exchange;
// they share no memory but the pool and the counts.

#include <cstdint>
#include <vector>

#include "buffers.hpp"
#include "descriptor.hpp"
#include "frame_service.hpp"
#include "listener.hpp"
#include "server_loop.hpp"

namespace ringpool::tools {

/// One thread's epoll and what it serves.
///
/// Invariant: every open connection is registered with epoll_, for everything, and never changed.
/// Progress: run() waits in epoll_wait alone. With starved connections it wakes every millisecond,
///   since a buffer may come back on another loop; with nothing to time or to trim, and no
///   listener, it sleeps without a limit.
/// Thread-safety: as server_loop's.
/// Cost: one epoll_wait for up to 256 events.
class event_loop final : public server_loop {
 public:
  /// `number`: from 0, of this loop. Throws std::system_error.
  event_loop(const loop_settings& settings, buffer_bank& bank, unsigned number);

  /// Makes this the loop that accepts, for all of `loops` (itself among them). Before run().
  void accept_from(listener& source, std::vector<event_loop*> loops);

  void run() noexcept override;
  [[nodiscard]] loop_totals totals() const noexcept override;
  void record_with(loop_recorder& recorder) noexcept override { service_.record_with(recorder); }
  void shed_with(shed_board& board, unsigned number) noexcept override {
    service_.shed_with(board, number);
  }

 private:
  void dispatch(std::uint64_t key, std::uint32_t events) noexcept;
  void on_message(int message) noexcept override { service_.adopt(message, epoll_.get()); }
  void accept_some() noexcept;
  void listen_for_connections(bool on) noexcept;
  void place(int fd) noexcept;
  [[nodiscard]] std::uint64_t load() const noexcept;
  void on_tick() noexcept;
  void begin_drain() noexcept override;
  void list_holders(holder_list& out) noexcept override { service_.list_holders(out); }
  void take_up(const running_settings& settings) noexcept override;
  [[nodiscard]] bool finished() const noexcept;
  [[nodiscard]] int wait_limit_ms() const noexcept;

  buffer_bank* bank_;
  unsigned number_;
  frame_service service_;
  descriptor epoll_;
  listener* listener_ = nullptr;
  std::vector<event_loop*> loops_;
  bool listening_ = false;
  std::uint64_t handed_ = 0;  // the acceptor's: sockets it ever placed here
};

}  // namespace ringpool::tools
