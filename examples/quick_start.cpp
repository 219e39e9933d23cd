// SPDX-License-Identifier: MIT
#include <cstdio>
#include <ringpool/ringpool.hpp>
#include <thread>

int main() {
  ringpool::multi_size_ring_pool pool({{64, 8192}, {512, 4096}, {4096, 1024}});

  ringpool::buffer frame = pool.alloc(300);  // one of 512 bytes: no heap, no lock
  std::thread peer([frame = std::move(frame)] { frame.data()[0] = std::byte{42}; });
  peer.join();  // the buffer has given itself back, on the other thread

  for (const ringpool::pool_stats& one : pool.stats().classes) {
    std::printf("%zu bytes: %lu given out, %lu held\n", one.buffer_size, one.alloc_count,
                one.in_use);
  }
}
