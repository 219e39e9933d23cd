// SPDX-License-Identifier: MIT

// Threads take buffers, stamp them, hold them, hand some to each other, and give them back, for as
// many pairs of calls as asked for. Every buffer is looked at when it leaves its owner: a stamp
// that is not the owner's means that two had it, or that somebody wrote to it while it was free.
// Quiet stretches live in the caches; bursts take more than there is, so that caches are raided,
// elastic buffers come and go, and some calls are refused.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "ringpool/ringpool.hpp"

namespace {

using namespace ringpool;

/// At the front of every buffer; a whole one also closes its last bytes.
struct stamp {
  std::uint64_t owner;  ///< thread and number of the allocation
  std::uint64_t size;
  std::uint64_t check;  ///< of both and of the address

  [[nodiscard]] static stamp of(const void* at, std::uint64_t owner, std::uint64_t size) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    const std::uint64_t mixed = (owner ^ address) * 0x9E3779B97F4A7C15ULL;
    return {owner, size, (mixed ^ (mixed >> 29)) + size};
  }
  friend bool operator==(const stamp&, const stamp&) = default;
};

/// The sizes of a game server's frames, by share of 16.
constexpr std::array<std::uint32_t, 16> sizes = {64, 64,  64,  64,  64,  64,  64,   64,
                                                 64, 128, 128, 256, 256, 512, 1024, 4096};
constexpr std::size_t most_held = 96;
constexpr std::size_t mailboxes = 8;

#if defined(RINGPOOL_SOAK_TWIN)
/// A seeded bug: once in 100,000 allocations, gives out again what it gave out last.
class pool_under_test : public multi_size_ring_pool {
 public:
  using multi_size_ring_pool::multi_size_ring_pool;
  void* allocate(std::size_t size) {
    if (++calls_ % 100'000 == 0 && size <= 64) {
      return last_.load();
    }
    void* const made = multi_size_ring_pool::allocate(size);
    last_ = made;
    return made;
  }

 private:
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<void*> last_{nullptr};
};
#else
using pool_under_test = multi_size_ring_pool;
#endif

struct soak {
  pool_under_test pool{{{64, 128}, {256, 64}, {1024, 32}, {4096, 8}},
                       {.elastic_capacity = 16, .upstream = nullptr}};
  std::array<std::atomic<std::byte*>, mailboxes> mail{};
  std::atomic<std::uint64_t> bad{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> done{0};
};

class worker {
 public:
  worker(soak& shared, unsigned number, std::uint64_t pairs)
      : shared_(shared), number_(number), pairs_(pairs), random_(number * 77777ULL + 1) {}

  void run() {
    constexpr std::uint64_t stretch = 4096;
    for (std::uint64_t at = 0; at < pairs_; at += stretch) {
      const bool burst = next_random() % 16 == 0;
      held_limit_ = burst ? most_held : 8;
      for (std::uint64_t i = 0; i < std::min(stretch, pairs_ - at); ++i) {
        step();
      }
      for (std::size_t i = 0; i < most_held; ++i) {
        give(held_[i]);
      }
      shared_.done.fetch_add(std::min(stretch, pairs_ - at), std::memory_order_relaxed);
    }
    shared_.refused.fetch_add(refused_, std::memory_order_relaxed);
  }

 private:
  std::uint64_t next_random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  void step() {
    const std::uint64_t random = next_random();
    std::byte*& place = held_[(random >> 8) % held_limit_];
    if (random % 16 == 0) {  // somebody else frees it, and this thread somebody else's
      place = shared_.mail[(random >> 32) % mailboxes].exchange(place, std::memory_order_acq_rel);
    }
    give(place);
    const std::uint32_t size = sizes[(random >> 16) % sizes.size()];
    place = static_cast<std::byte*>(shared_.pool.allocate(size));
    if (place == nullptr) {
      ++refused_;
      return;
    }
    const stamp mine = stamp::of(place, std::uint64_t{number_} << 48 | ++count_, size);
    std::memcpy(place, &mine, sizeof mine);
    std::memcpy(place + size - sizeof mine.check, &mine.check, sizeof mine.check);
  }

