// SPDX-License-Identifier: MIT

#include <memory_resource>

#include "add_contender.hpp"

namespace {

class pmr_synchronized {
 public:
  static constexpr bench::about about{.name = "std::pmr synchronized", .any_size = true};
  explicit pmr_synchronized(const bench::demand&) {}
  void* take(std::size_t bytes) { return pool_.allocate(bytes); }
  void give(void* buffer, std::size_t bytes) { pool_.deallocate(buffer, bytes); }

 private:
  std::pmr::synchronized_pool_resource pool_;
};

const bool added = bench::add<pmr_synchronized>();

}  // namespace
