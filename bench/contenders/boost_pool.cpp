// SPDX-License-Identifier: MIT
// needs boost/pool/pool.hpp

#include <boost/pool/pool.hpp>
#include <mutex>

#include "add_contender.hpp"

namespace {

/// As boost::singleton_pool has it: a pool behind a mutex.
class boost_pool {
 public:
  static constexpr bench::about about{.name = "Boost.Pool, mutex"};
  explicit boost_pool(const bench::demand& wanted) : pool_(wanted.bytes, wanted.count) {}
  void* take(std::size_t) {
    const std::lock_guard lock(mutex_);
    return pool_.malloc();
  }
  void give(void* buffer, std::size_t) {
    const std::lock_guard lock(mutex_);
    pool_.free(buffer);
  }

 private:
  std::mutex mutex_;
  boost::pool<> pool_;
};

const bool added = bench::add<boost_pool>();

}  // namespace
