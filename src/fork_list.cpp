// SPDX-License-Identifier: MIT
#include "ringpool/detail/fork_list.hpp"

#include <pthread.h>

#include <mutex>

#include "ringpool/detail/asymmetric_fence.hpp"
#include "ringpool/detail/thread_slot.hpp"

namespace ringpool::detail {

/// The process's list. pthread_atfork(3) handlers walk it.
struct fork_list {
  std::mutex mutex;
  fork_node* first = nullptr;

  /// As pthread_atfork does it: the youngest first before the fork, the oldest first after it, so
  /// that what a member was made over is locked after it and unlocked before it.
  void call_all(fork_phase phase) noexcept {
    fork_node* node = first;
    while (phase != fork_phase::prepare && node != nullptr && node->next_ != nullptr) {
      node = node->next_;
    }
    while (node != nullptr) {
      node->call_(node->self_, phase);
      node = phase == fork_phase::prepare ? node->next_ : node->previous_;
    }
  }
  void insert(fork_node& node) noexcept {
    const std::lock_guard lock(mutex);
    node.next_ = first;
    if (first != nullptr) {
      first->previous_ = &node;
    }
    first = &node;
  }
  void remove(fork_node& node) noexcept {
    const std::lock_guard lock(mutex);
    (node.previous_ != nullptr ? node.previous_->next_ : first) = node.next_;
    if (node.next_ != nullptr) {
      node.next_->previous_ = node.previous_;
    }
  }
};

namespace {

/// Never destroyed: pools with static storage may die after everything else.
fork_list& list() noexcept {
  alignas(fork_list) static unsigned char storage[sizeof(fork_list)];
  static fork_list* const instance = [] {
    auto* made = ::new (storage) fork_list;
    ::pthread_atfork(
        [] {
          list().mutex.lock();
          list().call_all(fork_phase::prepare);
        },
        [] {
          list().call_all(fork_phase::parent);
          list().mutex.unlock();
        },
        [] {
          membarrier_after_fork();
          thread_slots_after_fork();
          list().call_all(fork_phase::child);
          list().mutex.unlock();
        });
    return made;
  }();
  return *instance;
}

}  // namespace

fork_node::fork_node(void* self, callback call) noexcept : self_(self), call_(call) {
  list().insert(*this);
}

fork_node::~fork_node() { list().remove(*this); }

}  // namespace ringpool::detail
