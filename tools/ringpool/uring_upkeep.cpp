// SPDX-License-Identifier: MIT
// What uring_service does as time goes by: deadlines, memory given back, the end.
#include <algorithm>

#include "record/recorder.hpp"
#include "uring_service.hpp"

namespace ringpool::tools {
namespace {

bool over(std::uint32_t now, std::uint32_t since, std::uint32_t limit) noexcept {
  return limit != 0 && now - since > limit;
}

}  // namespace

close_reason uring_service::overdue(const uring_connection& record) noexcept {
  const uring_session* active = session_of(record);
  if (active == nullptr) {
    return over(tick_, record.last_tick, settings_.limits.idle_ticks) ? close_reason::idle_timeout
                                                                      : close_reason::none;
  }
  if (!active->queue.empty() && over(tick_, active->send_tick, settings_.limits.send_ticks)) {
    return close_reason::send_timeout;
  }
  const bool waits_for_peer = !active->decoder.between_frames() && active->parked.empty() &&
                              !record.waiting && !record.slowed && !record.ending;
  return waits_for_peer && over(tick_, active->frame_tick, settings_.limits.frame_ticks)
             ? close_reason::frame_timeout
             : close_reason::none;
}

/// Looks anew whether a half frame goes on: Linux says nothing of a reset that came together with
/// the bytes that a multishot receive then took, until it is armed again.
void uring_service::ask_again(const place& peer, uring_session& active) noexcept {
  constexpr std::uint32_t patience = 2;  // ticks
  if (!active.asked && peer.record->armed == uring_operation::receive &&
      !active.decoder.between_frames() && over(tick_, active.input_tick, patience)) {
    active.asked = true;
    stop_receiving(peer);
  }
}

void uring_service::close_overdue(const place& peer) noexcept {
  if (!peer.record->open) {
    return;
  }
  if (peer.record->fate == close_reason::none || peer.record->ending) {
    if (const close_reason reason = overdue(*peer.record); reason != close_reason::none) {
      condemn(*peer.record, reason);
    }
  }
  if (uring_session* const active = session_of(*peer.record); active != nullptr) {
    ask_again(peer, *active);
  }
  settle(peer);  // or what the kernel had no entry for
}

void uring_service::on_tick() noexcept {
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    if (const uring_session* active = sessions_.find(i); active != nullptr) {
      close_overdue(at(active->table, active->slot));
    }
  }
  for (std::uint32_t number = 0; number < table_end(); ++number) {
    uring_table* const home = table(number);
    if (home == nullptr) {
      continue;
    }
    if (settings_.limits.idle_ticks != 0) {
      for (std::uint32_t left = (home->end + 3) / 4; left != 0; --left) {
        home->idle_cursor = home->idle_cursor + 1 < home->end ? home->idle_cursor + 1 : 0;
        close_overdue(at(number, home->idle_cursor));
      }
    }
    adjust_target(*home);
    settle_table(number);
  }
}

void uring_service::take_up(const service_limits& limits, slow_policy slow_members,
                            bool copy_to_members, multi_size_ring_pool& pool) noexcept {
  settings_.limits = limits;
  settings_.slow_members = slow_members;
  settings_.copy_to_members = copy_to_members;
  if (source_.is(pool)) {
    return;
  }
  source_.serve_from(pool);
  set_kernel_limit(pool);
  for (const auto& one : tables_) {
    if (one != nullptr) {
      one->outdated = outdated_ = true;
    }
  }
}

bool uring_service::renew_buffers() noexcept {
  if (!outdated_) {
    return false;
  }
  outdated_ = false;
  for (std::uint32_t number = 0; number < table_end(); ++number) {
    uring_table* const home = table(number);
    if (home == nullptr || !home->outdated) {
      continue;
    }
    home->receives.shrink(0);
    home->outdated = home->receives.kernel_owned() != 0;
    outdated_ = outdated_ || home->outdated;
    settle_table(number);  // buffers of the new pools
  }
  return outdated_;
}

// --- budgets ---

/// What a connection may hold before it is not read, or misses frames of its room.
std::uint64_t uring_service::queue_limit() const noexcept {
  const service_limits& limits = settings_.limits;
  return limits.connection_budget_bytes != 0
             ? std::min(limits.send_queue_bytes, limits.connection_budget_bytes)
             : limits.send_queue_bytes;
}

/// No limit: what the kernel has received is here already. The mark is one byte above the limit.
loop_account::settings uring_service::budget_settings() noexcept {
  return {.high_bytes = queue_limit() + 1, .low_bytes = queue_limit() / 2, .parent = &held_};
}

void uring_service::charge_input(uring_session& active) noexcept {
  const std::size_t bytes = active.decoder.held_bytes() + active.parked.held_bytes();
  if (bytes < active.input_bytes) {
    active.budget.refund_input(active.input_bytes - bytes);
  } else if (bytes > active.input_bytes &&
             !active.budget.try_charge_input(bytes - active.input_bytes)) {
    return;
  }
  active.input_bytes = bytes;
}

void uring_service::shed_if_asked() noexcept {
  if (board_ == nullptr || !board_->took(settings_.loop_number)) [[likely]] {
    return;
  }
  uring_session* largest = nullptr;
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    uring_session* const one = sessions_.find(i);
    if (one != nullptr &&
        (largest == nullptr || one->budget.used_bytes() > largest->budget.used_bytes())) {
      largest = one;
    }
  }
  const shed_board::figures all =
      board_->publish(settings_.loop_number, {held_.used_bytes(), sessions_.in_use()});
  if (largest == nullptr ||
      !shed_board::is_hog(largest->budget.used_bytes(), all, fair_bytes(settings_.limits))) {
    return;
  }
  const place hog = at(largest->table, largest->slot);
  if (hog.record->fate == close_reason::none || hog.record->ending) {
    condemn(*hog.record, close_reason::shed);
    settle(hog);
  }
}

void uring_service::list_holders(holder_list& out) noexcept {
  for (std::uint32_t i = 0; i < sessions_.end(); ++i) {
    if (const uring_session* const one = sessions_.find(i); one != nullptr) {
      out.add(one->budget.used_bytes(), -1);
    }
  }
}

void uring_service::trim() noexcept {
  sessions_.trim();
  chunks_.trim();
  if (recorder_ != nullptr) {
    recorder_->flush();
  }
  for (const auto& one : tables_) {
    if (one != nullptr && one->end != 0 && one->open == 0 &&
        one->waiting.count() + one->stuck.count() == 0) {
      record_bytes_.set(record_bytes_.get() - one->end * sizeof(uring_connection));
      one->end = 0;
      one->records.discard();
      if (one->seats != nullptr) {
        one->seats->discard();
      }
    }
  }
}

void uring_service::begin_drain() noexcept {
  draining_ = true;
  for_each_open([this](const place& peer) { settle(peer); });
}

void uring_service::end_drain() noexcept {
  for_each_open([this](const place& peer) {
    condemn(*peer.record, close_reason::drain_timeout);
    settle(peer);
  });
}

template <class Action>
void uring_service::for_each_open(Action action) noexcept {
  for (std::uint32_t number = 0; number < table_end(); ++number) {
    const uring_table* const home = table(number);
    for (std::uint32_t slot = 0; home != nullptr && slot < home->end; ++slot) {
      if (const place peer = at(number, slot); peer.record->open) {
        action(peer);
      }
    }
  }
}

std::size_t uring_service::table_bytes() const noexcept {
  return record_bytes_.get() + sessions_.committed_bytes() + chunks_.committed_bytes();
}

}  // namespace ringpool::tools
