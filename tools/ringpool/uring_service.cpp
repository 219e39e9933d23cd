// SPDX-License-Identifier: MIT
#include "uring_service.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace ringpool::tools {
namespace {

/// A table that nothing is received on offers the kernel this many buffers.
constexpr unsigned smallest_target = 4;
/// Chunks of queues one loop can have.
constexpr std::uint32_t max_chunks = 1U << 22;
/// Sessions one loop can have.
constexpr std::uint32_t max_sessions = 1U << 22;
/// A round of sends completes at once: 10,000 members of a room are not unusual.
constexpr unsigned completions_with_rooms = 32768;
constexpr unsigned completions = 2048;

}  // namespace

uring_service::uring_service(const uring_settings& settings, multi_size_ring_pool& pool)
    : settings_(settings), source_(pool), sessions_(max_sessions), chunks_(max_chunks) {
  set_kernel_limit(pool);
}

void uring_service::set_kernel_limit(const multi_size_ring_pool& pool) noexcept {
  for (const ring_buffer_pool& one : pool.classes()) {
    if (one.buffer_size() >= settings_.receive_bytes) {
      const std::uint64_t all = one.capacity() + one.options().elastic_capacity;
      kernel_limit_ = std::max<std::uint64_t>(1, all * 3 / 4 / settings_.loop_count);
      break;
    }
  }
}

// --- tables ---

std::uint32_t uring_service::add_table() {
  const auto gap = std::find(tables_.begin(), tables_.end(), nullptr);
  auto fresh = std::make_unique<uring_table>(
      source_,
      uring_table::sizes{
          .connections = settings_.table_size,
          .completion_entries = settings_.hall != nullptr ? completions_with_rooms : completions,
          .receive_entries = settings_.receive_entries,
          .receive_bytes = settings_.receive_bytes,
          .with_seats = settings_.hall != nullptr});
  fresh->target = std::min(smallest_target, settings_.receive_entries);
  ring_count_.add();
  const auto number = static_cast<std::uint32_t>(gap - tables_.begin());
  if (gap == tables_.end()) {
    tables_.push_back(std::move(fresh));
  } else {
    *gap = std::move(fresh);
  }
  settle_table(number);
  newest_table_ = number;
  return number;
}

void uring_service::remove_table(std::uint32_t number) noexcept {
  record_bytes_.set(record_bytes_.get() - tables_[number]->end * sizeof(uring_connection));
  kernel_buffers_.set(kernel_buffers_.get() - tables_[number]->counted_buffers);
  tables_[number].reset();
  ring_count_.set(ring_count_.get() - 1);
}

auto uring_service::at(std::uint32_t number, std::uint32_t slot) noexcept -> place {
  uring_table& home = *tables_[number];
  return {&home, number, slot, &home.records[slot]};
}

// --- connections come and go ---

void uring_service::adopt(std::uint32_t number, std::uint32_t slot) noexcept {
  const place peer = at(number, slot);
  const bool waiting = peer.record->waiting;  // as the one before it in this slot
  *peer.record = {};
  peer.record->waiting = waiting;
  peer.record->open = true;
  peer.record->last_tick = tick_;
  ++peer.home->open;
  if (slot >= peer.home->end) {
    record_bytes_.add((slot + 1 - peer.home->end) * sizeof(uring_connection));
    peer.home->end = slot + 1;
  }
  counts_.accepted.add();
  open_.add();
  if (draining_) {
    condemn(*peer.record, close_reason::drained);
  }
  settle(peer);
}

void uring_service::condemn(uring_connection& record, close_reason reason,
                            bool gracefully) noexcept {
  record.fate = reason;
  record.ending = gracefully;
}