  void give(std::byte*& place) {
    if (place == nullptr) {
      return;
    }
    stamp found{};
    std::memcpy(&found, place, sizeof found);
    std::uint64_t last = 0;
    const bool known = found == stamp::of(place, found.owner, found.size) && found.size <= 4096;
    if (known) {
      std::memcpy(&last, place + found.size - sizeof last, sizeof last);
    }
    if (!known || last != found.check) {
      shared_.bad.fetch_add(1, std::memory_order_relaxed);
    }
    std::memset(place, 0, sizeof found);  // a second owner would miss its stamp
    shared_.pool.deallocate(place);
    place = nullptr;
  }

  soak& shared_;
  unsigned number_;
  std::uint64_t pairs_;
  std::uint64_t random_;
  std::size_t held_limit_ = 8;
  std::uint64_t count_ = 0;
  std::uint64_t refused_ = 0;
  std::array<std::byte*, most_held> held_{};
};

/// What is wrong with a pool that nobody uses any more, or nullptr.
const char* fault_at_rest(soak& shared) {
  const pool_stats now = shared.pool.stats().total();
  if (now.in_use != 0 || now.elastic_in_use != 0) {
    return "buffers are in use";
  }
  if (now.alloc_count != now.free_count) {
    return "allocations and frees differ";
  }
  if (now.misuse_count != 0) {
    return "misuse was reported";
  }
  for (const ring_buffer_pool& one : shared.pool.classes()) {
    std::vector<void*> all(one.capacity() + 1);
    const std::size_t got = shared.pool.allocate_bulk(one.buffer_size(), all);
    shared.pool.deallocate_bulk(std::span(all).first(got));
    if (got != one.capacity()) {
      return "a class has not its whole capacity";
    }
  }
  return nullptr;
}

std::uint64_t number_from(const char* text, const char* name) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);  // so that 1e10 can be said
  if (*end != '\0' || value < 1 || value > 1e15) {
    std::fprintf(stderr, "ringpool_soak: %s '%s': accepted are 1 to 1e15\n", name, text);
    std::exit(2);
  }
  return static_cast<std::uint64_t>(value);
}

}  // namespace

int main(int count, char** arguments) {
  const std::uint64_t pairs = count > 1 ? number_from(arguments[1], "pairs") : 1'000'000'000;
  const std::uint64_t threads = count > 2 ? number_from(arguments[2], "threads") : 4;
  if (count > 3 || threads > 4000) {
    std::fputs("usage: ringpool_soak [PAIRS] [THREADS, at most 4000]\n", stderr);
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  set_misuse_handler([](const misuse&) noexcept {});  // counted, and looked at in the end
  soak shared;
  {
    std::vector<std::thread> crew;
    for (unsigned i = 0; i < threads; ++i) {
      crew.emplace_back([&, i] { worker(shared, i + 1, pairs / threads).run(); });
    }
    for (std::thread& one : crew) {
      one.join();
    }
  }
  for (std::atomic<std::byte*>& letter : shared.mail) {
    shared.pool.deallocate(letter.load());
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const pool_stats now = shared.pool.stats().total();
  std::printf("%" PRIu64 " pairs by %" PRIu64 " threads in %.0f s: %" PRIu64 " bad stamps, %" PRIu64
              " refused, %" PRIu64 " elastic, %" PRIu64 " raids\n",
              shared.done.load(), threads, seconds, shared.bad.load(), shared.refused.load(),
              now.elastic_alloc_count, now.raid_count);
  const char* const fault = fault_at_rest(shared);
  if (fault != nullptr) {
    std::printf("at rest: %s\n", fault);
  }
  return fault == nullptr && shared.bad == 0 ? 0 : 1;
}
