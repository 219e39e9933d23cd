// SPDX-License-Identifier: MIT
// needs concurrentqueue/concurrentqueue.h

#include <concurrentqueue/concurrentqueue.h>

#include "free_list_memory.hpp"

namespace {

class moodycamel_queue {
 public:
  static constexpr bench::about about{.name = "moodycamel queue"};
  explicit moodycamel_queue(const bench::demand& wanted)
      : free_(wanted.count), memory_(wanted, [this](void* buffer) { free_.enqueue(buffer); }) {}
  void* take(std::size_t) {
    void* buffer = nullptr;
    while (!free_.try_dequeue(buffer)) {  // fails now and then where others are under way
    }
    return buffer;
  }
  void give(void* buffer, std::size_t) { free_.enqueue(buffer); }
  void take_bulk(std::span<void*> out) {
    for (std::size_t done = 0; done < out.size();) {
      done += free_.try_dequeue_bulk(out.begin() + static_cast<std::ptrdiff_t>(done),
                                     out.size() - done);
    }
  }
  void give_bulk(std::span<void* const> buffers) {
    free_.enqueue_bulk(buffers.begin(), buffers.size());
  }

 private:
  moodycamel::ConcurrentQueue<void*> free_;
  bench::free_list_memory memory_;
};

const bool added = bench::add<moodycamel_queue>();

}  // namespace
