// SPDX-License-Identifier: MIT
//
// The child of a multi-threaded parent uses the pool: what was free is free, caches of threads that
// are no more included; lost is only what vanished threads held or moved at that moment. fork(2)
// from inside a signal handler is out of scope: POSIX.1-2024 calls it undefined.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <latch>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broken_pools.hpp"
#include "exact_capacity.hpp"
#include "in_child.hpp"
#include "random_source.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

constexpr std::size_t buffer_bytes = 64;

/// A child that is at work, and where it tells what it found.
struct worker_process {
  pid_t id = -1;
  int channel = -1;
};

/// Forks, and runs body(log) in the child, on the thread that forked. A child that hangs is ended
/// by an alarm.
template <class Body>
worker_process start_child(Body body) {
  int channel[2];
  if (::pipe(channel) != 0) {
    return {};
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(under_sanitizer ? 60 : 10);
    verdict log;
    body(log);
    const std::string text = log.clean() ? "" : log.text();
    test::leave(::write(channel[1], text.data(), text.size()) < 0 ? 1 : 0);
  }
  ::close(channel[1]);
  return {child, channel[0]};
}

/// Waits for the child's end. Returns what it found, or how it ended.
std::string end_of(const worker_process& child) {
  if (child.id < 0) {
    return "no child";
  }
  std::string text = detail_of_child::read_all(child.channel);
  ::close(child.channel);
  int status = 0;
  ::waitpid(child.id, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    text += "ended with wait status " + std::to_string(status);
  }
  return text;
}

template <class Body>
std::string in_forked_child(Body body) {
  return end_of(start_child(body));
}

/// Threads that take and give, stamping what they hold, until this object dies. They use no heap,
/// and are all at work before the constructor returns: a sanitizer's allocator and its register of
/// threads do not mind forks, and their locks would stay locked in the child.
template <class Pool>
class load {
 public:
  load(Pool& pool, unsigned threads, std::size_t batch)
      : pool_(pool), batch_(batch), at_work_(threads) {
    for (unsigned number = 0; number < threads; ++number) {
      threads_.emplace_back([this, number] {
        at_work_.count_down();
        work(number + 1);
      });
    }
    at_work_.wait();
  }
  ~load() {
    over_.store(true);
    threads_.clear();
    EXPECT_TRUE(log_.clean()) << log_.text();
  }
  load(const load&) = delete;
  load& operator=(const load&) = delete;

 private:
  void work(holder who) {
    random_source random(who);
    std::array<void*, 64> held{};
    while (!over_.load(std::memory_order_relaxed)) {
      const std::size_t wanted = 1 + random.below(batch_);
      std::size_t count = 0;
      while (count < wanted && (held[count] = pool_.try_allocate(buffer_bytes)) != nullptr) {
        claim(held[count++], who, log_);
      }
      for (std::size_t i = 0; i < count; ++i) {
        unclaim(held[i], who, log_);
        pool_.deallocate(held[i]);
      }
    }
  }

  Pool& pool_;
  const std::size_t batch_;
  verdict log_;
  std::latch at_work_;
  std::atomic<bool> over_{false};
  std::vector<std::jthread> threads_;
};

pool_options options_with(std::size_t cache_limit) {
  pool_options options;
  options.upstream = nullptr;
  options.cache_limit = cache_limit;
  return options;
}

/// In a child: everything that the books call free can be had, by none but this thread, and at
/// most `lost` buffers are not free. Then twice more: the caches work again.
void require_usable_child(ring_buffer_pool& pool, std::size_t lost, verdict& log) {
  constexpr holder who = 0xC41D;
  const std::size_t available = pool.stats().available;
  log.require(available + lost >= pool.capacity(), "vanished threads took more than they held");
  for (int time = 0; time < 3; ++time) {
    const auto held = take_until_refused(pool, buffer_bytes, who, log, pool.capacity() + 1);
    log.require(held.size() == available, "a child got another number of buffers than were free");
    log.require(pool.stats().available == 0, "buffers called free after a refusal");
    give_all_back(pool, held, who, log);
    log.require(pool.stats().available == available, "a child's books do not balance");
  }
}

