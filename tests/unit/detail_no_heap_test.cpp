// SPDX-License-Identifier: MIT

// No call of a pool allocates from the heap once the pool is made, but those that reach upstream.
// What is counted: in plain builds this file replaces malloc and its kin for the whole executable,
// over glibc's __libc_* entry points; under a sanitizer, which must keep malloc for itself, its own
// malloc hook counts. Counters are per thread, so that the test runner's other threads do not show.

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "../support/books.hpp"
#include "../support/child_process.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/sanitizers.hpp"
#include "ringpool/buffer_chain.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace {

// volatile: compilers take it that malloc changes no variable of the program.
constinit thread_local volatile std::size_t heap_calls = 0;
constinit thread_local std::size_t heap_calls_granted = ~std::size_t{0};  ///< further ones fail

}  // namespace

#if RINGPOOL_TEST_ASAN || RINGPOOL_TEST_TSAN

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*,
                                                                  std::size_t),
                                                         void (*)(const volatile void*));

namespace {
const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { heap_calls = heap_calls + 1; },
    [](const volatile void*) {});
}  // namespace

#else

namespace {
bool count_call() {
  heap_calls = heap_calls + 1;
  if (heap_calls_granted == 0) {
    errno = ENOMEM;
    return false;
  }
  --heap_calls_granted;
  return true;
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) noexcept { return count_call() ? __libc_malloc(bytes) : nullptr; }
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  return count_call() ? __libc_calloc(count, bytes) : nullptr;
}
void* realloc(void* old, std::size_t bytes) noexcept {
  return count_call() ? __libc_realloc(old, bytes) : nullptr;
}
void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  return count_call() ? __libc_memalign(alignment, bytes) : nullptr;
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  return memalign(alignment, bytes);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
  *out = memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
}

#endif

