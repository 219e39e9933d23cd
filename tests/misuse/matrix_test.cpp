// SPDX-License-Identifier: MIT
//
// Every kind of misuse, in each mode, through each way of giving back, for each kind of buffer: how
// many of the tries were caught, as a table. What a mode promises is caught always, and changes
// nothing but the count of misuses.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../support/books.hpp"
#include "../support/misuse_recorder.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

constexpr std::size_t matrix_bytes = 256;
constexpr int tries = 40;

enum class way : bool { raw, bulk };  // handles hold no wrong pointers; see double_free_test.cpp

void give(ring_buffer_pool& pool, way how, void* pointer) {
  if (how == way::raw) {
    pool.deallocate(pointer);
  } else {
    pool.deallocate_bulk({&pointer, 1});
  }
}

/// A pool of which some buffers are held, so that pointers of each origin are at hand.
struct scene {
  explicit scene(bool hardened)
      : pool(matrix_bytes, 4, {.elastic_capacity = 4, .hardened = hardened}),
        other(matrix_bytes, 4, {.hardened = hardened}) {
    for (int i = 0; i < 4; ++i) {
      held.push_back(pool.allocate(matrix_bytes));
    }
    held.push_back(pool.allocate(matrix_bytes));  // elastic
    ring = static_cast<std::byte*>(held[0]);
    elastic = static_cast<std::byte*>(held[4]);
  }
  ~scene() { test::give_all(pool, held); }
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;

  /// Takes a pointer out of those that are given back at the end.
  void* given_back(void* pointer) {
    std::erase(held, pointer);
    pool.deallocate(pointer);
    return pointer;
  }

  /// From one buffer to the next.
  [[nodiscard]] std::ptrdiff_t stride() const {
    std::vector<void*> in_order(held.begin(), held.begin() + 4);
    std::sort(in_order.begin(), in_order.end());
    return static_cast<std::byte*>(in_order[1]) - static_cast<std::byte*>(in_order[0]);
  }

  ring_buffer_pool pool;
  ring_buffer_pool other;
  std::vector<void*> held;
  std::byte* ring = nullptr;
  std::byte* elastic = nullptr;
};

int some_static = 0;

struct misdeed {
  const char* name;
  misuse_kind kind;
  /// Makes the pointer that is wrong to give back.
  void* (*make)(scene&, std::vector<std::unique_ptr<char[]>>& heap);
};
using heap_blocks = std::vector<std::unique_ptr<char[]>>;

const misdeed misdeeds[] = {
    {"double free, ring", misuse_kind::double_free,
     [](scene& s, heap_blocks&) { return s.given_back(s.ring); }},
    {"double free, elastic", misuse_kind::double_free,
     [](scene& s, heap_blocks&) { return s.given_back(s.elastic); }},
    {"double free, upstream", misuse_kind::foreign_pointer,
     [](scene& s, heap_blocks&) {
       void* const block = s.pool.allocate(matrix_bytes + 1);
       s.pool.deallocate(block);
       return block;
     }},
    {"never given out", misuse_kind::double_free,
     [](scene& s, heap_blocks&) { return static_cast<void*>(s.elastic + s.stride()); }},
    {"foreign, heap", misuse_kind::foreign_pointer,
     [](scene&, heap_blocks& heap) {
       heap.push_back(std::make_unique<char[]>(512));
       return static_cast<void*>(heap.back().get());
     }},
    {"foreign, stack", misuse_kind::foreign_pointer,
     [](scene& s, heap_blocks&) { return static_cast<void*>(&s); }},
    {"foreign, static", misuse_kind::foreign_pointer,
     [](scene&, heap_blocks&) { return static_cast<void*>(&some_static); }},
    {"foreign, another pool", misuse_kind::foreign_pointer,
     [](scene& s, heap_blocks&) {
       void* const theirs = s.other.allocate(1);
       s.other.deallocate(theirs);
       return theirs;
     }},
    {"foreign, a pool that is no more", misuse_kind::foreign_pointer,
     [](scene&, heap_blocks&) {
       ring_buffer_pool gone(matrix_bytes, 4);
       void* const theirs = gone.allocate(1);
       gone.deallocate(theirs);
       return theirs;
     }},
    {"interior, ring", misuse_kind::interior_pointer,
     [](scene& s, heap_blocks&) { return static_cast<void*>(s.ring + 64); }},
    {"interior, elastic", misuse_kind::interior_pointer,
     [](scene& s, heap_blocks&) { return static_cast<void*>(s.elastic + 128); }},
    {"misaligned", misuse_kind::interior_pointer,
     [](scene& s, heap_blocks&) { return static_cast<void*>(s.ring + 1); }},
};

