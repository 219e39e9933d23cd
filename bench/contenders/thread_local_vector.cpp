// SPDX-License-Identifier: MIT
//
// The honest floor: a stack of pointers for each thread, shared by nobody. It cannot hand a buffer
// to another thread without running dry, has no common capacity, counts nothing and checks nothing.

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <vector>

#include "add_contender.hpp"

namespace {

class thread_local_vector {
 public:
  static constexpr bench::about about{.name = "thread-local vector", .crosses_threads = false};
  explicit thread_local_vector(const bench::demand& wanted)
      : bytes_(wanted.bytes),
        count_(std::max<std::size_t>(wanted.count / wanted.threads, 1)),
        list_(static_cast<std::size_t>(std::countr_zero(wanted.bytes)) % lists_.size()) {
    lists_[list_] = {};
  }
  void* take(std::size_t) {
    std::vector<void*>& free = lists_[list_].free;
    if (free.empty()) [[unlikely]] {
      fill(lists_[list_]);
    }
    void* const top = free.back();
    free.pop_back();
    return top;
  }
  void give(void* buffer, std::size_t) { lists_[list_].free.push_back(buffer); }

 private:
  struct list {
    std::vector<void*> free;
    std::vector<std::unique_ptr<char[]>> memory;
  };

  [[gnu::noinline]] void fill(list& empty) const {
    empty.memory.push_back(std::make_unique_for_overwrite<char[]>(count_ * bytes_));
    for (std::size_t i = count_; i > 0; --i) {
      empty.free.push_back(empty.memory.back().get() + (i - 1) * bytes_);
    }
  }

  static thread_local std::array<list, 8> lists_;  // one for each power of two of the sizes
  std::size_t bytes_;
  std::size_t count_;
  std::size_t list_;
};
thread_local std::array<thread_local_vector::list, 8> thread_local_vector::lists_;

const bool added = bench::add<thread_local_vector>();

}  // namespace
