// SPDX-License-Identifier: MIT
#include "frame_service.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringpool::tools {
namespace {

/// Chunks of send queues one loop can have; a frame beyond them waits as for a buffer.
constexpr std::uint32_t max_chunks = 1U << 20;

/// Frames that a queue gathers before they are sent, in the middle of an input.
constexpr std::uint32_t send_batch_frames = 64;

/// Buffers that are charged before they are taken: to a decoder, which keeps one at a time.
class paid_source {
 public:
  paid_source(loop_buffers& source, connection_budget& payer, std::size_t held_bytes,
              std::size_t piece_bytes) noexcept
      : source_(source), payer_(payer), held_bytes_(held_bytes), piece_bytes_(piece_bytes) {}

  /// A piece of a frame where the whole would be too much for one; a second one it does not get.
  [[nodiscard]] loop_buffer try_alloc(std::size_t size) noexcept {
    if (piece_bytes_ != 0 && size > piece_bytes_) {
      if (held_bytes_ >= piece_bytes_) {
        return {};
      }
      size = piece_bytes_;
    }
    const std::size_t more_bytes = source_.bank().capacity_for(size) - held_bytes_;
    if (!payer_.try_charge(more_bytes)) {
      refused_ = true;
      return {};
    }
    loop_buffer got = source_.try_alloc(size);
    if (!got) {
      payer_.refund(more_bytes);
    }
    return got;
  }
  [[nodiscard]] bool refused() const noexcept { return refused_; }

 private:
  loop_buffers& source_;
  connection_budget& payer_;
  std::size_t held_bytes_;
  std::size_t piece_bytes_;
  bool refused_ = false;
};

/// Makes close() drop what the kernel still holds for a peer that does not read.
void discard_unsent(int fd) noexcept {
  const ::linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

frame_service::frame_service(const service_limits& limits, loop_buffers& buffers)
    : limits_(limits),
      buffers_(&buffers),
      records_(limits.max_connections),
      sessions_(limits.max_connections),
      chunks_(max_chunks),
      large_frames_(limits.max_connections),
      areas_(std::make_unique_for_overwrite<std::array<scratch_area, 2>>()),
      scratch_(&(*areas_)[0]),
      spare_(&(*areas_)[1]) {}

void frame_service::take_up(const service_limits& limits, loop_buffers& buffers) noexcept {
  limits_ = limits;
  buffers.record_with(buffers_->recorder());
  buffers_ = &buffers;
}

// --- connections come and go ---

void frame_service::adopt(int fd, int epoll_fd) noexcept {
  connection* peer = records_.acquire();
  if (peer == nullptr) {
    counts_.refused.add();
    ::close(fd);
    return;
  }
  peer->fd = fd;
  peer->generation = next_generation_++;
  peer->last_tick = tick_;
  if (!register_socket(*peer, epoll_fd)) {
    counts_.refused.add();
    ::close(fd);
    records_.release(*peer);
    return;
  }
  counts_.accepted.add();
  open_.add();
}

bool frame_service::register_socket(connection& peer, int epoll_fd) noexcept {
  ::epoll_event interest{};
  interest.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  interest.data.u64 = (std::uint64_t{peer.generation} << 32) | slot_of(peer);
  return ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer.fd, &interest) == 0;
}

void frame_service::close(connection& peer) noexcept {
  counts_.closed[static_cast<std::size_t>(peer.fate)].add();
  if (peer.fate == close_reason::send_timeout || peer.fate == close_reason::drain_timeout ||
      peer.fate == close_reason::shed) {
    discard_unsent(peer.fd);
  }
  if (owns_parked(peer)) {
    parked_.bytes = {};
  }
  if (peer.active != nullptr) {
    release_session(peer);
  }
  ::close(peer.fd);
  peer.fd = -1;
  open_.set(open_.get() - 1);
  if (!peer.listed) {
    records_.release(peer);  // otherwise whoever takes it off the list does this
  }
}

void frame_service::condemn(connection& peer, close_reason reason) noexcept {
  peer.fate = reason;
  peer.ending = false;  // at once, whatever is queued
}

void frame_service::release_session(connection& peer) noexcept {
  if (peer.active->large != nullptr) {
    large_frames_.release(*peer.active->large);
  }
  sessions_.release(*peer.active);
  peer.active = nullptr;
  peer.last_tick = tick_;
}

// --- one connection's turn ---

void frame_service::on_events(std::uint64_t key, std::uint32_t events) noexcept {
  connection* peer = records_.find(static_cast<std::uint32_t>(key));
  if (!is_open(peer) || peer->generation != key >> 32) {
    return;  // closed by an earlier event of the same batch
  }
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    condemn(*peer, close_reason::reset);
  }
  peer->readable |= (events & (EPOLLIN | EPOLLRDHUP)) != 0;
  peer->writable |= (events & EPOLLOUT) != 0;
  peer->hangup |= (events & EPOLLRDHUP) != 0;
  serve(*peer);
}