/// Decides what a connection is after something happened to it: closed, idle, receiving, waiting.
void uring_service::settle(const place& peer) noexcept {
  uring_connection& record = *peer.record;
  uring_session* active = session_of(record);
  if (active != nullptr) {
    charge_input(*active);
  }
  send(peer);
  if (record.fate != close_reason::none) {
    stop_receiving(peer);
    if (!record.ending && record.sending && !record.aborting) {
      record.aborting = cancel(peer, uring_operation::send);
    }
    const bool flushed = active == nullptr || active->queue.empty();
    if (record.armed == uring_operation::none && !record.sending && (flushed || !record.ending)) {
      finish(peer);
    }
    return;
  }
  if (active != nullptr && active->queue.empty() && active->parked.empty() && !record.sending &&
      active->decoder.between_frames()) {
    release_session(record);
    active = nullptr;
  }
  if (draining_ && active == nullptr) {
    condemn(record, close_reason::drained, true);
    settle(peer);
    return;
  }
  if (record.armed == uring_operation::none && !record.slowed && !record.waiting) {
    arm(peer, active != nullptr);
  }
}

/// Nothing of it is armed or under way.
void uring_service::finish(const place& peer) noexcept {
  uring_connection& record = *peer.record;
  counts_.closed[static_cast<std::size_t>(record.fate)].add();
  if (peer.home->seats != nullptr) {
    leave_room(peer);
  }
  if (record.active != 0) {
    release_session(record);
  }
  const bool in_pairs = peer.home->ring.room(2);  // a link does not reach the next submission
  if (in_pairs &&
      (record.fate == close_reason::send_timeout || record.fate == close_reason::drain_timeout ||
       record.fate == close_reason::slow || record.fate == close_reason::shed)) {
    // tcp(7): connect() to AF_UNSPEC resets, so that the kernel drops what the peer does not read
    static const ::sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
    if (::io_uring_sqe* reset = entry(peer, uring_operation::none); reset != nullptr) {
      ::io_uring_prep_connect(reset, static_cast<int>(peer.slot), &nowhere, sizeof nowhere);
      reset->flags |= IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    }
  }
  if (::io_uring_sqe* close = entry(peer, uring_operation::none); close != nullptr) {
    ::io_uring_prep_close_direct(close, peer.slot);
    close->flags |= IOSQE_CQE_SKIP_SUCCESS;
  }
  const bool waiting = record.waiting;
  record = {};
  record.waiting = waiting;  // whoever takes it off the list looks whether it is open
  --peer.home->open;
  open_.set(open_.get() - 1);
}

uring_session* uring_service::need_session(const place& peer) noexcept {
  uring_connection& record = *peer.record;
  if (record.active == 0) {
    uring_session* fresh = sessions_.acquire(
        peer.number, peer.slot, settings_.limits.max_frame_bytes, chunks_, budget_settings());
    if (fresh == nullptr) {
      condemn(record, close_reason::reset);
      return nullptr;
    }
    fresh->budget.enter(room_budget(peer));
    record.active = sessions_.index_of(*fresh) + 1;
  }
  return session_of(record);
}

void uring_service::release_session(uring_connection& record) noexcept {
  end_samples(record, ~std::uint64_t{0});
  sessions_.release(*session_of(record));
  record.active = 0;
  record.last_tick = tick_;
}

// --- what is asked of the kernel ---

/// nullptr only when the kernel takes no entries; what was to be asked is then tried by the next
/// completion or tick of the connection.
::io_uring_sqe* uring_service::entry(const place& peer, uring_operation what) noexcept {
  ::io_uring_sqe* const free = peer.home->ring.next_entry();
  if (free != nullptr) {
    ::io_uring_prep_nop(free);
    ::io_uring_sqe_set_data64(free, completion_key(what, peer.slot));
  }
  return free;
}