namespace ringpool {
namespace {

/// Heap allocations of this thread while `body` runs.
template <class Body>
std::size_t heap_calls_during(Body body) {
  const std::size_t before = heap_calls;
  body();
  return heap_calls - before;
}

constexpr std::size_t most_held = 4096;

/// Takes and gives up to `most_held` buffers `rounds` times, without a container on the heap.
void churn(ring_buffer_pool& pool, int rounds) {
  static thread_local void* held[most_held];
  for (int round = 0; round < rounds; ++round) {
    std::size_t count = 0;
    while (count < most_held && (held[count] = pool.allocate(pool.buffer_size())) != nullptr) {
      ++count;
    }
    while (count > 0) {
      pool.deallocate(held[--count]);
    }
  }
}

void* volatile sink;  // keeps compilers from leaving out a block that nobody looks at

TEST(no_heap, the_counter_counts) {
  EXPECT_EQ(heap_calls_during([] {
              auto* const one = new int(1);  // NOLINT(cppcoreguidelines-owning-memory)
              sink = one;
              delete one;
            }),
            1U);
  EXPECT_EQ(heap_calls_during([] {
              sink = std::calloc(3, 7);
              std::free(sink);
              sink = std::malloc(100);
              std::free(sink);
            }),
            2U);
  EXPECT_EQ(heap_calls_during([] {}), 0U);
}

TEST(no_heap, on_hits_refills_flushes_and_refusals) {
  ring_buffer_pool pool(64, 1024, {.upstream = nullptr});
  EXPECT_EQ(heap_calls_during([&] { churn(pool, 20); }), 0U);
  EXPECT_GT(pool.stats().refusal_count, 0U);
  test::expect_whole(pool);
}

TEST(no_heap, on_handles_and_statistics) {
  ring_buffer_pool pool(64, 16, {.upstream = nullptr, .zero_on_free = zeroing::used});
  EXPECT_EQ(heap_calls_during([&] {
              for (int i = 0; i < 100; ++i) {
                buffer one = pool.alloc(64);
                buffer other = pool.try_alloc(10);
                buffer none = pool.alloc(0);
                one.resize(3);
                swap(one, other);
                pool.deallocate(other.release());
                (void)pool.stats();
              }
            }),
            0U);
  test::expect_whole(pool);
}

TEST(no_heap, in_bulk) {
  static void* out[512];
  ring_buffer_pool pool(64, 256, {.upstream = nullptr});
  EXPECT_EQ(heap_calls_during([&] {
              for (int i = 0; i < 50; ++i) {
                const std::size_t count = pool.allocate_bulk(out);
                pool.deallocate_bulk(std::span<void* const>(out).first(count));
              }
            }),
            0U);
  test::expect_whole(pool);
}

TEST(no_heap, on_elastic_buffers_trim_and_decay) {
  ring_buffer_pool pool(4096, 4,
                        {.elastic_capacity = 100,
                         .upstream = nullptr,
                         .elastic_decay = std::chrono::milliseconds(0)});
  EXPECT_EQ(heap_calls_during([&] {
              for (int i = 0; i < 10; ++i) {
                churn(pool, 2);
                (void)pool.trim();
                (void)pool.decay();
              }
            }),
            0U);
  EXPECT_GT(pool.stats().elastic_alloc_count, 100U);
  test::expect_whole(pool);
}

TEST(no_heap, in_hardened_pools) {
  ring_buffer_pool pool(64, 256, {.elastic_capacity = 32, .upstream = nullptr, .hardened = true});
  EXPECT_EQ(heap_calls_during([&] { churn(pool, 10); }), 0U);
  test::expect_whole(pool);
}

TEST(no_heap, on_waits_that_are_served_cancelled_and_timed_out) {
  ring_buffer_pool pool(64, 1, {.upstream = nullptr});
  EXPECT_EQ(heap_calls_during([&] {
              for (int i = 0; i < 50; ++i) {
                buffer_waiter first(
                    1, [](buffer_waiter& /*self*/, buffer&& got) noexcept { got.reset(); });
                buffer_waiter second(1, [](buffer_waiter&, buffer&&) noexcept {});
                buffer held = pool.alloc(1);
                (void)pool.enqueue(first);
                (void)pool.enqueue(second);
                (void)second.cancel();
                (void)pool.alloc_for(1, std::chrono::microseconds(1));
                held.reset();
              }
            }),
            0U);
  EXPECT_EQ(pool.stats().wait_count, 150U);
  test::expect_whole(pool);
}

TEST(no_heap, in_every_class_of_a_set) {
  multi_size_ring_pool pool({{64, 64}, {256, 64}, {1024, 64}},
                            {.elastic_capacity = 8, .upstream = nullptr});
  static void* held[3 * 72];
  EXPECT_EQ(
      heap_calls_during([&] {
        for (int round = 0; round < 10; ++round) {
          std::size_t count = 0;
          for (const std::size_t size : {64U, 200U, 1000U}) {
            while ((held[count] = pool.allocate(size)) != nullptr && ++count < std::size(held)) {
              if (count % 72 == 0) {
                break;
              }
            }
          }
          pool.deallocate_bulk(std::span<void* const>(held).first(count));
          (void)pool.trim();
        }
      }),
      0U);
  EXPECT_EQ(pool.stats().total().elastic_alloc_count, 10U * 3 * 8);
  test::expect_whole(pool);
}

TEST(no_heap, on_chains_of_any_length) {
  multi_size_ring_pool pool({{64, 256}, {1024, 64}}, {.upstream = nullptr});
  static std::byte text[3000];
  EXPECT_EQ(heap_calls_during([&] {
              for (int round = 0; round < 10; ++round) {
                buffer_chain chain(pool);
                for (int i = 0; i < 200; ++i) {
                  (void)chain.append(pool.alloc(10));
                }
                (void)chain.append_bytes(pool, text);
                (void)chain.prepend_bytes(pool, text);
                buffer_chain rest = chain.split(chain.size() / 2);
                (void)rest.append(chain.share());
                (void)chain.append(alloc_chain(pool, 5000, 20));
                (void)chain.compact(pool, 64);
                (void)chain.append(std::move(rest));
                chain.trim_front(1000);
              }
            }),
            0U);
  test::expect_whole(pool);
}

TEST(no_heap, at_a_new_threads_first_calls_and_at_raids) {
  ring_buffer_pool pool(64, 256, {.upstream = nullptr});
  churn(pool, 2);  // this thread's cache is full: others must raid it
  const std::uint64_t raids = pool.stats().raid_count;
  for (int i = 0; i < 10; ++i) {
    std::size_t calls = 1;
    std::thread([&] { calls = heap_calls_during([&] { churn(pool, 1); }); }).join();
    EXPECT_EQ(calls, 0U);
  }
  EXPECT_GT(pool.stats().raid_count, raids);
  test::expect_whole(pool);
}

TEST(no_heap, on_misuse) {
  ring_buffer_pool pool(64, 4, {.upstream = nullptr});
  void* const pointer = pool.allocate(64);
  pool.deallocate(pointer);
  int here = 0;
  const misuse_handler before = set_misuse_handler([](const misuse&) noexcept {});
  EXPECT_EQ(heap_calls_during([&] {
              pool.deallocate(pointer);
              pool.deallocate(&here);
              pool.deallocate(static_cast<std::byte*>(pointer) + 1);
            }),
            0U);
  set_misuse_handler(before);
  EXPECT_EQ(pool.stats().misuse_count, 3U);
  test::expect_whole(pool);
}

TEST(no_heap, but_one_block_for_what_upstream_serves) {
  ring_buffer_pool pool(64, 4);
  EXPECT_EQ(heap_calls_during([&] { pool.deallocate(pool.allocate(1000)); }), 1U);
  test::expect_whole(pool);
}

TEST(no_heap, but_one_block_for_the_pool_that_the_factory_makes) {
  (void)ring_buffer_pool(64, 4).stats();  // what a process does once has been done
  std::error_code error;
  std::unique_ptr<ring_buffer_pool> pool;
  EXPECT_EQ(heap_calls_during([&] { pool = ring_buffer_pool::create(64, 4, {}, error); }), 1U);
  ASSERT_NE(pool, nullptr);
  test::expect_whole(*pool);
}

/// Runs `make` in a child whose heap grants `granted` calls and then refuses. The factory must come
/// back, with one of the codes.
template <class Make>
void expect_code_without_heap(Make make, std::size_t granted, errc code, errc other) {
  const test::child_result child = test::run_in_child([&] {
    std::error_code error;
    heap_calls_granted = granted;
    const bool made = make(error) != nullptr;
    heap_calls_granted = ~std::size_t{0};
    return !made && (error == code || error == other) ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0)) << granted << " heap calls granted: " << child.errors;
}

TEST(no_heap, a_factory_that_gets_no_memory_reports_it) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "a sanitizer's malloc cannot be made to refuse";
  }
  const auto one = [](std::error_code& error) {
    return ring_buffer_pool::create(64, 4, {}, error);
  };
  const auto set = [](std::error_code& error) {
    const size_class classes[] = {{64, 4}};
    return multi_size_ring_pool::create(classes, {}, error);
  };
  expect_code_without_heap(one, 0, errc::out_of_memory, errc::out_of_memory);
  expect_code_without_heap(set, 0, errc::out_of_memory, errc::out_of_memory);
}

TEST(no_heap, a_factory_that_gets_no_memory_for_its_words_still_reports_a_code) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "a sanitizer's malloc cannot be made to refuse";
  }
  const auto one = [](std::error_code& error) {
    return ring_buffer_pool::create(64, 1000, {}, error);
  };
  const auto set = [](std::error_code& error) {
    const size_class classes[] = {{64, 4}, {64, 8}};
    return multi_size_ring_pool::create(classes, {}, error);
  };
  for (std::size_t granted = 0; granted < 6; ++granted) {
    expect_code_without_heap(one, granted, errc::invalid_capacity, errc::out_of_memory);
    expect_code_without_heap(set, granted, errc::duplicate_size, errc::out_of_memory);
  }
}

}  // namespace
}  // namespace ringpool