void frame_service::serve(connection& peer) noexcept {
  send(peer);
  if (may_read(peer)) {
    receive(peer);
    send(peer);
    counts_.service_time.handled(counts_.frames.get());
  }
  settle(peer);
}

/// Decides what a connection is after its turn: closed, idle, waiting, or ready for another.
void frame_service::settle(connection& peer) noexcept {
  session* active = peer.active;
  const bool flushed = active == nullptr || active->queue.empty();
  if (peer.fate != close_reason::none && (flushed || !peer.ending)) {
    close(peer);
    return;
  }
  if (active != nullptr && flushed) {
    active->queue.clear();  // the chunk that was made ready
    if (active->between_frames() && !peer.starved && !owns_parked(peer)) {
      release_session(peer);
    }
  }
  if (draining_ && peer.active == nullptr && !peer.readable) {
    condemn(peer, close_reason::drained);
    close(peer);
    return;
  }
  if (may_read(peer)) {
    append(ready_, peer);
  }
}

void frame_service::send(connection& peer) noexcept {
  session* active = peer.active;
  if (active == nullptr || active->queue.empty() || !peer.writable) {
    return;
  }
  const send_result result = flush(active->queue, peer.fd);
  if (result.sent_bytes != 0) {
    active->send_tick = tick_;
  }
  if (result.status == send_status::failed) {
    condemn(peer, close_reason::reset);
  }
  peer.writable = result.status == send_status::drained;
  if (peer.slowed &&
      (active->queue.empty() || active->budget.used_bytes() <= budget_settings().low_bytes)) {
    peer.slowed = false;
    active->frame_tick = tick_;  // the half frame's delay was ours
  }
}

// --- input ---

bool frame_service::may_read(const connection& peer) const noexcept {
  return peer.fate == close_reason::none && !peer.slowed && !peer.starved &&
         (peer.readable || owns_parked(peer));
}

void frame_service::receive(connection& peer) noexcept {
  if (owns_parked(peer)) {
    parked_.bytes = parked_.bytes.subspan(decode(peer, parked_.bytes));
    return;
  }
  const bool peek = !parked_.bytes.empty();
  const ::ssize_t result =
      ::recv(peer.fd, scratch_->data(), scratch_bytes, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
  if (result <= 0) {
    result == 0 ? end_of_input(peer) : receive_failed(peer);
    return;
  }
  const std::span<const std::byte> input(scratch_->data(), static_cast<std::size_t>(result));
  // A short read empties the socket; what comes later is a new event. The end of the stream is
  // not: it may have come with the event of this data.
  peer.readable = input.size() == scratch_bytes || peer.hangup;
  if (peer.active == nullptr) {
    peer.active =
        sessions_.acquire(slot_of(peer), limits_.max_frame_bytes, chunks_, budget_settings());
  }
  const std::size_t consumed = decode(peer, input);
  if (peek) {
    discard_peeked(peer, consumed);
    peer.readable |= consumed < input.size();
  } else if (consumed < input.size()) {
    park(peer, input.subspan(consumed));
  }
}

void frame_service::discard_peeked(connection& peer, std::size_t bytes) noexcept {
  // tcp(7): MSG_TRUNC takes bytes off a stream without copying them
  if (bytes != 0 &&
      ::recv(peer.fd, nullptr, bytes, MSG_DONTWAIT | MSG_TRUNC) != static_cast<::ssize_t>(bytes)) {
    condemn(peer, close_reason::reset);
  }
}

void frame_service::receive_failed(connection& peer) noexcept {
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    peer.readable = false;
  } else if (errno != EINTR) {
    condemn(peer, close_reason::reset);
  }
}

/// The peer sends no more; it still gets the echoes it is owed.
void frame_service::end_of_input(connection& peer) noexcept {
  const bool inside_frame = peer.active != nullptr && !peer.active->between_frames();
  if (inside_frame) {
    counts_.protocol_errors[0].add();
  }
  peer.fate = inside_frame ? close_reason::protocol : close_reason::peer;
  peer.ending = true;
}

