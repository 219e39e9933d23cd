// SPDX-License-Identifier: MIT
#include "frame_service.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace ringpool::tools {
namespace {

/// Chunks of send queues one loop can have; a frame beyond them waits as for a buffer.
constexpr std::uint32_t max_chunks = 1U << 20;

/// Frames that a queue gathers before they are sent, in the middle of an input.
constexpr std::uint32_t send_batch_frames = 64;

bool over(std::uint32_t now, std::uint32_t since, std::uint32_t limit) noexcept {
  return limit != 0 && now - since > limit;
}

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
  if (peer.fate == close_reason::send_timeout || peer.fate == close_reason::drain_timeout) {
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
    if (active->decoder.between_frames() && !peer.starved && !owns_parked(peer)) {
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
  if (peer.slowed && active->queue.held_bytes() <= limits_.send_queue_bytes / 2) {
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
    peer.active = sessions_.acquire(slot_of(peer), limits_.max_frame_bytes, chunks_);
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
  const bool inside_frame = peer.active != nullptr && !peer.active->decoder.between_frames();
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
  bool new_frame = active.decoder.between_frames();
  while (!input.empty() && has_queue_room(peer)) {
    const auto [status, consumed] = active.decoder.decode(*buffers_, input);
    input = input.subspan(consumed);
    if (status == decode_status::frame_ready) {
      enqueue_frame(peer);
      new_frame = true;
    } else if (status == decode_status::failed) {
      reject(peer);
      return offered;
    } else if (status == decode_status::need_buffer && !sending_frees_buffers(peer)) {
      starve(peer, active.decoder.cursor().wanted(active.decoder.held_bytes(), input));
      break;
    }
  }
  if (new_frame) {
    active.frame_tick = tick_;
  }
  return offered - input.size();
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
  if (queue.frame_count() >= send_batch_frames || queue.held_bytes() >= limits_.send_queue_bytes) {
    send(peer);
  }
  if (peer.fate != close_reason::none) {
    return false;
  }
  if (queue.held_bytes() >= limits_.send_queue_bytes) {
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

void frame_service::starve(connection& peer, std::size_t wanted_size) noexcept {
  if (peer.fate != close_reason::none) {
    return;
  }
  peer.active->wanted_size = static_cast<std::uint32_t>(wanted_size);
  peer.starved = true;
  counts_.starved.add();
  append(starved_, peer);
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
    peer->active->frame_tick = tick_;  // the half frame's delay was ours
    serve(*peer);
    if (starved_.count > waiting) {
      refused_classes |= bit;
    }
  }
}

// --- deadlines, memory, the end ---

close_reason frame_service::overdue(const connection& peer) const noexcept {
  const session* active = peer.active;
  if (active == nullptr) {
    return over(tick_, peer.last_tick, limits_.idle_ticks) ? close_reason::idle_timeout
                                                           : close_reason::none;
  }
  if (!active->queue.empty() && over(tick_, active->send_tick, limits_.send_ticks)) {
    return close_reason::send_timeout;
  }
  const bool waits_for_peer =
      !active->decoder.between_frames() && !peer.starved && !peer.slowed && !peer.ending;
  return waits_for_peer && over(tick_, active->frame_tick, limits_.frame_ticks)
             ? close_reason::frame_timeout
             : close_reason::none;
}

void frame_service::close_overdue(connection* peer) noexcept {
  if (!is_open(peer)) {
    return;
  }
  if (const close_reason reason = overdue(*peer); reason != close_reason::none) {
    condemn(*peer, reason);
    close(*peer);
  }
}

void frame_service::check_deadlines() noexcept {
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    if (const session* active = sessions_.find(i); active != nullptr) {
      close_overdue(records_.find(active->slot));
    }
  }
  const std::uint32_t end = records_.end();
  for (std::uint32_t left = (end + 3) / 4; left != 0; --left) {
    idle_cursor_ = idle_cursor_ + 1 < end ? idle_cursor_ + 1 : 0;
    close_overdue(records_.find(idle_cursor_));
  }
}

void frame_service::trim() noexcept {
  records_.trim();
  sessions_.trim();
  chunks_.trim();
  buffers_->flush_samples();
}

void frame_service::begin_drain() noexcept {
  draining_ = true;
  for (std::uint32_t i = 0; i < records_.end(); ++i) {
    if (connection* peer = records_.find(i); is_open(peer)) {
      peer->readable = true;  // the last look, at what came before the shutdown
      serve(*peer);
    }
  }
}

void frame_service::end_drain() noexcept {
  for (std::uint32_t i = 0; i < records_.end(); ++i) {
    if (connection* peer = records_.find(i); is_open(peer)) {
      condemn(*peer, close_reason::drain_timeout);
      close(*peer);
    }
  }
}

std::size_t frame_service::table_bytes() const noexcept {
  return records_.committed_bytes() + sessions_.committed_bytes() + chunks_.committed_bytes();
}

}  // namespace ringpool::tools
