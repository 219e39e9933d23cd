// SPDX-License-Identifier: MIT
//
// A user of libringpool.so in a shared library of its own, as a plug-in is: what a call through it
// costs, and whether the fast path stays free of calls for thread-local words.

#include <cstddef>
#include <ringpool/ringpool.hpp>

extern "C" {

void* consumer_open(std::size_t bytes, std::size_t count) {
  return new ringpool::ring_buffer_pool(bytes, count);
}
void consumer_close(void* pool) { delete static_cast<ringpool::ring_buffer_pool*>(pool); }
void* consumer_take(void* pool, std::size_t bytes) {
  return static_cast<ringpool::ring_buffer_pool*>(pool)->allocate(bytes);
}
void consumer_give(void* pool, void* buffer) {
  static_cast<ringpool::ring_buffer_pool*>(pool)->deallocate(buffer);
}

}  // extern "C"