/// `expecting`: more is likely to be there already.
void uring_service::arm(const place& peer, bool expecting) noexcept {
  uring_connection& record = *peer.record;
  const bool poll = settings_.poll_idle && !expecting;
  const uring_operation what = poll ? uring_operation::poll : uring_operation::receive;
  ::io_uring_sqe* const receive = entry(peer, what);
  if (receive == nullptr) {
    return;
  }
  const auto data = receive->user_data;
  if (poll) {
    ::io_uring_prep_poll_add(receive, static_cast<int>(peer.slot), POLLIN | POLLRDHUP);
  } else {
    if (settings_.poll_idle) {
      ::io_uring_prep_recv(receive, static_cast<int>(peer.slot), nullptr, 0, 0);
    } else {
      ::io_uring_prep_recv_multishot(receive, static_cast<int>(peer.slot), nullptr, 0, 0);
    }
    receive->ioprio |= IORING_RECVSEND_POLL_FIRST;
    receive->flags |= IOSQE_BUFFER_SELECT;
    receive->buf_group = peer.home->receives.pick_group();
  }
  receive->flags |= IOSQE_FIXED_FILE;
  receive->user_data = data;
  record.armed = what;
  record.cancelling = false;
}

/// Receives where the frame that has begun goes on, without a buffer of the table. False: there is
/// no room.
bool uring_service::arm_direct(const place& peer) noexcept {
  auto& decoder = session_of(*peer.record)->decoder;
  const bool has_room = decoder.make_room(source_);
  const std::span<std::byte> room = decoder.writable();
  ::io_uring_sqe* const receive = has_room ? entry(peer, uring_operation::direct) : nullptr;
  if (receive == nullptr) {
    return false;
  }
  const auto data = receive->user_data;
  ::io_uring_prep_recv(receive, static_cast<int>(peer.slot), room.data(), room.size(), 0);
  receive->ioprio |= IORING_RECVSEND_POLL_FIRST;
  receive->flags |= IOSQE_FIXED_FILE;
  receive->user_data = data;
  peer.record->armed = uring_operation::direct;
  peer.record->cancelling = false;
  return true;
}

bool uring_service::cancel(const place& peer, uring_operation what) noexcept {
  ::io_uring_sqe* const stop = entry(peer, uring_operation::none);
  if (stop != nullptr) {
    const auto data = stop->user_data;
    ::io_uring_prep_cancel64(stop, completion_key(what, peer.slot), 0);
    stop->user_data = data;
  }
  return stop != nullptr;
}

void uring_service::stop_receiving(const place& peer) noexcept {
  if (peer.record->armed != uring_operation::none && !peer.record->cancelling) {
    peer.record->cancelling = cancel(peer, peer.record->armed);
  }
}

void uring_service::send(const place& peer) noexcept {
  uring_connection& record = *peer.record;
  uring_session* active = session_of(record);
  if (active == nullptr || active->queue.empty() || record.sending ||
      (record.fate != close_reason::none && !record.ending)) {
    return;
  }
  ::io_uring_sqe* const out = entry(peer, uring_operation::send);
  if (out == nullptr) {
    return;
  }
  const auto data = out->user_data;
  const auto next = active->queue.gather(active->parts);
  if (next.part_count == 1) {
    ::io_uring_prep_send(out, static_cast<int>(peer.slot), active->parts[0].iov_base, next.bytes,
                         MSG_NOSIGNAL);
  } else {
    active->message = {};
    active->message.msg_iov = active->parts.data();
    active->message.msg_iovlen = next.part_count;
    ::io_uring_prep_sendmsg(out, static_cast<int>(peer.slot), &active->message, MSG_NOSIGNAL);
  }
  out->flags |= IOSQE_FIXED_FILE;
  out->user_data = data;
  record.sending = true;
}

// --- what the kernel answers ---

void uring_service::complete(std::uint32_t number, uring_operation what, std::uint32_t slot,
                             const ::io_uring_cqe& completion) noexcept {
  const place peer = at(number, slot);
  switch (what) {
    case uring_operation::receive: on_receive(peer, completion); break;
    case uring_operation::direct: on_direct(peer, completion.res); break;
    case uring_operation::poll: on_poll(peer, completion.res); break;
    case uring_operation::send: on_send(peer, completion.res); break;
    default: return;
  }
  settle(peer);
}

