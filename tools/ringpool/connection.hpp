// SPDX-License-Identifier: MIT
#pragma once

//   connection (32 bytes, one an open socket) --active--> session (while something is in flight)
//                                                          decoder: half a frame and its buffer
//                                                          queue:   frames the peer has yet to read
//                                                          budget:  is charged with all of that

#include <cstdint>
#include <ringpool/codec/frame.hpp>

#include "budget.hpp"
#include "buffers.hpp"
#include "send_queue.hpp"

namespace ringpool::tools {

/// Why a connection ended.
enum class close_reason : std::uint8_t {
  none,
  peer,           ///< the peer closed between frames and has all its echoes
  reset,          ///< the socket reported an error
  protocol,       ///< a bad length, or the peer closed inside a frame
  idle_timeout,   ///< nothing in flight for too long
  frame_timeout,  ///< half a frame for too long
  send_timeout,   ///< the peer read nothing for too long while frames waited for it
  drained,        ///< shutdown, with nothing in flight
  slow,           ///< a member of a room that did not read what the others said
  drain_timeout,  ///< shutdown, with something in flight when the time was over
  shed,           ///< buffers were short, and it held most of them
  count
};

/// A frame that no one buffer can hold, as far as it came.
///
///   parts: | first buffer, with the header | piece | piece | ...    piece: is being filled
struct large_frame {
  large_frame(std::uint32_t frame_length, std::uint32_t missing_bytes, slab<send_chunk>& chunks,
              connection_budget& payer) noexcept
      : parts(chunks, &payer), length(frame_length), missing(missing_bytes) {}

  send_queue parts;
  loop_buffer piece;
  std::uint32_t filled = 0;  // of the piece
  std::uint32_t length;
  std::uint32_t missing;
};

/// What a connection needs only while part of a frame, or a frame to be sent, is here.
struct session {
  session(std::uint32_t slot_number, std::uint32_t max_frame_bytes, slab<send_chunk>& chunks,
          const loop_account::settings& budget_settings) noexcept
      : budget(budget_settings),
        decoder(max_frame_bytes),
        queue(chunks, &budget),
        slot(slot_number) {}

  /// Nothing of a frame is here that is yet to be completed.
  [[nodiscard]] bool between_frames() const noexcept {
    return decoder.between_frames() && large == nullptr;
  }

  connection_budget budget;  // first: it outlives what is charged to it
  basic_frame_decoder<loop_buffer> decoder;
  send_queue queue;
  large_frame* large = nullptr;
  std::uint32_t slot;             // of the connection
  std::uint32_t frame_tick = 0;   // when the half frame began
  std::uint32_t send_tick = 0;    // when the peer last took something, or the queue began
  std::uint32_t wanted_size = 0;  // the buffer it waits for
};
static_assert(sizeof(session) - sizeof(connection_budget) <= 128, "and an account");

/// What every open socket costs. Two to a cache line; all of one loop.
struct connection {
  int fd = -1;  // -1: closed, and still in a list of the loop
  std::uint32_t generation = 0;
  session* active = nullptr;
  std::uint32_t last_tick = 0;  // end of the last activity
  std::uint32_t next = 0;       // in the loop's list of ready or of starved connections
  bool readable : 1 = false;    // the socket may have more: the kernel tells of changes only
  bool writable : 1 = false;
  bool hangup : 1 = false;   // the peer sent all it will send; the end is yet to be read
  bool slowed : 1 = false;   // not read, since its queue is above the high water mark
  bool starved : 1 = false;  // not read, since there is no buffer
  bool ending : 1 = false;   // never read again; closed when its queue is empty
  bool listed : 1 = false;   // in a list
  close_reason fate = close_reason::none;
};
static_assert(sizeof(connection) <= 48, "an idle connection costs at most 64 bytes in all");

/// First in, first out, threaded through the connections by slot number; one list a connection.
struct connection_list {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::uint32_t count = 0;
};

}  // namespace ringpool::tools
