// SPDX-License-Identifier: MIT
//
// A program that does things wrong with a pool, or nothing: what a memory checker must report at
// the first access. Arguments: the names of the deeds, none for a list of them.

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace {

using ringpool::multi_size_ring_pool;
using ringpool::ring_buffer_pool;

/// A store and a load that no optimiser takes away.
void write_at(void* start, std::size_t offset) { static_cast<volatile char*>(start)[offset] = 'x'; }
char read_at(const void* start, std::size_t offset) {
  return static_cast<const volatile char*>(start)[offset];
}

/// Bytes that leave the process: descriptor 1 is a pipe or a file of the test.
void send(const void* start, std::size_t bytes) {
  if (::write(1, start, bytes) < 0) {
    std::perror("write");
  }
}

const ringpool::pool_options elastic{.elastic_capacity = 4};

void overflow_of_what_was_asked_for() {
  ring_buffer_pool pool(1024, 4);
  write_at(pool.allocate(100), 100);
}
void overflow_of_a_handle() {
  ring_buffer_pool pool(1000, 4);
  const ringpool::buffer one = pool.alloc(10);
  write_at(one.data(), one.capacity());
}
void overflow_into_a_held_neighbour() {
  ring_buffer_pool pool(1024, 4);
  void* const first = pool.allocate(1024);
  void* const second = pool.allocate(1024);
  write_at(std::min(first, second), 1024);
}
void underflow() {
  ring_buffer_pool pool(1024, 4);
  void* const first = pool.allocate(1024);
  void* const second = pool.allocate(1024);
  (void)read_at(static_cast<char*>(std::max(first, second)) - 1, 0);
}
void overflow_in_a_set() {
  multi_size_ring_pool pool({{64, 4}, {512, 4}});
  write_at(pool.allocate(300), 300);
}
void overflow_of_an_elastic_buffer() {
  ring_buffer_pool pool(1024, 1, elastic);
  (void)pool.allocate(1);
  write_at(pool.allocate(100), 100);
}
void overflow_of_a_bulk() {
  ring_buffer_pool pool(1000, 4);
  void* several[2];
  (void)pool.allocate_bulk(several);
  write_at(several[1], 1000);
}
void overflow_of_an_upstream_block() {
  ring_buffer_pool pool(64, 1);
  write_at(pool.allocate(100), 100);
}
void use_after_free() {
  ring_buffer_pool pool(1024, 4);
  void* const one = pool.allocate(100);
  write_at(one, 0);
  pool.deallocate(one);
  (void)read_at(one, 0);
}
void use_after_the_handle_died() {
  ring_buffer_pool pool(1024, 4);
  const std::byte* stale = nullptr;
  {
    const ringpool::buffer one = pool.alloc(100);
    stale = one.data();
  }
  (void)read_at(stale, 0);
}
void use_after_a_bulk_free() {
  multi_size_ring_pool pool({{64, 4}, {512, 4}});
  void* several[3];
  (void)pool.allocate_bulk(512, several);
  pool.deallocate_bulk(several);
  write_at(several[1], 511);
}
void use_after_free_of_an_elastic_buffer() {
  ring_buffer_pool pool(1024, 1, elastic);
  (void)pool.allocate(1);
  void* const one = pool.allocate(100);
  pool.deallocate(one);
  write_at(one, 99);
}
void use_after_free_in_a_hardened_pool() {
  ring_buffer_pool pool(1024, 4, {.hardened = true});
  void* const one = pool.allocate(100);
  pool.deallocate(one);
  write_at(one, 0);
}
void use_of_a_buffer_never_given_out() {
  ring_buffer_pool pool(1024, 4);
  write_at(pool.allocate(1024), 2048);
}
void use_after_destruction() {
  void* stale = nullptr;
  {
    ring_buffer_pool pool(1024, 4);
    stale = pool.allocate(100);
  }
  write_at(stale, 0);
}
void uninitialised_bytes_sent() {
  ring_buffer_pool pool(1024, 4);
  void* const one = pool.allocate(100);
  std::memset(one, 'x', 50);
  send(one, 100);
  pool.deallocate(one);
}
void bytes_of_the_last_owner_sent() {
  ring_buffer_pool pool(1024, 4);
  void* const one = pool.allocate(100);
  std::memset(one, 's', 100);
  pool.deallocate(one);
  void* const again = pool.allocate(100);
  send(again, 100);
  pool.deallocate(again);
}
void a_branch_on_uninitialised_bytes() {
  ring_buffer_pool pool(1024, 4);
  void* const one = pool.allocate(100);
  if (read_at(one, 7) == 'x') {
    std::puts("x");
  }
  pool.deallocate(one);
}

/// A pointer to heap memory that lives in a buffer alone: no leak.
void nothing_a_pointer_kept_in_a_buffer() {
  static auto* const pool = new ring_buffer_pool(1024, 4);  // lives when leaks are looked for
  void* const one = pool->allocate(sizeof(void*));
  void* const block = ::operator new(4321);
  std::memcpy(one, &block, sizeof block);
}
void nothing_zeroed_bytes_are_defined() {
  ring_buffer_pool pool(1024, 4, {.zero_on_free = ringpool::zeroing::all});
  for (int i = 0; i < 3; ++i) {
    void* const one = pool.allocate(100);
    send(one, 100);
    std::memset(one, 'x', 100);
    pool.deallocate(one);
  }
}

void use_rightly(ring_buffer_pool& pool) {
  for (int round = 0; round < 30; ++round) {
    std::vector<ringpool::buffer> handles;
    for (std::size_t size = 1; size < 1500; size += 90) {
      handles.push_back(pool.alloc(size));
      std::memset(handles.back().data(), 'x', handles.back().capacity());
      handles.back().resize(handles.back().capacity());
    }
    void* several[12];
    const std::size_t got = pool.allocate_bulk(several);
    for (std::size_t i = 0; i < got; ++i) {
      std::memset(several[i], 'y', pool.buffer_size());
    }
    pool.deallocate_bulk({several, got});
    handles.erase(handles.begin(), handles.begin() + 7);
    if (round % 10 == 0) {
      handles.clear();
      (void)pool.trim();
    }
  }
}

void nothing_every_kind_of_use() {
  for (const bool hardened : {false, true}) {
    for (const auto zero :
         {ringpool::zeroing::none, ringpool::zeroing::used, ringpool::zeroing::all}) {
      ring_buffer_pool pool(1000, 8,
                            {.elastic_capacity = 16, .zero_on_free = zero, .hardened = hardened});
      std::vector<std::thread> threads;
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&pool] { use_rightly(pool); });
      }
      for (std::thread& each : threads) {
        each.join();
      }
    }
  }
}

