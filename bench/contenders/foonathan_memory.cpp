// SPDX-License-Identifier: MIT
// needs foonathan/memory/memory_pool.hpp

#include <foonathan/memory/allocator_storage.hpp>
#include <foonathan/memory/memory_pool.hpp>

#include "add_contender.hpp"

namespace {

class foonathan_memory {
 public:
  static constexpr bench::about about{.name = "foonathan, mutex"};
  explicit foonathan_memory(const bench::demand& wanted)
      : pool_(pool(wanted.bytes, pool::min_block_size(wanted.bytes, wanted.count))) {}
  void* take(std::size_t) {
    const auto locked = pool_.lock();
    return locked->allocate_node();
  }
  void give(void* buffer, std::size_t) {
    const auto locked = pool_.lock();
    locked->deallocate_node(buffer);
  }

 private:
  using pool = foonathan::memory::memory_pool<foonathan::memory::node_pool>;
  foonathan::memory::thread_safe_allocator<pool> pool_;
};

const bool added = bench::add<foonathan_memory>();

}  // namespace
