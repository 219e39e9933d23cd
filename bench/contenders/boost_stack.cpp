// SPDX-License-Identifier: MIT
// needs boost/lockfree/stack.hpp

#include <boost/lockfree/stack.hpp>

#include "free_list_memory.hpp"

namespace {

class boost_stack {
 public:
  static constexpr bench::about about{.name = "boost::lockfree::stack", .exact = true};
  explicit boost_stack(const bench::demand& wanted)
      : free_(wanted.count), memory_(wanted, [this](void* buffer) { free_.push(buffer); }) {}
  void* take(std::size_t) {
    void* buffer = nullptr;
    return free_.pop(buffer) ? buffer : nullptr;
  }
  void give(void* buffer, std::size_t) { free_.bounded_push(buffer); }

 private:
  boost::lockfree::stack<void*> free_;
  bench::free_list_memory memory_;
};

const bool added = bench::add<boost_stack>();

}  // namespace
