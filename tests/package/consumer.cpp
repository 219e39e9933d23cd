// SPDX-License-Identifier: MIT
// A user of the library who knows its public headers alone. Compiled by each consumer project, with
// and without exceptions.

#include <cstdio>
#include <ringpool/ringpool.hpp>
#include <system_error>

#if defined(EXPECT_NO_EXCEPTIONS) && (defined(__cpp_exceptions) || defined(__cpp_rtti))
#error "this consumer must be compiled without exceptions and without type information"
#endif

namespace {

int fail(const char* what) {
  std::fprintf(stderr, "consumer: %s\n", what);
  return 1;
}

int use(ringpool::ring_buffer_pool& pool) {
  {
    const ringpool::buffer held = pool.alloc(500);
    if (!held || held.size() != 500 || held.capacity() < 1024) {
      return fail("alloc(500) of 1024-byte buffers");
    }
    if (pool.stats().in_use != 1) {
      return fail("one buffer is held, and statistics do not say so");
    }
  }
  const ringpool::pool_stats now = pool.stats();
  if (now.in_use != 0 || now.alloc_count != 1 || now.free_count != 1 || now.available != 256) {
    return fail("statistics after the only buffer was given back");
  }
  return 0;
}

}  // namespace

int main() {
  std::error_code error;
  const auto made = ringpool::ring_buffer_pool::create(1024, 256, {}, error);
  if (made == nullptr || error) {
    return fail("create(1024, 256)");
  }
  if (ringpool::ring_buffer_pool::create(1024, 255, {}, error) != nullptr ||
      error != ringpool::errc::invalid_capacity) {
    return fail("create accepted a capacity that is no power of two");
  }
  if (const int code = use(*made); code != 0) {
    return code;
  }
  ringpool::ring_buffer_pool pool(1024, 256);
  return use(pool);
}
