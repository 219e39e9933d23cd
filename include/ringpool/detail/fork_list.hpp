// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::detail {

enum class fork_phase : std::uint8_t { prepare, parent, child };

/// A member of every object that must do something around fork(2): listed while it lives, called
/// with the list's lock held.
class fork_node {
 public:
  using callback = void (*)(void* self, fork_phase phase) noexcept;

  fork_node(void* self, callback call) noexcept;
  ~fork_node();
  fork_node(const fork_node&) = delete;
  fork_node& operator=(const fork_node&) = delete;

 private:
  friend struct fork_list;
  void* self_;
  callback call_;
  fork_node* previous_ = nullptr;
  fork_node* next_ = nullptr;
};

}  // namespace ringpool::detail
