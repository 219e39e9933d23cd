// SPDX-License-Identifier: MIT
#pragma once

//            multishot receive          whole frames             one send at a time
//   socket --------------------> buffer ==============> queue --------------------> socket
//            (kernel fills it)     |   (a slice: no copy)          (the same bytes)
//                                  '-- half a frame --> decoder: copied, into the smallest buffer
//
// A connection with nothing in flight holds no session and no buffer; its receive is armed, and the
// kernel takes one of the table's buffers when something comes. Where there is none the receive
// ends (ENOBUFS), and the connection waits in line: no more of those that wait are armed than there
// are buffers, in the order they came.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "frame_service.hpp"
#include "room_members.hpp"
#include "rooms.hpp"
#include "serve_options.hpp"
#include "uring_connection.hpp"

namespace ringpool::tools {

struct uring_settings {
  service_limits limits;
  std::uint32_t table_size;   ///< direct descriptors a ring
  unsigned receive_entries;   ///< most buffers the kernel owns, a ring
  std::size_t receive_bytes;  ///< of each
  bool poll_idle;             ///< idle connections have a poll armed, not a receive
  rooms* hall;                ///< nullptr: each frame goes back to its sender
  bool copy_to_members;       ///< a copy for each member, for comparison
  slow_policy slow_members;
  std::uint32_t loop_number;
  std::uint32_t loop_count;
};

/// The connections of one loop and all that happens to them, by io_uring.
///
/// Invariant: a record is free only when nothing of it is armed or under way; open connections =
///   adopted - closed; sessions in use = connections with something in flight.
/// Progress: no call waits.
/// Thread-safety: the loop's thread; counts and sums from any.
/// Cost: a frame whole in one receive: no copy, and two completions.
class uring_service {
 public:
  uring_service(const uring_settings& settings, multi_size_ring_pool& pool);  // throws

  /// From now on: other limits, but for max_connections, and buffers of another set of pools, whose
  /// classes have one for receives. Frames go on in the buffers they have.
  void take_up(const service_limits& limits, slow_policy slow_members, bool copy_to_members,
               multi_size_ring_pool& pool) noexcept;
  /// Takes what the kernel owns of pools that were replaced back from it, where no completion may
  /// still name it; true while there is something left.
  bool renew_buffers() noexcept;

  /// One more ring, to be enabled by the loop's thread; its number. Throws std::system_error.
  std::uint32_t add_table();
  [[nodiscard]] std::uint32_t newest_table() const noexcept { return newest_table_; }
  void remove_table(std::uint32_t number) noexcept;
  /// nullptr where one was removed.
  [[nodiscard]] uring_table* table(std::uint32_t number) noexcept { return tables_[number].get(); }
  [[nodiscard]] std::uint32_t table_end() const noexcept {
    return static_cast<std::uint32_t>(tables_.size());
  }

  /// A connection that the kernel put into slot `slot` of a table.
  void adopt(std::uint32_t number, std::uint32_t slot) noexcept;
  /// A completion of receive, poll or send.
  void complete(std::uint32_t number, uring_operation what, std::uint32_t slot,
                const ::io_uring_cqe& completion) noexcept;
  /// After a batch of completions: gives the kernel buffers, and those that wait a turn.
  void settle_table(std::uint32_t number) noexcept;
  /// The same for every table in which somebody waits: buffers come back on other tables and loops.
  void settle_waiting() noexcept;
  /// Frames that other loops' connections sent to rooms with members here.
  void deliver_mail() noexcept;

  /// The tick that what happens from now on is stamped with.
  void set_tick(std::uint32_t tick) noexcept { tick_ = tick; }
  /// When the loop woke up for what it hands on from now on.
  void set_wake_time(service_timer::clock::time_point now) noexcept {
    counts_.service_time.woke(now);
    now_ = now;
  }
  /// After a batch of completions.
  void look_at_service_time() noexcept { counts_.service_time.handled(counts_.frames.get()); }
  /// Closes what is over its deadline; as frame_service's.
  void on_tick() noexcept;
  /// Gives memory back that the last burst needed, and what was sampled to be written.
  void trim() noexcept;
  /// Frames are sampled: how long they are held, from whole to sent; with rooms, only their sizes.
  void record_with(loop_recorder& recorder) noexcept;
  /// As frame_service's, the three.
  void shed_with(shed_board& board) noexcept { board_ = &board; }
  void shed_if_asked() noexcept;
  void list_holders(holder_list& out) noexcept;
  /// Closes every connection as soon as nothing of it is in flight.
  void begin_drain() noexcept;
  /// Closes the rest, as soon as the kernel has let go of its buffers.
  void end_drain() noexcept;

  [[nodiscard]] bool has_rooms() const noexcept { return settings_.hall != nullptr; }
  [[nodiscard]] bool has_waiting() const noexcept { return waiting_count_ != 0; }
  [[nodiscard]] bool quiet() const noexcept { return open_.get() == 0; }

  [[nodiscard]] std::uint64_t open_count() const noexcept { return open_.get(); }
  [[nodiscard]] std::uint64_t active_count() const noexcept { return sessions_.in_use(); }
  [[nodiscard]] std::uint64_t charged_bytes() const noexcept { return held_.used_bytes(); }
  [[nodiscard]] std::size_t table_bytes() const noexcept;
  [[nodiscard]] std::uint64_t kernel_buffers() const noexcept { return kernel_buffers_.get(); }
  [[nodiscard]] std::uint64_t ring_count() const noexcept { return ring_count_.get(); }
  [[nodiscard]] const service_counts& counts() const noexcept { return counts_; }

