// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>
#include <rte_eal.h>

#include <array>
#include <stdexcept>

namespace bench {

/// DPDK's environment, once: on the heap, no files, no huge pages, no network devices. It pins the
/// thread that starts it, which is undone.
inline void start_dpdk() {
  static const bool started = [] {
    cpu_set_t before;
    pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    std::array<char[16], 7> words{
        {"bench", "--no-huge", "--no-shconf", "--no-pci", "-m", "512", "--no-telemetry"}};
    std::array<char*, 9> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) {
      arguments[i] = words[i];
    }
    arguments[words.size()] = const_cast<char*>("--log-level=*:error");
    if (rte_eal_init(static_cast<int>(words.size()) + 1, arguments.data()) < 0) {
      throw std::runtime_error("rte_eal_init failed");
    }
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    return true;
  }();
  (void)started;
}

}  // namespace bench
