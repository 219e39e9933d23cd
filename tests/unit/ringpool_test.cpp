// SPDX-License-Identifier: MIT
#include "ringpool/ringpool.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <type_traits>

#include "../support/books.hpp"

namespace ringpool {
namespace {

TEST(ringpool, the_umbrella_header_brings_the_core) {
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
