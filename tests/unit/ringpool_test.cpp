// SPDX-License-Identifier: MIT
#include "ringpool/ringpool.hpp"

// Every type and function of the library but the adapters', before any other include.
namespace ringpool {
namespace {

template <class... Types>
constexpr bool complete = ((sizeof(Types) != 0) && ...);
static_assert(complete<ring_buffer_pool, multi_size_ring_pool, pool_options, size_class, pool_ref>);
static_assert(complete<buffer, shared_buffer, buffer_chain, charged_buffer, buffer_origin>);
static_assert(complete<chain_reader, chain_writer, frame_cursor, chain_frame_decoder>);
static_assert(complete<basic_frame_decoder<buffer>, frame_header, decode_result, decode_status>);
static_assert(complete<buffer_waiter, alloc_awaitable, async_options, resume_hook>);
static_assert(complete<account, account::settings, account_set, watermark>);
static_assert(complete<fault_plan, fault_rule, pool_stats, multi_size_stats>);
static_assert(complete<errc, misuse, misuse_kind, misuse_handler, frame_errc, zeroing>);
static_assert(complete<arena, memory_options, memory_report, huge_pages, size_class_table>);
static_assert(complete<index_ring, index_cache, slot_index>);
static_assert(buffer_home<ring_buffer_pool> && shared_buffer_home<ring_buffer_pool>);
static_assert(frame_buffer<buffer> && buffer_source<multi_size_ring_pool>);

/// The same for functions: it is compiled, and never called.
[[maybe_unused]] void use_every_function(ring_buffer_pool& pool, buffer_chain& chain) {
  chain = alloc_with_headroom(pool, 4, 100);
  chain = alloc_chain(pool, 10000);
  static_cast<void>(encode_frame(pool, chain));
  static_cast<void>(frame_iovecs(encode_frame_header(4), {}));
  static_cast<void>(make_error_code(errc::invalid_size) == make_error_code(frame_errc{}));
  static_cast<void>(to_string(misuse_kind::double_free));
  set_misuse_handler(nullptr);
}

}  // namespace
}  // namespace ringpool

#include <gtest/gtest.h>

#include <cstring>
#include <type_traits>

#include "../support/books.hpp"

namespace ringpool {
namespace {

TEST(ringpool, the_one_include_brings_pools_that_work) {
  ring_buffer_pool one(1024, 4);
  multi_size_ring_pool many{{64, 4}, {256, 4}};
  {
    const buffer a = one.alloc(1000);
    const buffer b = many.alloc(100);
    EXPECT_EQ(a.capacity(), 1024U);
    EXPECT_EQ(b.capacity(), 256U);
    std::memset(a.data(), 1, a.capacity());
    std::memset(b.data(), 2, b.capacity());
  }
  test::expect_whole(one);
  test::expect_whole(many);
}

TEST(ringpool, pools_are_neither_copied_nor_moved_and_handles_only_moved) {
  static_assert(!std::is_copy_constructible_v<ring_buffer_pool>);
  static_assert(!std::is_move_constructible_v<ring_buffer_pool>);
  static_assert(!std::is_copy_assignable_v<ring_buffer_pool>);
  static_assert(!std::is_move_assignable_v<ring_buffer_pool>);
  static_assert(!std::is_copy_constructible_v<multi_size_ring_pool>);
  static_assert(!std::is_move_constructible_v<multi_size_ring_pool>);
  static_assert(!std::is_copy_constructible_v<buffer>);
  static_assert(!std::is_copy_assignable_v<buffer>);
  static_assert(std::is_nothrow_move_constructible_v<buffer>);
  static_assert(std::is_nothrow_move_assignable_v<buffer>);
  static_assert(std::is_nothrow_default_constructible_v<buffer>);
  EXPECT_EQ(sizeof(buffer), 24U);
}

TEST(ringpool, the_hot_path_is_noexcept) {
  ring_buffer_pool* one = nullptr;
  multi_size_ring_pool* many = nullptr;
  void* p = nullptr;
  static_assert(noexcept(one->try_alloc(1))&& noexcept(many->try_alloc(1)));
  static_assert(noexcept(one->allocate(1))&& noexcept(many->allocate(1)));
  static_assert(noexcept(one->try_allocate(1))&& noexcept(many->try_allocate(1)));
  static_assert(noexcept(one->deallocate(p))&& noexcept(many->deallocate(p)));
  static_assert(noexcept(one->free(buffer()))&& noexcept(many->free(buffer())));
  static_assert(noexcept(one->stats()));
  static_assert(!noexcept(one->alloc(1)), "alloc throws std::bad_alloc");
  EXPECT_EQ(one, nullptr);
  EXPECT_EQ(many, nullptr);
  EXPECT_EQ(p, nullptr);
}

}  // namespace
}  // namespace ringpool
