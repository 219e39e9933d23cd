// SPDX-License-Identifier: MIT
// needs rte_mempool.h

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "add_contender.hpp"
#include "dpdk_start.hpp"

namespace {

enum class kind : std::uint8_t { cached, plain, preemptible };

template <kind Kind>
class dpdk_mempool {
 public:
  static constexpr bench::about about{.name = Kind == kind::cached  ? "DPDK + cache"
                                              : Kind == kind::plain ? "DPDK, no cache"
                                                                    : "DPDK, no cache, RTS",
                                      .exact = Kind != kind::cached};
  explicit dpdk_mempool(const bench::demand& wanted) {
    bench::start_dpdk();
    static std::atomic<unsigned> number{0};
    const std::string name = "bench" + std::to_string(number.fetch_add(1));
    pool_ = rte_mempool_create_empty(name.c_str(), static_cast<unsigned>(wanted.count),
                                     static_cast<unsigned>(wanted.bytes), cached(wanted), 0,
                                     SOCKET_ID_ANY, 0);
    if (pool_ == nullptr || (Kind == kind::preemptible &&
                             rte_mempool_set_ops_byname(pool_, "ring_mt_rts", nullptr) != 0)) {
      throw std::runtime_error(rte_strerror(rte_errno));
    }
    if (rte_mempool_populate_default(pool_) < 0) {
      throw std::runtime_error("rte_mempool_populate_default failed");
    }
  }
  ~dpdk_mempool() { rte_mempool_free(pool_); }
  void* take(std::size_t) {
    void* buffer = nullptr;
    return rte_mempool_get(pool_, &buffer) == 0 ? buffer : nullptr;
  }
  void give(void* buffer, std::size_t) { rte_mempool_put(pool_, buffer); }
  void take_bulk(std::span<void*> out) {
    (void)rte_mempool_get_bulk(pool_, out.data(), static_cast<unsigned>(out.size()));
  }
  void give_bulk(std::span<void* const> buffers) {
    rte_mempool_put_bulk(pool_, buffers.data(), static_cast<unsigned>(buffers.size()));
  }
  // A thread that is not registered has no cache; the first 128 can be.
  void enter_thread() { (void)rte_thread_register(); }
  void leave_thread() { rte_thread_unregister(); }

 private:
  /// 256 is what DPDK's examples take; less where the caches of all threads would hold everything.
  static unsigned cached(const bench::demand& wanted) {
    const std::size_t fair = std::min<std::size_t>(256, wanted.count / wanted.threads / 2);
    return Kind == kind::cached ? static_cast<unsigned>(fair) : 0;
  }

  rte_mempool* pool_;
};

const bool added = bench::add<dpdk_mempool<kind::cached>>() &&
                   bench::add<dpdk_mempool<kind::plain>>() &&
                   bench::add<dpdk_mempool<kind::preemptible>>();

// Its ring waits for threads that are not running: with more threads than processors it takes
// minutes for what others do in milliseconds (as its documentation says: not preemptible).
const bool bounded = [] {
  bench::contender& plain = bench::row(dpdk_mempool<kind::plain>::about);
  for (const auto crowded : {bench::workload::threads_16, bench::workload::threads_64,
                             bench::workload::tail_64, bench::workload::at_limit}) {
    plain[crowded] = nullptr;
  }
  return true;
}();

}  // namespace
