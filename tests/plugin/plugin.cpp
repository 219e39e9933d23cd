// SPDX-License-Identifier: MIT
//
// A library that a program loads, uses on several threads, and unloads, and that owns a pool.

#include <pthread.h>

#include "ringpool/ring_buffer_pool.hpp"

namespace {

ringpool::ring_buffer_pool& pool() {
  static ringpool::ring_buffer_pool instance(256, 64, {.elastic_capacity = 16});
  return instance;
}

}  // namespace

/// Takes and gives `count` buffers; how many there are to be had at the end.
extern "C" std::size_t plugin_use(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const ringpool::buffer one = pool().alloc(100);
    one.data()[99] = std::byte{1};
  }
  return pool().stats().available;
}

/// A seeded bug: at the end of the calling thread, code of this library will be called.
extern "C" void plugin_leave_a_key_behind() {
  pthread_key_t key{};
  ::pthread_key_create(&key, [](void* counter) { ++*static_cast<int*>(counter); });
  static int counter = 0;
  ::pthread_setspecific(key, &counter);
}
