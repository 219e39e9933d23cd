// SPDX-License-Identifier: MIT
// needs atomic_queue/atomic_queue.h

#include <atomic_queue/atomic_queue.h>

#include "free_list_memory.hpp"

namespace {

class atomic_queue_list {
 public:
  static constexpr bench::about about{.name = "atomic_queue", .exact = true};
  explicit atomic_queue_list(const bench::demand& wanted)
      : free_(static_cast<unsigned>(2 * wanted.count)),
        memory_(wanted, [this](void* buffer) { free_.push(buffer); }) {}
  void* take(std::size_t) {
    void* buffer = nullptr;
    return free_.try_pop(buffer) ? buffer : nullptr;
  }
  void give(void* buffer, std::size_t) { free_.push(buffer); }

 private:
  atomic_queue::AtomicQueueB<void*> free_;
  bench::free_list_memory memory_;
};

const bool added = bench::add<atomic_queue_list>();

}  // namespace
