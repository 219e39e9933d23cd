// SPDX-License-Identifier: MIT
// What frame_service does as time goes by: deadlines, budgets, memory given back, the end.
#include <algorithm>

#include "frame_service.hpp"

namespace ringpool::tools {
namespace {

bool over(std::uint32_t now, std::uint32_t since, std::uint32_t limit) noexcept {
  return limit != 0 && now - since > limit;
}

}  // namespace

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
  const bool waits_for_peer = !active->between_frames() &&
                              (!peer.starved || active->large != nullptr) && !peer.slowed &&
                              !peer.ending;
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

/// The account of a connection that becomes active.
loop_account::settings frame_service::budget_settings() noexcept {
  const std::uint64_t limit_bytes = limits_.connection_budget_bytes != 0
                                        ? limits_.connection_budget_bytes
                                        : loop_account::max_bytes;
  const std::uint64_t high_bytes = std::min<std::uint64_t>(limits_.send_queue_bytes, limit_bytes);
  return {.limit_bytes = limit_bytes,
          .high_bytes = high_bytes,
          .low_bytes = high_bytes / 2,
          .parent = &held_};
}

std::size_t fair_bytes(const service_limits& limits) noexcept {
  return limits.piece_bytes != 0 ? limits.piece_bytes : limits.max_frame_bytes;
}

void frame_service::shed_if_asked() noexcept {
  if (board_ == nullptr || !board_->took(loop_)) [[likely]] {
    return;
  }
  session* largest = nullptr;
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    session* const one = sessions_.find(i);
    if (one != nullptr &&
        (largest == nullptr || one->budget.used_bytes() > largest->budget.used_bytes())) {
      largest = one;
    }
  }
  const shed_board::figures all = board_->publish(loop_, {held_.used_bytes(), sessions_.in_use()});
  if (largest != nullptr &&
      shed_board::is_hog(largest->budget.used_bytes(), all, fair_bytes(limits_))) {
    connection& hog = records_[largest->slot];
    condemn(hog, close_reason::shed);
    close(hog);
  }
}

void frame_service::list_holders(holder_list& out) noexcept {
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    if (const session* const one = sessions_.find(i); one != nullptr) {
      out.add(one->budget.used_bytes(), records_[one->slot].fd);
    }
  }
}

void frame_service::trim() noexcept {
  records_.trim();
  sessions_.trim();
  chunks_.trim();
  large_frames_.trim();
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
  return records_.committed_bytes() + sessions_.committed_bytes() + chunks_.committed_bytes() +
         large_frames_.committed_bytes();
}

}  // namespace ringpool::tools