 private:
  /// A connection and where it is.
  struct place {
    uring_table* home;
    std::uint32_t number;  // of the table
    std::uint32_t slot;
    uring_connection* record;
  };
  [[nodiscard]] place at(std::uint32_t number, std::uint32_t slot) noexcept;
  [[nodiscard]] uring_session* session_of(const uring_connection& record) noexcept {
    return record.active == 0 ? nullptr : &sessions_[record.active - 1];
  }
  [[nodiscard]] uring_session* need_session(const place& peer) noexcept;
  void release_session(uring_connection& record) noexcept;

  void on_receive(const place& peer, const ::io_uring_cqe& completion) noexcept;
  void on_direct(const place& peer, int result) noexcept;
  void no_input(const place& peer, int result) noexcept;
  void on_poll(const place& peer, int result) noexcept;
  void on_send(const place& peer, int result) noexcept;
  void end_of_input(const place& peer) noexcept;

  [[nodiscard]] ::io_uring_sqe* entry(const place& peer, uring_operation what) noexcept;
  void arm(const place& peer, bool expecting) noexcept;
  [[nodiscard]] bool arm_direct(const place& peer) noexcept;
  [[nodiscard]] bool cancel(const place& peer, uring_operation what) noexcept;
  void stop_receiving(const place& peer) noexcept;
  void send(const place& peer) noexcept;
  void settle(const place& peer) noexcept;
  void finish(const place& peer) noexcept;
  void condemn(uring_connection& record, close_reason reason, bool gracefully = false) noexcept;
  void wait_for_buffer(const place& peer) noexcept;
  void wait_again(const place& peer) noexcept;
  void feel_pressure() noexcept;
  [[nodiscard]] unsigned allowance(const uring_table& home) const noexcept;
  void serve_waiting(std::uint32_t number) noexcept;
  void serve_stuck(std::uint32_t number) noexcept;
  [[nodiscard]] bool take_turn(const place& peer) noexcept;
  void adjust_target(uring_table& home) noexcept;
  void set_kernel_limit(const multi_size_ring_pool& pool) noexcept;
  void count_kernel_buffers(uring_table& home) noexcept;

  // uring_frames.cpp
  void input(const place& peer, shared_buffer&& bytes) noexcept;
  [[nodiscard]] bool feed(const place& peer, shared_buffer& bytes, std::size_t& at) noexcept;
  [[nodiscard]] bool make_do(const place& peer, shared_buffer& bytes, std::size_t& at) noexcept;
  [[nodiscard]] std::size_t whole_frames(std::span<const std::byte> bytes) const noexcept;
  void park(const place& peer, shared_buffer&& bytes) noexcept;
  void retry_parked(const place& peer) noexcept;
  void count_frame(const place& peer, std::size_t length, std::size_t end) noexcept;
  void sample_frame(const place& peer, std::size_t length, std::size_t end) noexcept;
  void end_samples(uring_connection& record, std::uint64_t sent_bytes) noexcept;
  void pass_on(const place& peer, shared_buffer&& frames) noexcept;
  void pass_on_frame(const place& peer, buffer&& payload) noexcept;
  void pass_on_parts(const place& peer, std::size_t length, buffer&& first,
                     shared_buffer&& second) noexcept;
  [[nodiscard]] bool begin_to_queue(const place& peer) noexcept;
  bool enqueue(const place& peer, shared_buffer&& bytes, bool add_header,
               std::size_t held_bytes) noexcept;
  void to_room(const place& peer, room_frame&& frame) noexcept;
  void enter_room(const place& peer, room_frame&& name) noexcept;
  void leave_room(const place& peer) noexcept;
  void fan_out(std::uint32_t room, const room_frame& frame,
               const uring_connection* sender) noexcept;
  void deliver(const place& member, std::uint32_t room, const room_frame& frame) noexcept;
  [[nodiscard]] bool make_room_in(std::uint32_t room, const place& member) noexcept;
  [[nodiscard]] account* room_budget(const place& peer) const noexcept;
  [[nodiscard]] shared_buffer copy_of(std::span<const std::byte> bytes) noexcept;

  // uring_upkeep.cpp
  [[nodiscard]] std::uint64_t queue_limit() const noexcept;
  [[nodiscard]] loop_account::settings budget_settings() noexcept;
  void charge_input(uring_session& active) noexcept;
  [[nodiscard]] close_reason overdue(const uring_connection& record) noexcept;
  void ask_again(const place& peer, uring_session& active) noexcept;
  void close_overdue(const place& peer) noexcept;
  template <class Action>
  void for_each_open(Action action) noexcept;

  uring_settings settings_;
  pool_source source_;
  loop_account held_{loop_account::settings{}};
  slab<uring_session> sessions_;
  slab<shared_chunk> chunks_;
  std::vector<std::unique_ptr<uring_table>> tables_;
  room_members members_;
  std::vector<room_mail> mail_;
  std::vector<room_member> doomed_;     // members to be closed after a frame's round
  std::vector<account*> room_budgets_;  // by number; nullptr: none
  pressure_gauge pressure_;
  pressure_gauge::clock::time_point now_{};
  shed_board* board_ = nullptr;
  service_counts counts_;
  tally open_;
  tally record_bytes_;
  tally kernel_buffers_;
  tally ring_count_;
  std::uint64_t kernel_limit_ = 1;  // buffers that receives to come may have, in all tables
  std::uint32_t waiting_count_ = 0;
  std::uint64_t until_sample_ = ~std::uint64_t{0};  // frames, the next one included
  loop_recorder* recorder_ = nullptr;
  std::uint32_t newest_table_ = 0;
  std::uint32_t tick_ = 0;
  bool draining_ = false;
  bool room_was_full_ = false;  // in this frame's round
  bool outdated_ = false;       // some table is
};

}  // namespace ringpool::tools
