// SPDX-License-Identifier: MIT

#include <mutex>
#include <vector>

#include "free_list_memory.hpp"

namespace {

class mutex_list {
 public:
  static constexpr bench::about about{.name = "mutex and vector", .exact = true};
  explicit mutex_list(const bench::demand& wanted)
      : memory_(wanted, [this](void* buffer) { free_.push_back(buffer); }) {}
  void* take(std::size_t) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      return nullptr;
    }
    void* const top = free_.back();
    free_.pop_back();
    return top;
  }
  void give(void* buffer, std::size_t) {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }

 private:
  std::mutex mutex_;
  std::vector<void*> free_;
  bench::free_list_memory memory_;
};

const bool added = bench::add<mutex_list>();

}  // namespace