/// How many of the tries were caught, and changed nothing.
int caught(const misdeed& deed, bool hardened, way how) {
  int count = 0;
  for (int i = 0; i < tries; ++i) {
    heap_blocks heap;
    const test::misuse_recorder recorder;
    scene s(hardened);
    void* const wrong = deed.make(s, heap);
    const pool_stats before = s.pool.stats();
    give(s.pool, how, wrong);
    const pool_stats after = s.pool.stats();
    count += recorder.count() == 1 && recorder.last().kind == deed.kind &&
             recorder.last().pointer == wrong && after.misuse_count == before.misuse_count + 1 &&
             after.in_use == before.in_use && after.elastic_in_use == before.elastic_in_use &&
             after.free_count == before.free_count && after.alloc_count == before.alloc_count;
  }
  return count;
}

/// Two threads give one buffer back at one moment, to a hardened pool: how often exactly one of
/// them was told off.
int caught_racing() {
  int count = 0;
  ring_buffer_pool pool(matrix_bytes, 4, {.hardened = true});
  std::atomic<void*> shared{nullptr};
  std::atomic<int> given{0};
  std::jthread other([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (void* const pointer = shared.exchange(nullptr)) {
        pool.deallocate(pointer);
        given.fetch_add(1);
      }
    }
  });
  for (int i = 0; i < tries; ++i) {
    const test::misuse_recorder recorder;
    void* const pointer = pool.allocate(1);
    given.store(0);
    shared.store(pointer);
    pool.deallocate(pointer);
    while (given.load() == 0) {
      std::this_thread::yield();
    }
    count += recorder.count(misuse_kind::double_free) == 1;
  }
  return count;
}

TEST(misuse_matrix, each_mode_catches_always_what_it_promises) {
  std::printf("%-34s %-8s %9s %9s   caught of %d\n", "", "given by", "default", "hardened", tries);
  for (const misdeed& deed : misdeeds) {
    for (const way how : {way::raw, way::bulk}) {
      const int plain = caught(deed, false, how);
      const int hard = caught(deed, true, how);
      const char* const by = how == way::raw ? "raw" : "bulk";
      std::printf("%-34s %-8s %9d %9d\n", deed.name, by, plain, hard);
      EXPECT_EQ(plain, tries) << deed.name << ", " << by;
      EXPECT_EQ(hard, tries) << deed.name << ", " << by;
    }
  }
  const int hard = caught_racing();
  std::printf("%-34s %-8s %9s %9d\n", "double free, two threads racing", "raw", "-", hard);
  EXPECT_EQ(hard, tries);
}

TEST(misuse_matrix_twin, what_is_right_is_not_counted_as_caught) {
  const misdeed right{"a buffer that is held", misuse_kind::double_free,
                      [](scene& s, heap_blocks&) {
                        std::erase(s.held, static_cast<void*>(s.ring));
                        return static_cast<void*>(s.ring);
                      }};
  EXPECT_EQ(caught(right, false, way::raw), 0);
  EXPECT_EQ(caught(right, true, way::raw), 0);
}

}  // namespace
}  // namespace ringpool