void uring_service::on_receive(const place& peer, const ::io_uring_cqe& completion) noexcept {
  uring_connection& record = *peer.record;
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    record.armed = uring_operation::none;
  }
  buffer got = peer.home->receives.take(completion, 0);
  if (got) {
    ++peer.home->used_in_tick;
  }
  if (completion.res <= 0) {
    no_input(peer, completion.res);
    return;
  }
  if (record.fate == close_reason::drained) {  // its last say
    record.fate = close_reason::none;
    record.ending = false;
  }
  if (record.fate == close_reason::none) {
    input(peer, shared_buffer(std::move(got)));
  }
}

void uring_service::on_direct(const place& peer, int result) noexcept {
  peer.record->armed = uring_operation::none;
  if (result <= 0) {
    no_input(peer, result);
    return;
  }
  uring_session& active = *session_of(*peer.record);
  if (active.decoder.wrote(static_cast<std::size_t>(result)) == decode_status::frame_ready &&
      peer.record->fate == close_reason::none) {
    pass_on_frame(peer, active.decoder.take());
  }
}

/// A receive brought nothing: the end, or an error, or no buffer.
void uring_service::no_input(const place& peer, int result) noexcept {
  if (peer.record->fate != close_reason::none) {
    return;
  }
  switch (-result) {
    case 0:
      if (session_of(*peer.record) == nullptr || session_of(*peer.record)->parked.empty()) {
        end_of_input(peer);
      }
      return;  // with input parked: the end is there again when that has been dealt with
    case ENOBUFS: wait_for_buffer(peer); return;
    case ECANCELED:
    case EINTR:
    case EAGAIN: return;
    default: condemn(*peer.record, close_reason::reset);
  }
}

void uring_service::on_poll(const place& peer, int result) noexcept {
  peer.record->armed = uring_operation::none;
  if (result == -ECANCELED || peer.record->fate != close_reason::none) {
    return;
  }
  if (result < 0 || (result & POLLERR) != 0) {
    condemn(*peer.record, close_reason::reset);
  } else if (peer.home->receives.kernel_owned() == 0) {
    wait_for_buffer(peer);
  } else {
    arm(peer, true);
  }
}

void uring_service::on_send(const place& peer, int result) noexcept {
  uring_connection& record = *peer.record;
  uring_session* active = session_of(record);
  record.sending = false;
  if (result > 0) {
    active->send_tick = tick_;
    active->queue.drop_sent(static_cast<std::size_t>(result));
    active->sent_bytes += static_cast<std::uint64_t>(result);
    end_samples(record, active->sent_bytes);
  } else if (result != -EINTR && result != -EAGAIN) {  // whom it owes something is gone
    condemn(record, record.fate == close_reason::none ? close_reason::reset : record.fate);
  }
  if (record.slowed &&
      (active->queue.empty() || active->budget.used_bytes() <= queue_limit() / 2)) {
    record.slowed = false;
    active->frame_tick = tick_;  // the half frame's delay was ours
  }
}

/// The peer sends no more; it still gets the echoes it is owed.
void uring_service::end_of_input(const place& peer) noexcept {
  const uring_session* active = session_of(*peer.record);
  const bool inside_frame =
      active != nullptr && (!active->decoder.between_frames() || !active->parked.empty());
  if (inside_frame) {
    counts_.protocol_errors[0].add();
  }
  condemn(*peer.record, inside_frame ? close_reason::protocol : close_reason::peer, true);
}

// --- buffers ---

void uring_service::wait_for_buffer(const place& peer) noexcept {
  counts_.starved.add();
  wait_again(peer);
  feel_pressure();
}

/// Somebody waits for a buffer.
void uring_service::feel_pressure() noexcept {
  if (settings_.limits.shed_largest && board_ != nullptr && pressure_.refused(now_)) {
    board_->ask();
  }
}

