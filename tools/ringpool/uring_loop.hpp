// SPDX-License-Identifier: MIT
#pragma once

//   the loop whose turn it is: multishot accept --> a slot of a table that has free ones
//        |  it has more connections than another loop
//        '--> the turn goes to that one, by its mailbox
//
//   one table:   a sleeping loop waits in that ring, which also watches the mailbox
//   several:     it waits in epoll for the rings' eventfds
//
// A table has at most as many direct descriptors as the process may have descriptors
// (RLIMIT_NOFILE): a loop makes one table after another, and lets go of those that became empty.

#include <cstdint>
#include <optional>
#include <vector>

#include "listener.hpp"
#include "server_loop.hpp"
#include "uring_service.hpp"

namespace ringpool::tools {

/// One thread's io_urings and what it serves.
///
/// Invariant: at most one loop has the turn to accept; accepts under way <= free slots of their
///   table, however many peers wait.
/// Progress: run() waits in io_uring_enter or epoll_wait alone. With connections that wait for
///   buffers it wakes every millisecond, since a buffer may come back on another loop.
/// Thread-safety: as server_loop's.
/// Cost: with one table, one system call for a batch of completions and what they led to.
class uring_loop final : public server_loop {
 public:
  /// `pool` and `source` outlive it.
  uring_loop(const loop_settings& settings, const uring_settings& service,
             multi_size_ring_pool& pool, listener& source);  // throws std::system_error

  /// All loops of the server, this among them; before run(). `first`: its turn to accept.
  void accept_with(const std::vector<uring_loop*>& loops, bool first);

  void run() noexcept override;
  [[nodiscard]] loop_totals totals() const noexcept override;
  void record_with(loop_recorder& recorder) noexcept override { service_.record_with(recorder); }
  void shed_with(shed_board& board, unsigned /*number*/) noexcept override {
    service_.shed_with(board);
  }

 private:
  static constexpr int turn_message = -2;

  void on_message(int message) noexcept override;
  void begin_drain() noexcept override;
  void list_holders(holder_list& out) noexcept override { service_.list_holders(out); }
  void take_up(const running_settings& settings) noexcept override;
  [[nodiscard]] bool finished() const noexcept;

  void wait() noexcept;
  void reap(std::uint32_t number) noexcept;
  [[nodiscard]] unsigned take_completions(std::uint32_t number, unsigned left) noexcept;
  void dispatch(std::uint32_t number, const ::io_uring_cqe& completion) noexcept;
  void submit_prepared() noexcept;
  void submit_table(std::uint32_t number) noexcept;
  void on_tick() noexcept;
  [[nodiscard]] int wait_limit_ms() const noexcept;
  void watch_mailbox() noexcept;

  void on_accept(std::uint32_t number, const ::io_uring_cqe& completion) noexcept;
  void keep_accepting() noexcept;
  void stop_accepting() noexcept;
  void pass_turn() noexcept;
  [[nodiscard]] uring_loop* least_loaded() const noexcept;
  [[nodiscard]] bool find_table() noexcept;
  void add_table();
  void watch_table(std::uint32_t number);
  [[nodiscard]] bool grow() noexcept;
  void turn_away() noexcept;
  void drop_empty_tables() noexcept;

  uring_service service_;
  listener& listener_;
  std::vector<uring_loop*> loops_;
  descriptor epoll_;
  std::vector<std::uint32_t> ready_;       // tables to look at
  std::vector<std::uint32_t> unfinished_;  // those that had more than one turn's completions
  std::uint32_t table_count_ = 0;
  std::uint32_t accept_table_ = 0;
  std::uint32_t accepts_under_way_ = 0;
  bool multishot_ = false;  // of those under way: one that goes on by itself
  bool stopping_ = false;   // they have been told to end
  bool my_turn_ = false;
  bool paused_ = false;                       // no accepts until the next tick: the last one failed
  bool anywhere_ = false;                     // entries may have been prepared in any table
  std::optional<clock::time_point> cut_off_;  // when the drain was over
};

}  // namespace ringpool::tools
