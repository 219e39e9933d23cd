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

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include "buffers.hpp"
#include "descriptor.hpp"
#include "frame_service.hpp"
#include "listener.hpp"

namespace ringpool::tools {

struct loop_settings {
  service_limits limits;
  std::chrono::milliseconds tick;
  std::chrono::milliseconds drain_timeout;
};

/// One thread's epoll and what it serves.
///
/// Invariant: what a loop owns is touched by its thread alone; see the members marked otherwise.
/// Progress: run() waits in epoll_wait alone. With starved connections it wakes every millisecond,
///   since a buffer may come back on another loop; with nothing to time or to trim, and no
///   listener, it sleeps without a limit.
/// Thread-safety: run() on one thread; hand_over, stop and the counts from any.
/// Cost: one epoll_wait for up to 256 events.
class event_loop {
 public:
  event_loop(const loop_settings& settings, buffer_bank& bank);  // throws std::system_error
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  /// Makes this the loop that accepts, for all of `loops` (itself among them). Before run().
  void accept_from(listener& source, std::span<event_loop* const> loops);

  /// Until stop() and the drain that follows it.
  void run() noexcept;

  /// Gives a connected socket to this loop; false when its mailbox is full.
  [[nodiscard]] bool hand_over(int fd) noexcept;
  /// Drain and end; called again: end at once.
  void stop() noexcept;

  /// True once run() is about to return.
  [[nodiscard]] bool ended() const noexcept {
    return phase_.load(std::memory_order_relaxed) == phase::ended;
  }

  [[nodiscard]] const frame_service& service() const noexcept { return service_; }
  [[nodiscard]] std::uint64_t turned_away() const noexcept { return turned_away_.get(); }
  /// Calls of operator new on this loop's thread since it began to serve.
  [[nodiscard]] std::uint64_t heap_allocations() const noexcept { return heap_allocations_.get(); }

 private:
  using clock = std::chrono::steady_clock;
  enum class phase : int { serving, draining, ending, ended };

  void dispatch(std::uint64_t key, std::uint32_t events) noexcept;
  void read_mailbox() noexcept;
  void accept_some() noexcept;
  void listen_for_connections(bool on) noexcept;
  void place(int fd) noexcept;
  [[nodiscard]] std::uint64_t load() const noexcept;
  void update_clock() noexcept;
  void on_tick() noexcept;
  void begin_drain() noexcept;
  [[nodiscard]] bool finished() const noexcept;
  [[nodiscard]] int wait_limit_ms() const noexcept;

  loop_settings settings_;
  buffer_bank& bank_;
  frame_service service_;
  descriptor epoll_;
  descriptor mail_out_;
  descriptor mail_in_;
  listener* listener_ = nullptr;
  std::span<event_loop* const> loops_;
  clock::time_point start_;
  clock::time_point now_;
  clock::time_point next_trim_;
  clock::time_point drain_end_;
  std::uint32_t tick_ = 0;
  bool listening_ = false;
  bool draining_ = false;
  tally turned_away_;
  tally heap_allocations_;
  std::uint64_t handed_ = 0;                  // the acceptor's: sockets it ever placed here
  std::atomic<phase> phase_{phase::serving};  // any thread
};

}  // namespace ringpool::tools
