// SPDX-License-Identifier: MIT

#include <ringpool/ringpool.hpp>

#include "add_contender.hpp"

namespace {

/// A set of size classes, those of the mixed workload; the class is found by size, and by address.
class ringpool_sizes {
 public:
  static constexpr bench::about about{.name = "ringpool, sizes", .ours = true, .any_size = true};
  explicit ringpool_sizes(const bench::demand& wanted) : pool_(classes(wanted)) {}
  void* take(std::size_t bytes) { return pool_.allocate(bytes); }
  void give(void* buffer, std::size_t) { pool_.deallocate(buffer); }
  void take_bulk(std::span<void*> out) { (void)pool_.allocate_bulk(bench::request_bytes, out); }
  void give_bulk(std::span<void* const> buffers) { pool_.deallocate_bulk(buffers); }

 private:
  static std::vector<ringpool::size_class> classes(const bench::demand& wanted) {
    std::vector<ringpool::size_class> all;
    for (const bench::share& each : bench::game_sizes) {
      all.push_back({each.bytes, wanted.count});
    }
    return all;
  }

  ringpool::multi_size_ring_pool pool_;
};

const bool added = bench::add<ringpool_sizes>();
// A set is resident in all its sizes: its figure would say nothing of one buffer.
const auto no_memory = bench::row(ringpool_sizes::about)[bench::workload::memory] = nullptr;

}  // namespace
