// SPDX-License-Identifier: MIT
#include "ringpool/account.hpp"

namespace ringpool {

void account_set::add(account& one) {
  const std::lock_guard lock(mutex_);
  if (std::find(accounts_.begin(), accounts_.end(), &one) == accounts_.end()) {
    accounts_.push_back(&one);
  }
}

void account_set::remove(account& one) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(accounts_, &one);
}

std::size_t account_set::size() const {
  const std::lock_guard lock(mutex_);
  return accounts_.size();
}

auto account_set::largest(std::size_t count) const -> std::vector<entry> {
  std::vector<entry> found;
  {
    const std::lock_guard lock(mutex_);
    found.reserve(accounts_.size());
    for (account* one : accounts_) {
      found.push_back({one, one->used_bytes()});  // once: sorting needs figures that stand
    }
  }
  const std::size_t most = std::min(count, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(most), found.end(),
                    [](const entry& a, const entry& b) { return a.used_bytes > b.used_bytes; });
  found.resize(most);
  return found;
}

}  // namespace ringpool
