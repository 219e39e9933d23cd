// SPDX-License-Identifier: MIT
#include "ringpool/adapters/pmr.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "../support/resources.hpp"

namespace ringpool {
namespace {

template <class T>
using on_pool = pool_allocator<T>;

std::uint64_t held_in(const multi_size_ring_pool& pool) {
  const pool_stats now = pool.stats().total();
  return now.alloc_count - now.free_count;
}

// ---- pool_resource ------------------------------------------------------------------------------

struct pool_resource_test : testing::Test {
  multi_size_ring_pool pool{{{64, 64}, {256, 16}}, {.upstream = nullptr}};
  test::counting_resource upstream;
  pmr::pool_resource<> memory{pool, &upstream};
};

TEST_F(pool_resource_test, containers_live_in_the_pool_and_leave_nothing) {
  {
    std::pmr::list<int> list({1, 2, 3}, &memory);
    std::pmr::map<int, std::pmr::string> map(&memory);
    map.emplace(7, "a text that is too long for the string's own bytes");
    std::pmr::vector<int> vector(64, 5, &memory);
    std::pmr::unordered_map<int, int> table({{1, 2}, {3, 4}}, 8, {}, {}, &memory);
    EXPECT_EQ(map.at(7).get_allocator().resource(), &memory);
    EXPECT_EQ(held_in(pool), 3 + 2 + 1 + 3U);
    EXPECT_TRUE(pool.owns(&list.front()));
    EXPECT_TRUE(pool.owns(map.at(7).data()));
    EXPECT_EQ(vector[63] + table.at(3) + list.back(), 5 + 4 + 3);
  }
  EXPECT_EQ(upstream.allocation_count.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test,
       every_size_up_to_the_largest_buffer_and_alignment_up_to_64_is_the_pools) {
  for (const std::size_t bytes : {1U, 8U, 63U, 64U, 65U, 255U, 256U}) {
    for (std::size_t alignment = 1; alignment <= cache_line_bytes; alignment *= 2) {
      void* const taken = memory.allocate(bytes, alignment);
      EXPECT_TRUE(pool.owns(taken)) << bytes << " aligned to " << alignment;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken) % alignment, 0U);
      std::memset(taken, 0xAB, bytes);
      memory.deallocate(taken, bytes, alignment);
    }
  }
  EXPECT_EQ(upstream.allocation_count.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, what_is_larger_or_more_aligned_is_upstreams) {
  void* const larger = memory.allocate(257);
  void* const aligned = memory.allocate(16, 4096);
  EXPECT_FALSE(pool.owns(larger));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 4096, 0U);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 257U + 16U);
  EXPECT_EQ(held_in(pool), 0U);
  memory.deallocate(larger, 257);
  memory.deallocate(aligned, 16, 4096);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  EXPECT_EQ(upstream.deallocation_count.load(), 2U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, without_an_upstream_what_is_larger_is_refused) {
  pmr::pool_resource<> alone(pool, nullptr);
  EXPECT_EQ(alone.upstream_resource(), std::pmr::null_memory_resource());
  EXPECT_THROW((void)alone.allocate(257), std::bad_alloc);
  EXPECT_THROW((void)alone.allocate(1, 128), std::bad_alloc);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, what_upstream_throws_comes_through) {
  upstream.refuse = true;
  EXPECT_THROW((void)memory.allocate(257), std::bad_alloc);
  std::pmr::vector<std::byte> bytes(256, &memory);
  EXPECT_THROW(bytes.push_back(std::byte{1}), std::bad_alloc);
  EXPECT_EQ(bytes.size(), 256U);
}

TEST_F(pool_resource_test, a_container_keeps_what_it_has_when_the_pool_is_spent) {
  {
    std::pmr::list<int> list(&memory);
    for (int i = 0; i < 64 + 16; ++i) {  // of 64 bytes, and then none: a class serves its own
      try {
        list.push_back(i);
      } catch (const std::bad_alloc&) {
        break;
      }
    }
    EXPECT_EQ(list.size(), 64U);
    EXPECT_THROW(list.push_back(64), std::bad_alloc);
    EXPECT_EQ(list.size(), 64U);
    EXPECT_EQ(list.back(), 63);
    list.pop_front();
    list.push_back(64);
    EXPECT_EQ(list.back(), 64);
    EXPECT_GE(pool.stats().total().refusal_count, 2U);
  }
  EXPECT_EQ(upstream.allocation_count.load(), 0U) << "the resource's upstream is not for this";
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, a_spent_pool_goes_to_its_own_upstream_within_its_budget) {
  test::counting_resource behind;
  multi_size_ring_pool small({{64, 2}}, {.upstream = &behind, .upstream_budget_bytes = 100});
  {
    pmr::pool_resource<> on_small(small, &upstream);
    std::pmr::list<std::pair<std::uint64_t, std::uint64_t>> list(&on_small);  // nodes of 32
    for (std::uint64_t i = 0; i < 5; ++i) {
      list.emplace_back(i, i);
    }
    EXPECT_EQ(behind.allocation_count.load(), 3U);
    EXPECT_THROW(list.emplace_back(5, 5), std::bad_alloc);
    EXPECT_EQ(list.size(), 5U);
  }
  EXPECT_EQ(behind.outstanding_bytes.load(), 0U);
  EXPECT_EQ(upstream.allocation_count.load(), 0U);
  test::expect_whole(small);
}

TEST_F(pool_resource_test, stands_on_a_pool_of_one_size_too) {
  ring_buffer_pool one(128, 8, {.upstream = nullptr});
  {
    pmr::pool_resource on_one(one, &upstream);
    static_assert(std::is_same_v<decltype(on_one), pmr::pool_resource<ring_buffer_pool>>);
    EXPECT_EQ(&on_one.pool(), &one);
    std::pmr::list<int> list({1, 2, 3}, &on_one);
    std::pmr::vector<std::byte> large(129, &on_one);
    EXPECT_EQ(one.stats().in_use, 3U);
    EXPECT_EQ(upstream.outstanding_bytes.load(), 129U);
  }
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(one);
}

TEST_F(pool_resource_test, nothing_at_all_may_be_asked_for) {
  void* const nothing = memory.allocate(0);
  EXPECT_NE(nothing, nullptr);
  memory.deallocate(nothing, 0);
  EXPECT_EQ(held_in(pool), 0U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, a_false_size_never_frees_to_the_wrong_side) {
  const test::misuse_recorder recorder;
  void* const buffer = memory.allocate(64);
  memory.deallocate(buffer, 100'000);
  EXPECT_EQ(held_in(pool), 0U);
  EXPECT_EQ(upstream.deallocation_count.load(), 0U);
  EXPECT_EQ(recorder.count(), 0U);

  void* const large = memory.allocate(1000);
  memory.deallocate(large, 10);
  EXPECT_EQ(recorder.count(misuse_kind::foreign_pointer), 1U);
  EXPECT_EQ(upstream.deallocation_count.load(), 0U);
  memory.deallocate(large, 1000);
  EXPECT_EQ(upstream.outstanding_bytes.load(), 0U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, a_double_free_reaches_the_handler) {
  const test::misuse_recorder recorder;
  void* const buffer = memory.allocate(64);
  memory.deallocate(buffer, 64);
  memory.deallocate(buffer, 64);
  EXPECT_EQ(recorder.count(misuse_kind::double_free), 1U);
  test::expect_whole(pool);
}

TEST_F(pool_resource_test, resources_are_equal_when_either_may_free_what_the_other_gave) {
  multi_size_ring_pool other_pool{{64, 2}};
  const pmr::pool_resource<> same(pool, &upstream);
  const pmr::pool_resource<> other_upstream(pool);
  const pmr::pool_resource<> of_other_pool(other_pool, &upstream);
  EXPECT_TRUE(memory == memory);
  EXPECT_TRUE(memory == same);
  EXPECT_FALSE(memory == other_upstream);
  EXPECT_FALSE(memory == of_other_pool);
  EXPECT_FALSE(memory.is_equal(*std::pmr::new_delete_resource()));
}

// ---- pool_allocator -----------------------------------------------------------------------------

struct pool_allocator_test : testing::Test {
  multi_size_ring_pool pool{{{64, 64}, {256, 16}}, {.upstream = nullptr}};
};

TEST_F(pool_allocator_test, containers_live_in_the_pool_and_leave_nothing) {
  {
    std::list<int, on_pool<int>> list({1, 2, 3}, pool);
    std::map<int, int, std::less<>, on_pool<std::pair<const int, int>>> map(pool);
    map.emplace(1, 2);
    std::vector<int, on_pool<int>> vector({4, 5, 6}, pool);
    std::unordered_map<int, int, std::hash<int>, std::equal_to<>,
                       on_pool<std::pair<const int, int>>>
        table(pool);
    table.emplace(3, 4);
    EXPECT_EQ(held_in(pool), 3 + 1 + 1 + 2U);
    EXPECT_TRUE(pool.owns(vector.data()));
    EXPECT_TRUE(pool.owns(&table.at(3)));
  }
  test::expect_whole(pool);
}

TEST_F(pool_allocator_test, a_shared_object_and_its_count_are_one_buffer_that_dies_on_any_thread) {
  {
    auto shared = std::allocate_shared<std::pair<int, int>>(on_pool<int>(pool), 1, 2);
    std::weak_ptr<std::pair<int, int>> watcher = shared;
    EXPECT_EQ(held_in(pool), 1U);
    EXPECT_TRUE(pool.owns(shared.get()));
    std::thread([last = std::move(shared)] { EXPECT_EQ(last->second, 2); }).join();
    EXPECT_TRUE(watcher.expired());
    EXPECT_EQ(held_in(pool), 1U) << "the count lives as long as who watches it";
  }
  test::expect_whole(pool);
}

TEST_F(pool_allocator_test, goes_with_the_memory_that_is_moved_or_swapped) {
  multi_size_ring_pool other{{64, 8}};
  {
    using numbers = std::list<int, on_pool<int>>;
    static_assert(std::is_nothrow_move_assignable_v<numbers>);
    numbers here({1, 2}, pool);
    numbers there({3}, other);
    const int* const first = &here.front();
    there = std::move(here);
    EXPECT_EQ(&there.front(), first) << "moved, and not copied";
    EXPECT_EQ(&there.get_allocator().pool(), &pool);
    EXPECT_EQ(held_in(other), 0U);
    numbers third({4, 5, 6}, other);
    third.swap(there);
    EXPECT_EQ(&third.get_allocator().pool(), &pool);
    EXPECT_EQ(&there.get_allocator().pool(), &other);
    const numbers copy = there;
    EXPECT_EQ(&copy.get_allocator().pool(), &other);
    third = there;  // a copy stays where it is
    EXPECT_EQ(&third.get_allocator().pool(), &pool);
    EXPECT_EQ(third.size(), 3U);
  }
  test::expect_whole(pool);
  test::expect_whole(other);
}

TEST_F(pool_allocator_test, is_equal_for_the_same_pool_whatever_the_type) {
  multi_size_ring_pool other{{64, 2}};
  const on_pool<int> ints(pool);
  const on_pool<double> doubles(ints);
  EXPECT_TRUE(ints == doubles);
  EXPECT_TRUE(ints == on_pool<int>(doubles));
  EXPECT_TRUE(ints != on_pool<int>(other));
}

TEST_F(pool_allocator_test, a_vector_keeps_what_it_has_when_nothing_larger_is_to_be_had) {
  {
    std::vector<int, on_pool<int>> vector(pool);
    vector.resize(64, 1);  // 256 bytes: the largest buffer
    EXPECT_THROW(vector.push_back(2), std::bad_alloc);
    EXPECT_EQ(vector, (std::vector<int, on_pool<int>>(64, 1, pool)));
    EXPECT_THROW(vector.reserve(vector.max_size() + 1), std::length_error);
  }
  on_pool<int> ints(pool);
  EXPECT_THROW((void)ints.allocate(ints.max_size() + 1), std::bad_alloc);
  EXPECT_THROW((void)ints.allocate(~std::size_t{0} / 2), std::bad_alloc) << "its bytes overflow";
  test::expect_whole(pool);
}

TEST_F(pool_allocator_test, what_is_larger_goes_to_the_pools_upstream) {
  test::counting_resource behind;
  ring_buffer_pool one(64, 2, {.upstream = &behind});
  {
    std::vector<int, pool_allocator<int, ring_buffer_pool>> vector(1000, 7, one);
    EXPECT_EQ(one.stats().oversize_count, 1U);
    EXPECT_EQ(vector.back(), 7);
  }
  EXPECT_EQ(behind.outstanding_bytes.load(), 0U);
  test::expect_whole(one);
}

}  // namespace
}  // namespace ringpool