struct deed {
  std::string_view name;
  void (*act)();
};
#define RINGPOOL_DEED(function) \
  deed { #function, &function }
constexpr deed deeds[] = {
    RINGPOOL_DEED(overflow_of_what_was_asked_for),
    RINGPOOL_DEED(overflow_of_a_handle),
    RINGPOOL_DEED(overflow_into_a_held_neighbour),
    RINGPOOL_DEED(underflow),
    RINGPOOL_DEED(overflow_in_a_set),
    RINGPOOL_DEED(overflow_of_an_elastic_buffer),
    RINGPOOL_DEED(overflow_of_a_bulk),
    RINGPOOL_DEED(overflow_of_an_upstream_block),
    RINGPOOL_DEED(use_after_free),
    RINGPOOL_DEED(use_after_the_handle_died),
    RINGPOOL_DEED(use_after_a_bulk_free),
    RINGPOOL_DEED(use_after_free_of_an_elastic_buffer),
    RINGPOOL_DEED(use_after_free_in_a_hardened_pool),
    RINGPOOL_DEED(use_of_a_buffer_never_given_out),
    RINGPOOL_DEED(uninitialised_bytes_sent),
    RINGPOOL_DEED(bytes_of_the_last_owner_sent),
    RINGPOOL_DEED(a_branch_on_uninitialised_bytes),
    RINGPOOL_DEED(nothing_a_pointer_kept_in_a_buffer),
    RINGPOOL_DEED(nothing_zeroed_bytes_are_defined),
    RINGPOOL_DEED(nothing_every_kind_of_use),
    RINGPOOL_DEED(use_after_destruction),  // the last: it ends the process
};
#undef RINGPOOL_DEED

}  // namespace

int main(int argc, char** argv) {
  for (const deed& each : deeds) {
    if (argc == 1) {
      std::puts(each.name.data());
    } else if (std::find(argv + 1, argv + argc, each.name) != argv + argc) {
      each.act();
    }
  }
  std::fputs("done\n", stderr);
}
