// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

constexpr std::size_t whole = 256;

/// One buffer, so that the next one given out is the same.
struct one_buffer_pool {
  explicit one_buffer_pool(zeroing mode, bool hardened = false)
      : pool(whole, 1, {.upstream = nullptr, .zero_on_free = mode, .hardened = hardened}) {}
  /// What the next owner finds.
  [[nodiscard]] std::size_t dirty_bytes() {
    const buffer next = pool.alloc(whole);
    return whole -
           static_cast<std::size_t>(std::count(next.data(), next.data() + whole, std::byte{0}));
  }
  ring_buffer_pool pool;
};

void scribble(const buffer& one) { std::memset(one.data(), 0xAB, one.capacity()); }

TEST(zeroing, none_leaves_bytes_as_they_are) {
  one_buffer_pool one(zeroing::none);
  scribble(one.pool.alloc(whole));
  EXPECT_EQ(one.dirty_bytes(), whole);
  test::expect_whole(one.pool);
}

TEST(zeroing, used_clears_the_size_of_a_handle) {
  one_buffer_pool one(zeroing::used);
  scribble(one.pool.alloc(100));
  EXPECT_EQ(one.dirty_bytes(), whole - 100);
  EXPECT_EQ(one.dirty_bytes(), 0U) << "the last owner used all";
  test::expect_whole(one.pool);
}

TEST(zeroing, used_clears_all_of_a_raw_buffer) {
  one_buffer_pool one(zeroing::used);
  void* const raw = one.pool.allocate(10);
  std::memset(raw, 0xAB, whole);
  one.pool.deallocate(raw);
  EXPECT_EQ(one.dirty_bytes(), 0U);
  test::expect_whole(one.pool);
}

TEST(zeroing, used_clears_what_a_resize_put_out_of_sight) {
  one_buffer_pool one(zeroing::used);
  {
    buffer held = one.pool.alloc(whole);
    scribble(held);
    held.resize(10);
    held.resize(50);
    EXPECT_EQ(std::count(held.data() + 10, held.data() + 50, std::byte{0}), 40);
    held.resize(5);
  }
  EXPECT_EQ(one.dirty_bytes(), 0U) << "another client would see them";
  test::expect_whole(one.pool);
}

TEST(zeroing, used_clears_what_a_resize_brought_into_sight) {
  one_buffer_pool one(zeroing::used);
  {
    buffer held = one.pool.alloc(10);
    held.resize(whole);
    scribble(held);
  }
  EXPECT_EQ(one.dirty_bytes(), 0U);
  test::expect_whole(one.pool);
}

TEST(zeroing, used_clears_released_handles_wholly) {
  one_buffer_pool one(zeroing::used);
  buffer held = one.pool.alloc(10);
  scribble(held);
  one.pool.deallocate(held.release());
  EXPECT_EQ(one.dirty_bytes(), 0U);
  test::expect_whole(one.pool);
}

TEST(zeroing, all_clears_everything_whatever_the_size) {
  one_buffer_pool one(zeroing::all);
  for (const std::size_t used : {std::size_t{1}, std::size_t{100}, whole}) {
    scribble(one.pool.alloc(used));
    EXPECT_EQ(one.dirty_bytes(), 0U);
  }
  test::expect_whole(one.pool);
}

TEST(zeroing, works_in_bulk) {
  for (const zeroing mode : {zeroing::used, zeroing::all}) {
    one_buffer_pool one(mode);
    void* out[1] = {};
    ASSERT_EQ(one.pool.allocate_bulk(out), 1U);
    std::memset(out[0], 0xAB, whole);
    one.pool.deallocate_bulk(out);
    EXPECT_EQ(one.dirty_bytes(), 0U);
    test::expect_whole(one.pool);
  }
}

TEST(zeroing, works_for_elastic_buffers) {
  ring_buffer_pool pool(whole, 1,
                        {.elastic_capacity = 1, .upstream = nullptr, .zero_on_free = zeroing::all});
  {
    const buffer ring = pool.alloc(whole);
    scribble(pool.alloc(10));
    const buffer again = pool.alloc(whole);
    ASSERT_EQ(again.origin(), buffer_origin::elastic);
    EXPECT_EQ(std::count(again.data(), again.data() + whole, std::byte{0}),
              static_cast<std::ptrdiff_t>(whole));
  }
  test::expect_whole(pool);
}

/// Looks at blocks, less the pool's header, at the moment they go back upstream.
class inspecting_resource final : public std::pmr::memory_resource {
 public:
  std::size_t dirty_bytes = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const memory = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    return std::memset(memory, 0, bytes);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    const auto* const data = static_cast<const std::byte*>(memory);
    dirty_bytes += static_cast<std::size_t>(
        std::count(data + detail::upstream_ledger::header_bytes, data + bytes, std::byte{0xAB}));
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
};

TEST(zeroing, upstream_blocks_go_back_clean) {
  for (const zeroing mode : {zeroing::used, zeroing::all}) {
    inspecting_resource upstream;
    ring_buffer_pool pool(whole, 1, {.upstream = &upstream, .zero_on_free = mode});
    scribble(pool.alloc(1000));
    {
      buffer shrunk = pool.alloc(1000);
      scribble(shrunk);
      shrunk.resize(10);
    }
    EXPECT_EQ(upstream.dirty_bytes, 0U);
    test::expect_whole(pool);
  }
}

TEST(zeroing, a_refused_free_clears_nothing) {
  one_buffer_pool one(zeroing::all);
  void* const first = one.pool.allocate(whole);
  one.pool.deallocate(first);
  const buffer next = one.pool.alloc(whole);  // the same memory, another owner
  scribble(next);
  const test::misuse_recorder recorder;
  one.pool.deallocate(static_cast<std::byte*>(first) + 64);
  EXPECT_EQ(recorder.count(misuse_kind::interior_pointer), 1U);
  EXPECT_EQ(std::count(next.data(), next.data() + whole, std::byte{0xAB}),
            static_cast<std::ptrdiff_t>(whole));
}

TEST(zeroing, of_hardened_pools_reports_no_honest_owner) {
  for (const zeroing mode : {zeroing::used, zeroing::all}) {
    one_buffer_pool one(mode, true);
    const test::misuse_recorder recorder;
    for (const std::size_t used : {std::size_t{8}, std::size_t{1}, whole, std::size_t{16}}) {
      scribble(one.pool.alloc(used));  // all of capacity() may be written
    }
    EXPECT_EQ(recorder.count(), 0U) << to_string(recorder.last().kind);
    EXPECT_EQ(one.pool.stats().misuse_count, 0U);
    test::expect_whole(one.pool);
  }
}

}  // namespace
}  // namespace ringpool
