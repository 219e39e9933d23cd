// SPDX-License-Identifier: MIT
#pragma once

//            recv                  decode                        flush (sendmsg)
//   socket --------> scratch area --------> session: decoder ==> queue --------> socket
//                    (64 KiB a loop)        (one payload buffer moves along, never copied)
//
// A connection with nothing in flight holds no session and no buffer. Input that was read and
// could not be decoded (no buffer, or the queue is full) is parked: the loop has a second area to
// go on with. While it is parked, other connections are read with MSG_PEEK and only the bytes that
// were decoded are then taken from the socket, so that one parked area is always enough.
//
// Out of buffers cannot last: a half frame waits only for a larger size than it holds, so there is
// no circle of waiters, and what is held by peers that do not send or read has deadlines.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "buffers.hpp"
#include "connection.hpp"
#include "metrics/frame_sizes.hpp"
#include "metrics/service_time.hpp"
#include "shed_board.hpp"
#include "slab.hpp"

namespace ringpool::tools {

/// Times in ticks of the loop; 0: no limit.
struct service_limits {
  std::uint32_t max_connections;
  std::uint32_t max_frame_bytes;
  std::size_t send_queue_bytes;
  std::size_t connection_budget_bytes;  // 0: none
  std::size_t piece_bytes;              // of frames that no one buffer can hold; 0: there are none
  bool shed_largest;
  std::uint32_t send_ticks;
  std::uint32_t frame_ticks;
  std::uint32_t idle_ticks;
};

/// What a connection may hold without being a hog.
[[nodiscard]] std::size_t fair_bytes(const service_limits& limits) noexcept;

/// Written by the loop, read by anyone.
struct service_counts {
  tally frames;
  tally bytes;  // of payload
  frame_sizes sizes;
  tally accepted;
  tally refused;  // no record or no memory in the kernel for it
  tally slowed;
  tally starved;
  tally over_limit;  // charges that a budget refused
  service_timer service_time;
  tally room_deliveries;  // frames queued for members of rooms
  tally room_drops;       // and not queued: a slow member, or no buffer
  std::array<tally, static_cast<std::size_t>(close_reason::count)> closed;
  std::array<tally, 4> protocol_errors;  // by frame_errc; [0]: the peer closed inside a frame

  void add_frame(std::size_t size) noexcept {
    frames.add();
    bytes.add(size);
    sizes.add(size);
  }
};

/// The connections of one loop and all that happens to them.
///
/// Invariant: open connections = adopted - closed; sessions in use = connections with something in
///   flight; a connection above the high water mark, or without a buffer, is not read.
/// Progress: no call waits. A call that serves one connection reads at most 64 KiB of it.
/// Thread-safety: the loop's thread; counts and sums from any.
/// Cost: a frame whole in one read: two system calls at most, shared with its neighbours.
class frame_service {
 public:
  static constexpr std::size_t scratch_bytes = 65536;

  frame_service(const service_limits& limits, loop_buffers& buffers);  // throws std::system_error

  /// From now on: other limits, but for max_connections, and buffers from elsewhere. Half frames go
  /// on in the buffers they have.
  void take_up(const service_limits& limits, loop_buffers& buffers) noexcept;

  /// Takes ownership of a connected non-blocking socket; closes it when it cannot be served.
  void adopt(int fd, int epoll_fd) noexcept;

  /// An event of epoll: edge-triggered, all kinds, registered by adopt() with its key.
  void on_events(std::uint64_t key, std::uint32_t events) noexcept;

  /// Serves every connection once that had more to read than one scratch area.
  void serve_ready() noexcept;
  /// Gives every connection that waits for a buffer a try, in the order they began to wait.
  void serve_starved() noexcept;
  /// The tick that what happens from now on is stamped with.
  void set_tick(std::uint32_t tick) noexcept { tick_ = tick; }
  /// When the loop woke up for what it hands on from now on.
  void set_wake_time(service_timer::clock::time_point now) noexcept {
    counts_.service_time.woke(now);
    now_ = now;
  }
  /// Closes what is over its deadline; called once a tick. Looks at every session and at a quarter
  /// of the table: a frame or send deadline is met within 2 ticks, an idle one within 6.
  void check_deadlines() noexcept;
  /// Gives memory back that the last burst needed, and what was sampled to be written.
  void trim() noexcept;
  void record_with(loop_recorder& recorder) noexcept { buffers_->record_with(&recorder); }
  /// Where to say that buffers are short, and be told. Before it serves.
  void shed_with(shed_board& board, unsigned loop) noexcept {
    board_ = &board;
    loop_ = loop;
  }
  /// Closes who holds most, where others ask for it and it is a hog.
  void shed_if_asked() noexcept;
  void list_holders(holder_list& out) noexcept;