bool frame_service::owns_parked(const connection& peer) const noexcept {
  return !parked_.bytes.empty() && parked_.slot == slot_of(peer);
}

void frame_service::park(const connection& peer, std::span<const std::byte> rest) noexcept {
  parked_ = {slot_of(peer), rest};
  std::swap(scratch_, spare_);
}

// --- frames ---

/// Turns input into queued frames; returns how much of it was taken. Takes less than all only
/// when the connection became slowed or starved, or is about to be closed.
std::size_t frame_service::decode(connection& peer, std::span<const std::byte> input) noexcept {
  session& active = *peer.active;
  const std::size_t offered = input.size();
  bool new_frame = active.between_frames();
  while (!input.empty() && has_queue_room(peer)) {
    paid_source source(*buffers_, active.budget,
                       active.large != nullptr ? 0 : active.decoder.held_bytes(),
                       limits_.piece_bytes);
    decode_status status{};
    if (active.large != nullptr) {
      status = decode_large(active, source, input);
    } else {
      const decode_result result = active.decoder.decode(source, input);
      status = result.status;
      input = input.subspan(result.consumed);
    }
    if (status == decode_status::frame_ready) {
      active.large != nullptr ? enqueue_large(peer) : enqueue_frame(peer);
      new_frame = true;
    } else if (status == decode_status::failed) {
      reject(peer);
      return offered;
    } else if (status == decode_status::need_buffer &&
               !(turns_large(active) && begin_large(active)) && !sending_frees_buffers(peer)) {
      wait_for_buffer(peer, source.refused(), input);
      break;
    }
  }
  if (new_frame) {
    active.frame_tick = tick_;
  }
  return offered - input.size();
}

/// No one buffer can hold the frame that has begun, and the first one is full.
bool frame_service::turns_large(const session& active) const noexcept {
  const frame_cursor& cursor = active.decoder.cursor();
  return active.large == nullptr && limits_.piece_bytes != 0 &&
         static_cast<std::size_t>(cursor.length()) > limits_.piece_bytes &&
         active.decoder.held_bytes() >= limits_.piece_bytes;
}

/// False: there is no place for it just now.
bool frame_service::begin_large(session& active) noexcept {
  const auto length = static_cast<std::uint32_t>(active.decoder.cursor().length());
  const auto missing = length - static_cast<std::uint32_t>(active.decoder.cursor().received());
  large_frame* const large = large_frames_.acquire(length, missing, chunks_, active.budget);
  if (large == nullptr || !large->parts.make_room()) {
    if (large != nullptr) {
      large_frames_.release(*large);
    }
    return false;
  }
  loop_buffer first = active.decoder.take_part();
  const std::size_t held_bytes = first.capacity();
  large->parts.push_first_part(std::move(first), length, held_bytes);
  active.large = large;
  return true;
}

/// Takes what belongs to the frame off the front of `input`, a piece at a time.
template <class Source>
decode_status frame_service::decode_large(session& active, Source& source,
                                          std::span<const std::byte>& input) noexcept {
  large_frame& large = *active.large;
  while (!input.empty() && large.missing != 0) {
    if (!large.piece) {
      if (!large.parts.make_room()) {
        return decode_status::need_buffer;
      }
      large.piece = source.try_alloc(std::min<std::size_t>(large.missing, limits_.piece_bytes));
      if (!large.piece) {
        return decode_status::need_buffer;
      }
      large.filled = 0;
    }
    const std::size_t room =
        std::min<std::size_t>(large.piece.size() - large.filled, large.missing);
    const std::size_t taken = std::min(input.size(), room);
    std::memcpy(large.piece.data() + large.filled, input.data(), taken);
    input = input.subspan(taken);
    large.filled += static_cast<std::uint32_t>(taken);
    large.missing -= static_cast<std::uint32_t>(taken);
    if (taken == room) {
      const std::size_t held_bytes = large.piece.capacity();
      large.parts.push_bytes(std::move(large.piece), held_bytes);
    }
  }
  return large.missing == 0 ? decode_status::frame_ready : decode_status::need_bytes;
}

/// All its pieces, where they are.
void frame_service::enqueue_large(connection& peer) noexcept {
  session& active = *peer.active;
  if (active.queue.empty()) {
    active.send_tick = tick_;
  }
  counts_.add_frame(active.large->length);
  active.queue.splice(active.large->parts);
  large_frames_.release(*std::exchange(active.large, nullptr));
}

