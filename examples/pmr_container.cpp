// SPDX-License-Identifier: MIT
//
// Standard containers on a pool: a table of sessions whose nodes, names and queues are buffers.

#include <cstdio>
#include <list>
#include <memory_resource>
#include <ringpool/adapters/pmr.hpp>
#include <string>
#include <unordered_map>

namespace {

struct session {
  using allocator_type = std::pmr::polymorphic_allocator<>;  // members go where the table is
  session(const char* its_name, const allocator_type& where)
      : name(its_name, where), waiting(where) {}
  std::pmr::string name;
  std::pmr::list<int> waiting;
};

}  // namespace

int main() {
  // Nodes of 64 and 128 bytes; nothing else is served, so that exhaustion can be seen.
  ringpool::multi_size_ring_pool pool({{64, 1024}, {128, 256}}, {.upstream = nullptr});
  {
    ringpool::pmr::pool_resource memory(pool);  // what is larger: new and delete
    std::pmr::unordered_map<int, session> sessions(&memory);
    for (int id = 0; id < 100; ++id) {
      sessions.try_emplace(id, "a player whose name is longer than 15 bytes")
          .first->second.waiting.push_back(id);
    }
    std::printf("sessions: %zu, buffers held: %lu\n", sessions.size(), pool.stats().total().in_use);

    // Without a virtual call: the allocator that knows the pool.
    std::list<int, ringpool::pool_allocator<int>> numbers(pool);
    try {
      for (;;) {
        numbers.push_back(0);
      }
    } catch (const std::bad_alloc&) {
      std::printf("spent after %zu more nodes; the list is as it was\n", numbers.size());
    }
  }
  const unsigned long held = pool.stats().total().in_use;
  std::printf("afterwards held: %lu\n", held);
  return held == 0 ? 0 : 1;
}
