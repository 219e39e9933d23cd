// SPDX-License-Identifier: MIT
#include "rooms.hpp"

#include <utility>

#include "server_loop.hpp"

namespace ringpool::tools {

std::uint32_t rooms::enter(const std::string& name, unsigned loop) {
  const std::lock_guard lock(mutex_);
  const auto [entry, is_new] = numbers_.try_emplace(name, 0);
  if (is_new) {
    if (unused_.empty()) {
      unused_.push_back(static_cast<std::uint32_t>(rooms_.size()));
      rooms_.emplace_back();
    }
    entry->second = unused_.back();
    unused_.pop_back();
    rooms_[entry->second] = {name, std::vector<std::uint32_t>(loops_.size()), 0};
  }
  room& entered = rooms_[entry->second];
  ++entered.members[loop];
  ++entered.references;
  return entry->second;
}

void rooms::leave(std::uint32_t number, unsigned loop) noexcept {
  const std::lock_guard lock(mutex_);
  --rooms_[number].members[loop];
  release(number);
}

void rooms::delivered(std::uint32_t number) noexcept {
  const std::lock_guard lock(mutex_);
  release(number);
}

/// One reference less; with mutex_.
void rooms::release(std::uint32_t number) noexcept {
  room& one = rooms_[number];
  if (--one.references == 0) {
    numbers_.erase(one.name);
    unused_.push_back(number);
  }
}

bool rooms::refer_if_present(std::uint32_t number, unsigned loop) noexcept {
  const std::lock_guard lock(mutex_);
  const bool present = rooms_[number].members[loop] != 0;
  rooms_[number].references += present ? 1 : 0;
  return present;
}

void rooms::publish(std::uint32_t number, unsigned from_loop, const room_frame& frame) {
  for (unsigned loop = 0; loop < loops_.size(); ++loop) {
    if (loop == from_loop || !refer_if_present(number, loop)) {
      continue;
    }
    bool first = false;
    {
      const std::lock_guard lock(inboxes_[loop].mutex);
      first = inboxes_[loop].mail.empty();
      inboxes_[loop].mail.push_back({number, frame});
    }
    if (first) {
      loops_[loop]->wake();
    }
  }
}

void rooms::take_mail(unsigned loop, std::vector<room_mail>& out) {
  out.clear();
  const std::lock_guard lock(inboxes_[loop].mutex);
  std::swap(out, inboxes_[loop].mail);
}

void rooms::forget_mail() noexcept {
  for (inbox& one : inboxes_) {
    const std::lock_guard lock(one.mutex);
    one.mail.clear();
  }
}

account* rooms::budget_of(std::uint32_t number) {
  if (budget_bytes_ == 0) {
    return nullptr;
  }
  const std::lock_guard lock(mutex_);
  if (number >= budgets_.size()) {
    budgets_.resize(number + 1);
  }
  if (budgets_[number] == nullptr) {
    budgets_[number] = std::make_unique<account>(account::settings{.limit_bytes = budget_bytes_});
  }
  return budgets_[number].get();
}

std::uint64_t rooms::charged_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& one : budgets_) {
    sum += one != nullptr ? one->used_bytes() : 0;
  }
  return sum;
}

std::size_t rooms::count() const {
  const std::lock_guard lock(mutex_);
  return numbers_.size();
}

}  // namespace ringpool::tools