void frame_service::enqueue_frame(connection& peer) noexcept {
  session& active = *peer.active;
  if (active.queue.empty()) {
    active.send_tick = tick_;
  }
  loop_buffer frame = active.decoder.take();
  counts_.add_frame(frame.size());
  const std::size_t held_bytes = frame.capacity();
  active.queue.push_payload(std::move(frame), held_bytes);
}

/// Makes sure that one more frame can be queued, or says why not: slowed, starved, or failed.
bool frame_service::has_queue_room(connection& peer) noexcept {
  send_queue& queue = peer.active->queue;
  const connection_budget& budget = peer.active->budget;
  if (queue.frame_count() >= send_batch_frames || budget.pressed()) {
    send(peer);
  }
  if (peer.fate != close_reason::none) {
    return false;
  }
  if (budget.pressed() && !queue.empty()) {  // what it has of a frame does not count alone
    peer.slowed = true;
    counts_.slowed.add();
    return false;
  }
  if (!queue.make_room()) {
    starve(peer, 0);
    return false;
  }
  return true;
}

bool frame_service::sending_frees_buffers(connection& peer) noexcept {
  const std::uint32_t before = peer.active->queue.frame_count();
  send(peer);
  return peer.active->queue.frame_count() < before;
}

/// Above its budget it waits until its peer has read something; otherwise for a buffer.
void frame_service::wait_for_buffer(connection& peer, bool over_budget,
                                    std::span<const std::byte> input) noexcept {
  const session& active = *peer.active;
  if (over_budget) {
    counts_.over_limit.add();
    if (!active.queue.empty() && peer.fate == close_reason::none) {
      peer.slowed = true;
      counts_.slowed.add();
      return;
    }
  }
  starve(peer, active.large != nullptr
                   ? std::min<std::size_t>(active.large->missing, limits_.piece_bytes)
                   : active.decoder.cursor().wanted(active.decoder.held_bytes(), input));
}

void frame_service::starve(connection& peer, std::size_t wanted_size) noexcept {
  if (peer.fate != close_reason::none) {
    return;
  }
  peer.active->wanted_size = static_cast<std::uint32_t>(wanted_size);
  peer.starved = true;
  counts_.starved.add();
  append(starved_, peer);
  if (limits_.shed_largest && board_ != nullptr && pressure_.refused(now_)) {
    board_->ask();
  }
}

/// A bad length: nothing more is read, the frames before it are still answered.
void frame_service::reject(connection& peer) noexcept {
  counts_.protocol_errors[static_cast<std::size_t>(peer.active->decoder.cursor().error())].add();
  peer.fate = close_reason::protocol;
  peer.ending = true;
}

// --- lists ---

void frame_service::append(connection_list& list, connection& peer) noexcept {
  if (peer.listed) {
    return;
  }
  peer.listed = true;
  const std::uint32_t slot = slot_of(peer);
  if (list.count++ == 0) {
    list.first = slot;
  } else {
    records_[list.last].next = slot;
  }
  list.last = slot;
}

/// nullptr when the first one was closed while it was listed.
connection* frame_service::take_first(connection_list& list) noexcept {
  connection& peer = records_[list.first];
  list.first = peer.next;
  --list.count;
  peer.listed = false;
  if (peer.fd < 0) {
    records_.release(peer);
    return nullptr;
  }
  return &peer;
}

void frame_service::serve_ready() noexcept {
  for (std::uint32_t left = ready_.count; left != 0; --left) {
    connection* peer = take_first(ready_);
    if (peer == nullptr) {
      continue;
    }
    if (peer->starved) {  // it began to wait for a buffer while it was on this list
      append(starved_, *peer);
    } else {
      serve(*peer);
    }
  }
}

void frame_service::serve_starved() noexcept {
  std::uint64_t refused_classes = 0;
  for (std::uint32_t left = starved_.count; left != 0; --left) {
    connection* peer = take_first(starved_);
    if (peer == nullptr) {
      continue;
    }
    const unsigned number = buffers_->bank().class_of(peer->active->wanted_size);
    const std::uint64_t bit = std::uint64_t{1} << (number % 64);
    if ((refused_classes & bit) != 0) {
      append(starved_, *peer);
      continue;
    }
    const std::uint32_t waiting = starved_.count;
    peer->starved = false;
    if (peer->active->large == nullptr) {  // who holds many buffers has a deadline all the same
      peer->active->frame_tick = tick_;    // the half frame's delay was ours
    }
    serve(*peer);
    if (starved_.count > waiting) {
      refused_classes |= bit;
    }
  }
}

}  // namespace ringpool::tools