TEST(fork, a_child_of_threads_at_rest_gets_everything_but_what_is_held) {
  ring_buffer_pool pool(buffer_bytes, 1024, options_with(128));
  verdict log;
  const auto fill = [&](unsigned number) { fill_cache(pool, 1 + number, log); };
  { const idle_crew dead(4, fill); }
  const idle_crew idle(4, fill);
  ASSERT_GT(pool.stats().cached, 0U);
  constexpr std::size_t held_count = 100;
  const auto held = take_until_refused(pool, buffer_bytes, 77, log, held_count);
  const std::string found = in_forked_child([&](verdict& child_log) {
    require_usable_child(pool, held_count, child_log);
    const std::size_t free = pool.stats().available;
    child_log.require(free == pool.capacity() - held_count, "a child does not get all at rest");
    give_all_back(pool, held, 77, child_log);  // inherited with the memory: the child's own now
    require_whole(pool, child_log);
  });
  EXPECT_EQ(found, "");
  give_all_back(pool, held, 77, log);
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

TEST(fork, children_of_threads_under_load_use_the_pool) {
  constexpr unsigned threads = 4;
  constexpr std::size_t batch = 40;
  constexpr std::size_t limit = 16;
  // of each vanished thread: held, and in its call: a flush, a refill, or a raided cache
  constexpr std::size_t lost = threads * (batch + index_cache::max_items);
  ring_buffer_pool pool(buffer_bytes, 1024, options_with(limit));
  {
    const load<ring_buffer_pool> traffic(pool, threads, batch);
    for (std::size_t time = 0; time < scaled(200); ++time) {
      const std::string found =
          in_forked_child([&](verdict& log) { require_usable_child(pool, lost, log); });
      ASSERT_EQ(found, "") << "at fork " << time;
    }
  }
  verdict log;
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

TEST(fork, children_of_raiding_and_refused_threads_use_the_pool) {
  ring_buffer_pool pool(buffer_bytes, 32, options_with(128));
  {
    const load<ring_buffer_pool> traffic(pool, 4, 20);
    for (std::size_t time = 0; time < scaled(100); ++time) {
      const std::string found =
          in_forked_child([&](verdict& log) { require_usable_child(pool, pool.capacity(), log); });
      ASSERT_EQ(found, "") << "at fork " << time;
    }
  }
  verdict log;
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

TEST(fork, children_start_threads_and_children_of_their_own) {
  if (under_thread_sanitizer) {
    GTEST_SKIP() << "the sanitizer allows no threads after a fork of several";
  }
  ring_buffer_pool pool(buffer_bytes, 1024, options_with(16));
  const load<ring_buffer_pool> traffic(pool, 3, 20);
  for (std::size_t time = 0; time < scaled(20); ++time) {
    const std::string found = in_forked_child([&](verdict& log) {
      const std::size_t available = pool.stats().available;
      run_as_born(4, [&](unsigned number) { fill_cache(pool, 1000 + number, log); });
      log.require(pool.stats().available == available, "threads of a child lost buffers");
      const std::string inner = in_forked_child([&](verdict& inner_log) {
        require_usable_child(pool, pool.capacity(), inner_log);
        inner_log.require(pool.stats().available == available, "a grandchild lost buffers");
      });
      log.require(inner.empty(), "a grandchild found a violation");
    });
    ASSERT_EQ(found, "") << "at fork " << time;
  }
}

TEST(fork, children_forked_amid_births_and_trims_use_ring_and_elastic) {
  pool_options options = options_with(16);
  options.elastic_capacity = 256;
  ring_buffer_pool pool(buffer_bytes, 16, options);
  std::optional<background> trims(std::in_place, [&] { pool.trim(); });
  std::optional<background> births(std::in_place, [&] {
    std::thread([&] {
      for (int i = 0; i < 50; ++i) {
        void* first = pool.allocate(buffer_bytes);
        void* second = pool.allocate(buffer_bytes);
        pool.deallocate(first);
        pool.deallocate(second);
      }
    }).join();
  });
  for (std::size_t time = 0; time < scaled(60); ++time) {
    const std::string found = in_forked_child([&](verdict& log) {
      const pool_stats before = pool.stats();
      const std::uint64_t free = before.available + before.elastic_capacity - before.elastic_in_use;
      std::uint64_t got = 0;
      while (pool.allocate(buffer_bytes) != nullptr) {
        ++got;
      }
      log.require(got == free, "a child got another number of buffers than were free");
    });
    ASSERT_EQ(found, "") << "at fork " << time;
  }
  births.reset();
  trims.reset();
  verdict log;
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

TEST(fork, children_of_threads_that_wait_have_no_waiters) {
  ring_buffer_pool pool(buffer_bytes, 2, options_with(16));
  {
    std::atomic<bool> over{false};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (!over.load(std::memory_order_relaxed)) {
          (void)pool.alloc_for(buffer_bytes, std::chrono::microseconds(50));
        }
      });
    }
    for (std::size_t time = 0; time < scaled(100); ++time) {
      const std::string found = in_forked_child([&](verdict& log) {
        log.require(pool.stats().waiting == 0, "a child has the waiters of its parent");
        require_usable_child(pool, pool.capacity(), log);
        (void)pool.alloc_for(buffer_bytes, std::chrono::milliseconds(1));
        log.require(pool.stats().waiting == 0, "a child's wait does not end");
      });
      EXPECT_EQ(found, "") << "at fork " << time;
    }
    over.store(true);
  }
  verdict log;
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

// ---- Prefork servers: a parent builds the pool, children serve ----------------------------------

/// A set whose smaller class borrows, seen as a pool of that class.
struct borrowing_set {
  multi_size_ring_pool& pool;
  void* try_allocate(std::size_t size) { return pool.allocate(size); }
  void deallocate(void* pointer) { pool.deallocate(pointer); }
};

/// In a child: every class serves exactly what its books call free, the smaller one borrows exactly
/// what the larger one still lends, and every byte can be written to.
void serve_in_child(multi_size_ring_pool& pool, holder who, verdict& log) {
  const multi_size_stats before = pool.stats();
  const std::size_t lends = pool.classes()[1].options().spill.buffer_limit;
  const std::size_t left = lends - before.classes[1].spill_in_use;
  log.require(before.classes[1].spill_in_use <= lends, "a child begins beyond the bound");
  const std::size_t right =
      before.classes[0].available + std::min<std::size_t>(left, before.classes[1].available);
  for (int time = 0; time < 2; ++time) {
    borrowing_set small{pool};
    const auto borrowed = take_until_refused(small, buffer_bytes, who, log, 5000);
    log.require(borrowed.size() == right, "a child borrowed another number than it may");
    give_all_back(small, borrowed, who, log);
    for (std::size_t i = 0; i < pool.class_count(); ++i) {
      const std::size_t size = pool.classes()[i].buffer_size();
      const auto held = take_until_refused(pool, size, who, log, 5000);
      log.require(held.size() == before.classes[i].available, "a child got another number");
      for (void* const data : held) {
        std::memset(static_cast<std::byte*>(data) + sizeof(stamp), 0xC4, size - sizeof(stamp));
      }
      give_all_back(pool, held, who, log);
    }
    log.require(pool.stats().classes[1].spill_in_use == before.classes[1].spill_in_use,
                "a child's bound did not come back");
  }
}

TEST(fork, prefork_children_serve_all_that_is_free_while_the_parent_goes_on) {
  constexpr std::size_t large_bytes = 512;
  constexpr unsigned children = 4;
  multi_size_ring_pool pool(
      {{buffer_bytes, 64}, {large_bytes, 256}},
      {.spill = {.class_count = 1, .buffer_limit = 40}, .upstream = nullptr, .cache_limit = 16});
  verdict log;
  const auto kept = take_until_refused(pool, large_bytes, 7, log, 20);
  for (void* const data : kept) {
    seal(data, large_bytes, 99);
  }
  {
    borrowing_set small{pool};
    const load<borrowing_set> traffic(small, 3, 32);  // more than there are: some are lent
    for (std::size_t time = 0; time < scaled(30); ++time) {
      std::array<worker_process, children> workers;
      for (unsigned i = 0; i < children; ++i) {
        workers[i] = start_child([&](verdict& child_log) {
          serve_in_child(pool, 1000 + i, child_log);
          for (void* const data : kept) {
            verify(data, child_log);  // as the parent left it
            std::memset(data, 0xEE, large_bytes);
          }
        });
      }
      for (const worker_process& one : workers) {
        ASSERT_EQ(end_of(one), "") << "at round " << time;
      }
      for (void* const data : kept) {
        verify(data, log);  // children wrote to pages of their own
      }
    }
  }
  EXPECT_GT(pool.stats().classes[0].spill_count, 0U) << "nothing was ever lent";
  give_all_back(pool, kept, 7, log);
  for (const ring_buffer_pool& one : pool.classes()) {
    log.require(one.stats().spill_in_use == 0, "the parent's bound did not come back");
    require_exactly(pool, one.buffer_size(), one.capacity(), log);
  }
  EXPECT_TRUE(log.clean()) << log.text();
}

/// What a child writes to `memory` is its own.
std::string writes_of_a_child_seen_in(std::span<std::byte> memory) {
  memory[0] = std::byte{1};
  const std::string ended = in_forked_child([&](verdict&) { memory[0] = std::byte{2}; });
  return memory[0] == std::byte{1} ? ended : "the parent sees what its child wrote";
}

TEST(fork, what_a_child_writes_is_its_own) {
  ring_buffer_pool pool(4096, 1, options_with(0));
  buffer one = pool.alloc(4096);
  EXPECT_EQ(writes_of_a_child_seen_in(one.span()), "");
}

TEST(fork_twin, memory_that_is_shared_is_found) {
  void* const shared =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  EXPECT_EQ(writes_of_a_child_seen_in({static_cast<std::byte*>(shared), 4096}),
            "the parent sees what its child wrote");
  ::munmap(shared, 4096);
}

TEST(fork_twin, a_pool_behind_a_mutex_hangs_in_some_child) {
  if (under_sanitizer) {
    GTEST_SKIP() << "many forks, and nothing that a sanitizer would add";
  }
  const outcome seen = run_in_child(
      [](verdict& log) {
        mutex_pool pool(buffer_bytes, 256);
        const load<mutex_pool> traffic(pool, 2, 8);
        while (log.clean()) {
          const pid_t child = ::fork();
          if (child == 0) {
            ::alarm(1);
            void* const data = pool.try_allocate(buffer_bytes);
            ::_exit(data == nullptr ? 1 : 0);
          }
          int status = 0;
          ::waitpid(child, &status, 0);
          log.require(WIFEXITED(status), "a child hung on what a vanished thread held");
        }
      },
      std::chrono::seconds(5));
  EXPECT_EQ(seen.how, ending::violation) << seen.text;
}

}  // namespace
}  // namespace ringpool::stress