  /// Closes every connection as soon as nothing of it is in flight.
  void begin_drain() noexcept;
  /// Closes the rest.
  void end_drain() noexcept;

  [[nodiscard]] bool has_ready() const noexcept { return ready_.count != 0; }
  [[nodiscard]] bool has_starved() const noexcept { return starved_.count != 0; }
  [[nodiscard]] bool quiet() const noexcept {
    return records_.end() == 0 && sessions_.end() == 0 && chunks_.end() == 0 &&
           large_frames_.end() == 0;
  }

  [[nodiscard]] std::uint64_t open_count() const noexcept { return open_.get(); }
  [[nodiscard]] std::uint64_t active_count() const noexcept { return sessions_.in_use(); }
  /// Bytes of buffers that connections hold.
  [[nodiscard]] std::uint64_t charged_bytes() const noexcept { return held_.used_bytes(); }
  [[nodiscard]] std::size_t table_bytes() const noexcept;
  [[nodiscard]] const service_counts& counts() const noexcept { return counts_; }

 private:
  using scratch_area = std::array<std::byte, scratch_bytes>;

  struct parked_input {
    std::uint32_t slot = 0;
    std::span<const std::byte> bytes;  // empty: nothing is parked
  };

  [[nodiscard]] bool register_socket(connection& peer, int epoll_fd) noexcept;
  void serve(connection& peer) noexcept;
  void settle(connection& peer) noexcept;
  void close(connection& peer) noexcept;
  void condemn(connection& peer, close_reason reason) noexcept;

  [[nodiscard]] bool is_open(const connection* peer) const noexcept {
    return peer != nullptr && peer->fd >= 0;
  }
  [[nodiscard]] bool may_read(const connection& peer) const noexcept;
  void receive(connection& peer) noexcept;
  void discard_peeked(connection& peer, std::size_t bytes) noexcept;
  void receive_failed(connection& peer) noexcept;
  void end_of_input(connection& peer) noexcept;
  void park(const connection& peer, std::span<const std::byte> rest) noexcept;
  [[nodiscard]] bool owns_parked(const connection& peer) const noexcept;

  [[nodiscard]] std::size_t decode(connection& peer, std::span<const std::byte> input) noexcept;
  [[nodiscard]] bool turns_large(const session& active) const noexcept;
  [[nodiscard]] bool begin_large(session& active) noexcept;
  template <class Source>
  [[nodiscard]] decode_status decode_large(session& active, Source& source,
                                           std::span<const std::byte>& input) noexcept;
  void enqueue_large(connection& peer) noexcept;
  void enqueue_frame(connection& peer) noexcept;
  [[nodiscard]] bool has_queue_room(connection& peer) noexcept;
  [[nodiscard]] bool sending_frees_buffers(connection& peer) noexcept;
  void wait_for_buffer(connection& peer, bool over_budget,
                       std::span<const std::byte> input) noexcept;
  void starve(connection& peer, std::size_t wanted_size) noexcept;
  [[nodiscard]] loop_account::settings budget_settings() noexcept;
  void reject(connection& peer) noexcept;
  void send(connection& peer) noexcept;

  [[nodiscard]] close_reason overdue(const connection& peer) const noexcept;
  void close_overdue(connection* peer) noexcept;
  void release_session(connection& peer) noexcept;

  [[nodiscard]] std::uint32_t slot_of(const connection& peer) const noexcept {
    return records_.index_of(peer);
  }
  void append(connection_list& list, connection& peer) noexcept;
  [[nodiscard]] connection* take_first(connection_list& list) noexcept;

  service_limits limits_;
  loop_buffers* buffers_;
  loop_account held_{loop_account::settings{}};
  slab<connection> records_;
  slab<session> sessions_;
  slab<send_chunk> chunks_;
  slab<large_frame> large_frames_;
  std::unique_ptr<std::array<scratch_area, 2>> areas_;
  scratch_area* scratch_;
  scratch_area* spare_;
  parked_input parked_;
  connection_list ready_;
  connection_list starved_;
  service_counts counts_;
  tally open_;
  pressure_gauge pressure_;
  pressure_gauge::clock::time_point now_{};
  shed_board* board_ = nullptr;
  unsigned loop_ = 0;
  std::uint32_t tick_ = 0;
  std::uint32_t next_generation_ = 1;
  std::uint32_t idle_cursor_ = 0;
  bool draining_ = false;
};

}  // namespace ringpool::tools
