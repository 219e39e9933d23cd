// SPDX-License-Identifier: MIT

// Makes pools and uses them while something fails (see interpose.cpp), and tells in one line of
// JSON what became of it, and whether descriptors, mappings or heap blocks were left behind.

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ringpool/ringpool.hpp"

extern "C" [[gnu::weak]] void ringpool_fault_arm(bool on);

namespace {

using namespace ringpool;

/// What a process holds.
struct holdings {
  long descriptors = 0;
  long mappings = 0;

  [[nodiscard]] static holdings now() {
    holdings seen;
    DIR* const folder = ::opendir("/proc/self/fd");
    while (folder != nullptr && ::readdir(folder) != nullptr) {
      ++seen.descriptors;
    }
    ::closedir(folder);
    std::ifstream maps("/proc/self/maps");
    const std::string text{std::istreambuf_iterator<char>(maps), {}};
    seen.mappings = std::count(text.begin(), text.end(), '\n');
    return seen;
  }
};

bool rehearsal = true;  // the first run of a scenario, without a fault

void arm(bool on) {
  if (!rehearsal && ringpool_fault_arm != nullptr) {
    ringpool_fault_arm(on);
  }
}

pool_options everything() {
  pool_options options;
  options.elastic_capacity = 64;
  options.memory.pages = huge_pages::transparent;
  options.memory.numa_node = 0;
  options.memory.lock = true;
  return options;
}

/// "ok", or the reason.
using scenario = std::string (*)();

std::string create_pool() {
  std::error_code error;
  const auto pool = ring_buffer_pool::create(1024, 64, everything(), error);
  if (pool == nullptr) {
    return error ? error.message() : "nullptr without an error";
  }
  void* const one = pool->allocate(512);
  pool->deallocate(one);
  return one != nullptr ? "ok" : "a new pool gave nothing";
}

template <class Make>
std::string reason_of(Make make) {
  try {
    make();
    return "ok";
  } catch (const std::system_error& error) {
    return error.what();
  } catch (const std::bad_alloc& error) {
    return error.what();
  }
}

std::string construct_pool() {
  return reason_of([] { ring_buffer_pool pool(1024, 64, everything()); });
}
std::string construct_set() {
  return reason_of([] { multi_size_ring_pool set({{64, 64}, {1024, 64}}, everything()); });
}

/// Ring, elastic and upstream, and back; then trim. A null pointer is an answer, a lost buffer not.
std::string use_pool() {
  arm(false);
  ring_buffer_pool pool(4096, 16, {.elastic_capacity = 16, .hardened = false});
  arm(true);
  std::size_t nothing = 0;
  for (int round = 0; round < 3; ++round) {
    void* held[64];
    for (void*& one : held) {
      one = pool.allocate(4000);
      nothing += one == nullptr ? 1 : 0;
    }
    for (void* const one : held) {
      pool.deallocate(one);
    }
    (void)pool.trim();
  }
  const pool_stats now = pool.stats();
  if (now.in_use != 0 || now.elastic_in_use != 0 || now.upstream_in_use_bytes != 0) {
    return "LOST: buffers in use when all were given back";
  }
  void* held[16];
  const std::size_t got = pool.allocate_bulk(held);
  pool.deallocate_bulk(std::span(held, got));
  return got == 16 ? (nothing == 0 ? "ok" : "refused") : "LOST: the ring is not whole";
}

/// A seeded bug: the first mapping is forgotten when the second fails.
std::string leaky() {
  void* const first = ::mmap(nullptr, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const second = ::mmap(nullptr, 1 << 21, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (second == MAP_FAILED) {
    return "no second mapping";
  }
  ::munmap(second, 1 << 21);
  if (first != MAP_FAILED) {
    ::munmap(first, 1 << 20);
  }
  return "ok";
}

const std::map<std::string, scenario> scenarios = {{"create_pool", create_pool},
                                                   {"construct_pool", construct_pool},
                                                   {"construct_set", construct_set},
                                                   {"use_pool", use_pool},
                                                   {"leaky", leaky}};

}  // namespace

int main(int count, char** arguments) {
  const auto found = scenarios.find(count == 2 ? arguments[1] : "");
  if (found == scenarios.end()) {
    std::fputs("usage: ringpool_fault_scenarios SCENARIO\n", stderr);
    return 2;
  }
  (void)found->second();  // what is made once a process is made now
  (void)holdings::now();
  const holdings before = holdings::now();
  const auto heap_before = static_cast<long>(::mallinfo2().uordblks);
  char said[256];
  rehearsal = false;
  arm(true);
  {
    const std::string reason = found->second();
    arm(false);
    std::snprintf(said, sizeof said, "%s", reason.c_str());
  }
  const auto heap_after = static_cast<long>(::mallinfo2().uordblks);
  const holdings after = holdings::now();
  std::printf("{\"said\": \"%s\", \"descriptors\": %ld, \"mappings\": %ld, \"heap_bytes\": %ld}\n",
              said, after.descriptors - before.descriptors, after.mappings - before.mappings,
              heap_after - heap_before);
}