void uring_service::wait_again(const place& peer) noexcept {
  if (!peer.record->waiting) {
    peer.record->waiting = true;
    (peer.record->active == 0 ? peer.home->waiting : peer.home->stuck).push(peer.slot);
    ++waiting_count_;
  }
}

void uring_service::settle_table(std::uint32_t number) noexcept {
  uring_table& home = *tables_[number];
  if (home.waiting.count() + home.stuck.count() != 0) {
    home.target = std::min(home.receives.entries(), home.target * 2);
  }
  home.receives.refill(std::min(home.target, allowance(home)));
  serve_stuck(number);
  serve_waiting(number);
  count_kernel_buffers(home);
}

/// What the kernel may own for this table: something always, and for all tables of the loop not so
/// much of the class that frames have nothing to go to.
unsigned uring_service::allowance(const uring_table& home) const noexcept {
  const std::uint64_t all = kernel_buffers_.get();
  const std::uint64_t others = all - std::min<std::uint64_t>(all, home.counted_buffers);
  return static_cast<unsigned>(
      std::max<std::uint64_t>(1, kernel_limit_ - std::min(kernel_limit_, others)));
}

/// Takes the first off a list; false when it was closed meanwhile.
bool uring_service::take_turn(const place& peer) noexcept {
  --waiting_count_;
  peer.record->waiting = false;
  return peer.record->open;
}

/// As many of those that wait as there are buffers, in the order they came.
void uring_service::serve_waiting(std::uint32_t number) noexcept {
  uring_table& home = *tables_[number];
  for (unsigned turns = home.receives.kernel_owned(); turns != 0 && home.waiting.count() != 0;) {
    if (const place peer = at(number, home.waiting.pop()); take_turn(peer)) {
      --turns;
      settle(peer);
    }
  }
}

/// A turn for each that holds part of a frame: they come first, since what they hold is wanted.
void uring_service::serve_stuck(std::uint32_t number) noexcept {
  uring_table& home = *tables_[number];
  bool refused = false;
  for (std::uint32_t left = home.stuck.count(); left != 0; --left) {
    const place peer = at(number, home.stuck.pop());
    if (!take_turn(peer)) {
      continue;
    }
    const uring_session* const active = session_of(*peer.record);
    if (active != nullptr && !active->parked.empty() && peer.record->fate == close_reason::none) {
      retry_parked(peer);
      refused |= peer.record->waiting;
    } else if (active != nullptr && peer.record->fate == close_reason::none &&
               !peer.record->slowed && home.receives.kernel_owned() == 0 && !arm_direct(peer)) {
      wait_again(peer);
    }
    settle(peer);
  }
  if (refused && home.receives.kernel_owned() > 1) {  // half a frame comes before new ones
    home.target = home.receives.kernel_owned() / 2;
    home.receives.shrink(home.target);
  }
}

/// One table's part of the sum: a frame is served without a look at all of them.
void uring_service::count_kernel_buffers(uring_table& home) noexcept {
  const unsigned before = std::exchange(home.counted_buffers, home.receives.kernel_owned());
  kernel_buffers_.set(kernel_buffers_.get() - before + home.counted_buffers);
}

void uring_service::settle_waiting() noexcept {
  for (std::uint32_t number = 0; waiting_count_ != 0 && number < table_end(); ++number) {
    if (const uring_table* const one = table(number);
        one != nullptr && one->waiting.count() + one->stuck.count() != 0) {
      settle_table(number);
    }
  }
  if (waiting_count_ != 0) {
    feel_pressure();
  }
}

/// Once a tick: a table that used a small part of its buffers gives the rest back.
void uring_service::adjust_target(uring_table& home) noexcept {
  const unsigned used = std::exchange(home.used_in_tick, 0U);
  const unsigned wanted = std::clamp(used, smallest_target, home.receives.entries());
  if (home.target > wanted * 4) {
    home.target = wanted * 2;
  }
  home.receives.shrink(home.target);  // or what could not be taken back before
}

}  // namespace ringpool::tools
