// SPDX-License-Identifier: MIT
// What uring_service does with the bytes that came.
#include <algorithm>
#include <cstring>

#include "record/recorder.hpp"
#include "uring_service.hpp"

namespace ringpool::tools {
namespace {

/// Of the frame at the front: as announced, so above any maximum where it is negative.
std::size_t length_of(std::span<const std::byte> frames) noexcept {
  std::size_t length = 0;
  for (std::size_t i = 0; i < frame_header_bytes; ++i) {
    length = length << 8 | static_cast<std::size_t>(frames[i]);
  }
  return length;
}

}  // namespace

/// Frames that lie whole in `bytes` are handed on where they are; the rest goes to the decoder.
void uring_service::input(const place& peer, shared_buffer&& bytes) noexcept {
  uring_session* const active = need_session(peer);
  if (active == nullptr) {
    return;
  }
  active->input_tick = tick_;
  active->asked = false;
  if (!active->parked.empty()) {
    park(peer, std::move(bytes));
    return;
  }
  std::size_t at = 0;
  if (active->decoder.between_frames()) {
    active->frame_tick = tick_;
  } else if (!feed(peer, bytes, at)) {
    return;
  }
  if (peer.record->fate != close_reason::none) {
    return;
  }
  const std::size_t whole_bytes = whole_frames(bytes.span().subspan(at));
  const std::size_t behind = at + whole_bytes;
  const bool all = at == 0 && behind == bytes.size();
  if (whole_bytes != 0) {
    active->frame_tick = tick_;
    pass_on(peer, all ? std::move(bytes) : bytes.slice(at, whole_bytes));
  }
  if (!all && behind < bytes.size() && peer.record->fate == close_reason::none) {
    at = behind;
    static_cast<void>(feed(peer, bytes, at));
  }
}

/// Gives the decoder what it takes from `at` on. False: nothing is left to do with `bytes` now,
/// since they were parked, or the connection is at its end.
bool uring_service::feed(const place& peer, shared_buffer& bytes, std::size_t& at) noexcept {
  uring_session& active = *session_of(*peer.record);
  const auto [status, consumed] = active.decoder.decode(source_, bytes.span().subspan(at));
  at += consumed;
  switch (status) {
    case decode_status::need_bytes: return true;
    case decode_status::frame_ready: pass_on_frame(peer, active.decoder.take()); return true;
    case decode_status::need_buffer: return make_do(peer, bytes, at);
    case decode_status::failed: break;
  }
  counts_.protocol_errors[static_cast<std::size_t>(active.decoder.cursor().error())].add();
  condemn(*peer.record, close_reason::protocol, true);
  return false;
}

/// There is no buffer for the frame that goes on at `at`. So that connections which hold buffers
/// never wait for each other, what came stays where it is: a frame that it completes is sent in two
/// parts, and one that goes on does so in the buffer that was received. Otherwise it waits for a
/// larger buffer, or for a send to let go of this one; both have deadlines.
bool uring_service::make_do(const place& peer, shared_buffer& bytes, std::size_t& at) noexcept {
  uring_session& active = *session_of(*peer.record);
  const frame_cursor& cursor = active.decoder.cursor();
  const std::size_t rest = bytes.size() - at;
  if (rest == 0) {
    return true;
  }
  const std::size_t missing = static_cast<std::size_t>(cursor.length()) - cursor.received();
  if (missing <= rest && settings_.hall == nullptr) {
    const auto length = static_cast<std::size_t>(cursor.length());
    pass_on_parts(peer, length, active.decoder.take_part(), bytes.slice(at, missing));
    at += missing;
    return true;
  }
  const std::size_t start = bytes.offset() + at;
  if (buffer whole = std::move(bytes).unique(); whole) {
    if (active.decoder.adopt(whole, start, rest)) {
      return false;
    }
    bytes = shared_buffer(std::move(whole)).slice(start, rest);
    at = 0;
  }
  park(peer, at == 0 ? std::move(bytes) : bytes.slice(at, rest));
  return false;
}

/// How many bytes at the front of `bytes` are whole frames with good lengths.
std::size_t uring_service::whole_frames(std::span<const std::byte> bytes) const noexcept {
  std::size_t taken = 0;
  while (bytes.size() - taken > frame_header_bytes) {
    const std::size_t length = length_of(bytes.subspan(taken));
    if (length == 0 || length > settings_.limits.max_frame_bytes ||
        length > bytes.size() - taken - frame_header_bytes) {
      break;
    }
    taken += frame_header_bytes + length;
  }
  return taken;
}

/// Input that could not be decoded waits where it was received.
void uring_service::park(const place& peer, shared_buffer&& bytes) noexcept {
  shared_queue& parked = session_of(*peer.record)->parked;
  if (!parked.make_room()) {
    condemn(*peer.record, close_reason::reset);
    return;
  }
  parked.push_bytes(std::move(bytes), settings_.receive_bytes);
  stop_receiving(peer);
  wait_for_buffer(peer);
}

void uring_service::retry_parked(const place& peer) noexcept {
  uring_session& active = *session_of(*peer.record);
  shared_queue waiting(chunks_);
  waiting.swap(active.parked);
  active.frame_tick = tick_;  // the half frame's delay was ours
  while (!waiting.empty() && peer.record->fate == close_reason::none) {
    input(peer, std::move(waiting.front().bytes));
    waiting.drop_front();
  }
}

// --- whole frames ---

/// `end`: where it ends, from what is yet to be queued.
void uring_service::count_frame(const place& peer, std::size_t length, std::size_t end) noexcept {
  counts_.add_frame(length);
  if (--until_sample_ == 0) [[unlikely]] {
    sample_frame(peer, length, end);
  }
}

void uring_service::sample_frame(const place& peer, std::size_t length, std::size_t end) noexcept {
  if (recorder_ == nullptr) {
    return;
  }
  until_sample_ = recorder_->next_gap();
  uring_session* const active = session_of(*peer.record);
  if (settings_.hall != nullptr || active == nullptr) {
    recorder_->add_unknown(static_cast<std::uint32_t>(length));
  } else if (recorder_->begin(peer.record->active, active->queued_bytes + end,
                              static_cast<std::uint32_t>(length))) {
    ++active->sampled;
  }
}

/// The queue's first `sent_bytes` are gone.
void uring_service::end_samples(uring_connection& record, std::uint64_t sent_bytes) noexcept {
  uring_session& active = *session_of(record);
  if (active.sampled != 0) [[unlikely]] {
    active.sampled -= recorder_->end(record.active, sent_bytes);
  }
}

void uring_service::record_with(loop_recorder& recorder) noexcept {
  recorder_ = &recorder;
  until_sample_ = recorder.next_gap();
}

/// `frames`: whole ones, one behind the other. What lies behind one that ends the connection is not
/// looked at.
void uring_service::pass_on(const place& peer, shared_buffer&& frames) noexcept {
  for (std::size_t at = 0; at < frames.size() && peer.record->fate == close_reason::none;) {
    const std::size_t length = length_of(frames.span().subspan(at));
    count_frame(peer, length, at + frame_header_bytes + length);
    if (settings_.hall != nullptr) {
      to_room(peer, {frames.slice(at, frame_header_bytes + length), true});
    }
    at += frame_header_bytes + length;
  }
  if (settings_.hall == nullptr) {
    enqueue(peer, std::move(frames), false, settings_.receive_bytes);
  }
}

/// A frame whose payload came in two buffers; `first` may be empty.
void uring_service::pass_on_parts(const place& peer, std::size_t length, buffer&& first,
                                  shared_buffer&& second) noexcept {
  count_frame(peer, length, frame_header_bytes + length);
  uring_session& active = *session_of(*peer.record);
  if (!first) {  // nothing but the header had come
    enqueue(peer, std::move(second), true, settings_.receive_bytes);
    return;
  }
  const std::size_t held_bytes = first.capacity();
  if (!begin_to_queue(peer)) {
    return;
  }
  if (!active.budget.try_charge(held_bytes)) {
    counts_.over_limit.add();  // there is no limit but a room's, and this is none's
    condemn(*peer.record, close_reason::reset);
    return;
  }
  active.queued_bytes += frame_header_bytes + first.size();
  active.queue.push_first_part(shared_buffer(std::move(first)), length, held_bytes);
  enqueue(peer, std::move(second), false, settings_.receive_bytes);
}

void uring_service::pass_on_frame(const place& peer, buffer&& payload) noexcept {
  count_frame(peer, payload.size(), frame_header_bytes + payload.size());
  if (settings_.hall != nullptr) {
    to_room(peer, {shared_buffer(std::move(payload)), false});
    return;
  }
  const std::size_t held_bytes = payload.capacity();
  enqueue(peer, shared_buffer(std::move(payload)), true, held_bytes);
}

bool uring_service::begin_to_queue(const place& peer) noexcept {
  uring_session* const active = need_session(peer);
  if (active == nullptr) {
    return false;
  }
  if (!active->queue.make_room()) {
    condemn(*peer.record, close_reason::reset);
    return false;
  }
  if (active->queue.empty()) {
    active->send_tick = tick_;
  }
  return true;
}

/// False: a budget refused it, or it is at its end.
bool uring_service::enqueue(const place& peer, shared_buffer&& bytes, bool add_header,
                            std::size_t held_bytes) noexcept {
  if (!begin_to_queue(peer)) {
    return false;
  }
  uring_session& active = *session_of(*peer.record);
  if (!active.budget.try_charge(held_bytes)) {
    counts_.over_limit.add();
    return false;
  }
  active.queued_bytes += bytes.size() + (add_header ? frame_header_bytes : 0);
  shared_queue& queue = active.queue;
  if (add_header) {
    queue.push_payload(std::move(bytes), held_bytes);
  } else {
    queue.push_bytes(std::move(bytes), held_bytes);
  }
  if (active.budget.pressed() && !peer.record->slowed && settings_.hall == nullptr) {
    peer.record->slowed = true;
    counts_.slowed.add();
    stop_receiving(peer);
  }
  return true;
}

// --- rooms ---

/// The first frame of a connection names its room, and comes back; every further one goes to all
/// that are in there.
void uring_service::to_room(const place& peer, room_frame&& frame) noexcept {
  const room_seat& seat = (*peer.home->seats)[peer.slot];
  if (seat.room == 0) {
    enter_room(peer, std::move(frame));
    return;
  }
  const std::uint32_t room = seat.room - 1;
  settings_.hall->publish(room, settings_.loop_number, frame);
  fan_out(room, frame, peer.record);
}

void uring_service::enter_room(const place& peer, room_frame&& name_frame) noexcept {
  const std::size_t begin = name_frame.with_header ? frame_header_bytes : 0;
  const std::size_t length = name_frame.bytes.size() - begin;
  if (length > rooms::longest_name_bytes) {
    counts_.protocol_errors[static_cast<std::size_t>(frame_errc::too_long)].add();
    condemn(*peer.record, close_reason::protocol, true);
    return;
  }
  const std::string name(reinterpret_cast<const char*>(name_frame.bytes.data()) + begin, length);
  const std::uint32_t room = settings_.hall->enter(name, settings_.loop_number);
  (*peer.home->seats)[peer.slot] = {room + 1, members_.enter(room, {peer.number, peer.slot})};
  if (account* const budget = settings_.hall->budget_of(room); budget != nullptr) {
    room_budgets_.resize(std::max<std::size_t>(room_budgets_.size(), room + 1));
    room_budgets_[room] = budget;
    session_of(*peer.record)->budget.enter(budget);
  }
  const std::size_t held_bytes = name_frame.bytes.size();
  if (!enqueue(peer, std::move(name_frame.bytes), !name_frame.with_header, held_bytes) &&
      peer.record->fate == close_reason::none) {
    condemn(*peer.record, close_reason::slow);  // the room is full
  }
}

void uring_service::leave_room(const place& peer) noexcept {
  room_seat& seat = (*peer.home->seats)[peer.slot];
  if (seat.room == 0) {
    return;
  }
  const std::uint32_t room = seat.room - 1;
  room_member moved{};
  if (members_.leave(room, seat.position, moved)) {
    (*at(moved.table, moved.slot).home->seats)[moved.slot].position = seat.position;
  }
  seat = {};
  settings_.hall->leave(room, settings_.loop_number);
}

/// `sender` is settled by whoever handles its input.
void uring_service::fan_out(std::uint32_t room, const room_frame& frame,
                            const uring_connection* sender) noexcept {
  doomed_.clear();
  room_was_full_ = false;
  for (const room_member& one : members_.of(room)) {
    deliver(at(one.table, one.slot), room, frame);
  }
  for (const room_member& one : doomed_) {
    // open: one may be in the list twice
    if (const place member = at(one.table, one.slot);
        member.record != sender && member.record->open) {
      settle(member);
    }
  }
}

/// Never closes the member: its room is being gone through.
void uring_service::deliver(const place& member, std::uint32_t room,
                            const room_frame& frame) noexcept {
  uring_connection& record = *member.record;
  if (record.fate != close_reason::none) {
    return;
  }
  const uring_session* const active = session_of(record);
  if (active != nullptr && !active->queue.empty() &&
      active->budget.used_bytes() + frame.bytes.size() > queue_limit()) {
    counts_.room_drops.add();
    if (settings_.slow_members == slow_policy::close) {
      condemn(record, close_reason::slow);
      doomed_.push_back({member.number, member.slot});
    }
    return;
  }
  shared_buffer copy = settings_.copy_to_members ? copy_of(frame.bytes.span()) : frame.bytes;
  if (!copy) {
    counts_.room_drops.add();
    return;
  }
  const std::size_t held_bytes = copy.size();
  bool queued = enqueue(member, std::move(copy), !frame.with_header, held_bytes);
  if (!queued && record.fate == close_reason::none && make_room_in(room, member)) {
    queued = enqueue(member, std::move(copy), !frame.with_header, held_bytes);
  }
  if (!queued) {
    counts_.room_drops.add(record.fate == close_reason::none ? 1 : 0);
    doomed_.push_back({member.number, member.slot});  // to be settled
    return;
  }
  counts_.room_deliveries.add();
  send(member);
}

/// The room's budget refused a frame for `member`. Where that is the policy, who holds most of it
/// here is closed, one a round, and what it held is charged to the room no longer. False: it stays
/// full.
bool uring_service::make_room_in(std::uint32_t room, const place& member) noexcept {
  if (settings_.slow_members != slow_policy::close || std::exchange(room_was_full_, true)) {
    return false;
  }
  uring_session* most = nullptr;
  for (const room_member& one : members_.of(room)) {
    const uring_connection& record = *at(one.table, one.slot).record;
    uring_session* const active = session_of(record);
    if (active != nullptr && record.fate == close_reason::none &&
        (most == nullptr || active->queue.held_bytes() > most->queue.held_bytes())) {
      most = active;
    }
  }
  if (most == nullptr) {
    return false;
  }
  const place slowest = at(most->table, most->slot);
  most->budget.leave(most->queue.held_bytes());
  condemn(*slowest.record, close_reason::slow);
  doomed_.push_back({slowest.number, slowest.slot});
  return slowest.record != member.record;
}

/// nullptr: it is in no room, or that has none.
account* uring_service::room_budget(const place& peer) const noexcept {
  if (peer.home->seats == nullptr) {
    return nullptr;
  }
  const std::uint32_t room = (*peer.home->seats)[peer.slot].room;
  return room != 0 && room <= room_budgets_.size() ? room_budgets_[room - 1] : nullptr;
}

/// In a buffer of their own; empty where there is none.
shared_buffer uring_service::copy_of(std::span<const std::byte> bytes) noexcept {
  buffer copy = source_.try_alloc(bytes.size());
  if (copy) {
    std::memcpy(copy.data(), bytes.data(), bytes.size());
  }
  return shared_buffer(std::move(copy));
}

void uring_service::deliver_mail() noexcept {
  if (settings_.hall == nullptr) {
    return;
  }
  settings_.hall->take_mail(settings_.loop_number, mail_);
  for (const room_mail& one : mail_) {
    fan_out(one.room, one.frame, nullptr);
    settings_.hall->delivered(one.room);
  }
  mail_.clear();
}

}  // namespace ringpool::tools
