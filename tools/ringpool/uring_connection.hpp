// SPDX-License-Identifier: MIT
#pragma once

//   uring_table: one io_uring, its direct descriptors, and a record (12 bytes) for each of them
//
//   record --active--> session (while something is in flight)
//                        decoder: half a frame and its buffer
//                        parked:  input that waits for a buffer, where it was received
//                        queue:   frames the peer has yet to read, where they were received

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <ringpool/adapters/uring.hpp>
#include <ringpool/codec/frame.hpp>
#include <ringpool/multi_size_ring_pool.hpp>

#include "budget.hpp"
#include "connection.hpp"
#include "descriptor.hpp"
#include "frame_queue.hpp"
#include "rooms.hpp"
#include "zero_pages.hpp"

namespace ringpool::tools {

using shared_queue = frame_queue<shared_buffer>;
using shared_chunk = shared_queue::chunk;
static_assert(sizeof(shared_chunk) == 256);

/// A set of pools with all that it can serve from, as a source of try_alloc.
class pool_source {
 public:
  explicit pool_source(multi_size_ring_pool& pool) noexcept : pool_(&pool) {}
  void serve_from(multi_size_ring_pool& pool) noexcept { pool_ = &pool; }
  [[nodiscard]] bool is(const multi_size_ring_pool& pool) const noexcept { return pool_ == &pool; }
  [[nodiscard]] buffer try_alloc(std::size_t size) noexcept {
    return pool_->alloc(size, std::nothrow);
  }

 private:
  multi_size_ring_pool* pool_;
};

/// What a connection needs only while part of a frame, or a frame to be sent, is here.
struct uring_session {
  uring_session(std::uint32_t table_number, std::uint32_t slot_number,
                std::uint32_t max_frame_bytes, slab<shared_chunk>& chunks,
                const loop_account::settings& budget_settings) noexcept
      : budget(budget_settings),
        decoder(max_frame_bytes),
        queue(chunks, &budget),
        parked(chunks),
        table(table_number),
        slot(slot_number) {}

  connection_budget budget;     // first: it outlives what is charged to it
  std::size_t input_bytes = 0;  // charged for the half frame and what is parked
  basic_frame_decoder<buffer> decoder;
  shared_queue queue;
  shared_queue parked;
  std::uint32_t table;
  std::uint32_t slot;
  std::uint32_t frame_tick = 0;  // when the half frame began
  std::uint32_t send_tick = 0;   // when the peer last took something, or the queue began
  std::uint32_t input_tick = 0;  // when something last came
  bool asked = false;            // the receive was armed anew since then
  std::uint32_t sampled = 0;     // frames in the queue whose end is to be recorded
  std::uint64_t queued_bytes = 0;
  std::uint64_t sent_bytes = 0;
  // Of the send under way: the kernel reads them when it is submitted.
  ::msghdr message;
  std::array<::iovec, 16> parts;
};

/// What a completion is of; with the slot, its user_data.
enum class uring_operation : std::uint8_t {
  none,     // nothing to be done: cancellations, closes
  receive,  // into a buffer that the kernel takes from the table's
  poll,     // before a receive, with idle_mode::poll
  direct,   // a receive into the buffer that has the frame's first part
  send,
  accept,
  mailbox,
};

[[nodiscard]] constexpr std::uint64_t completion_key(uring_operation what,
                                                     std::uint32_t slot = 0) noexcept {
  return (static_cast<std::uint64_t>(what) << 32) | slot;
}

/// What every open socket costs beside the kernel's part. All bits zero: none.
struct uring_connection {
  std::uint32_t active = 0;     // number of the session + 1; 0: nothing in flight
  std::uint32_t last_tick = 0;  // end of the last activity
  close_reason fate;
  uring_operation armed;  // what waits for input; none: nothing
  bool open : 1;
  bool sending : 1;     // a send is under way
  bool cancelling : 1;  // the receive has been told to end
  bool slowed : 1;      // not received from, since its queue is above the high water mark
  bool waiting : 1;     // for a buffer, in the table's list
  bool ending : 1;      // nothing more is decoded; closed when its queue is empty
  bool aborting : 1;    // what is under way has been told to end
};
static_assert(sizeof(uring_connection) == 12);

/// One ring and the connections in its table of direct descriptors.
class uring_table {
 public:
  struct sizes {
    std::uint32_t connections;
    unsigned completion_entries;
    unsigned receive_entries;
    std::size_t receive_bytes;
    bool with_seats;  ///< its connections are in rooms
  };

  uring_table(pool_source& source, const sizes& size)
      : ring({.submission_entries = 256,
              .completion_entries = size.completion_entries,
              .direct_descriptors = size.connections}),
        receives(ring, source,
                 {.entries = size.receive_entries, .buffer_bytes = size.receive_bytes}),
        records(size.connections),
        waiting(size.connections),
        stuck(size.connections),
        seats(size.with_seats ? std::make_unique<zero_array<room_seat>>(size.connections)
                              : nullptr) {}

  [[nodiscard]] std::uint32_t free_count() const noexcept { return records.size() - open; }

  descriptor signal;  // an eventfd, where the loop has several tables
  uring::ring ring;
  uring::receive_buffers<pool_source> receives;
  zero_array<uring_connection> records;
  number_fifo waiting;  // connections that are to be received from once there are buffers
  number_fifo stuck;    // likewise, and part of a frame is here
  std::unique_ptr<zero_array<room_seat>> seats;
  std::uint32_t open = 0;        // with those that are being closed
  std::uint32_t end = 0;         // records from here on are untouched
  unsigned target = 0;           // buffers the kernel should own
  unsigned counted_buffers = 0;  // that the kernel owned when they were last counted
  unsigned used_in_tick = 0;     // buffers that were filled since the last tick
  std::uint32_t idle_cursor = 0;
  bool outdated = false;  // the kernel may own buffers of pools that were replaced
};

}  // namespace ringpool::tools
