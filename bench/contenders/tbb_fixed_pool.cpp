// SPDX-License-Identifier: MIT
// needs oneapi/tbb/memory_pool.h

#include <oneapi/tbb/memory_pool.h>

#include <memory>

#include "add_contender.hpp"

namespace {

/// oneTBB's pool over one fixed block of memory.
class tbb_fixed_pool {
 public:
  static constexpr bench::about about{.name = "oneTBB fixed pool", .any_size = true};
  explicit tbb_fixed_pool(const bench::demand& wanted)
      : bytes_(2 * wanted.bytes * wanted.count + (std::size_t{wanted.threads} << 21) + (64U << 20)),
        memory_(std::make_unique_for_overwrite<char[]>(bytes_)),
        pool_(memory_.get(), bytes_) {}
  void* take(std::size_t bytes) { return pool_.malloc(bytes); }
  void give(void* buffer, std::size_t) { pool_.free(buffer); }

 private:
  std::size_t bytes_;  // room for its own blocks and for what its threads keep
  std::unique_ptr<char[]> memory_;
  tbb::fixed_pool pool_;
};

const bool added = bench::add<tbb_fixed_pool>();

}  // namespace
