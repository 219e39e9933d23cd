// SPDX-License-Identifier: MIT
//
// Threads come and go: nothing is stranded, nothing grows, and a thread may use a pool to its very
// end. More than max_thread_slots live threads are not tried: they cost minutes. What such a thread
// runs, calls without a slot, is what a thread runs after its exit has begun, and that is tried.

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <vector>

#include "../support/resident.hpp"
#include "exact_capacity.hpp"
#include "scale.hpp"

namespace ringpool::stress {
namespace {

constexpr std::size_t buffer_bytes = 64;

pool_options ring_alone() {
  pool_options options;
  options.upstream = nullptr;
  return options;
}

void expect_whole(ring_buffer_pool& pool) {
  verdict log;
  require_whole(pool, log);
  EXPECT_TRUE(log.clean()) << log.text();
}

/// `count` threads, up to eight alive at a time, each using the pool from birth to death.
void be_born_and_die(ring_buffer_pool& pool, std::size_t count, verdict& log) {
  std::vector<std::jthread> alive;
  for (std::size_t number = 0; number < count; ++number) {
    if (alive.size() == 8) {
      alive.erase(alive.begin());
    }
    alive.emplace_back([&pool, &log, number] {
      const holder who = 1 + number;
      give_all_back(pool, take_until_refused(pool, buffer_bytes, who, log, 60), who, log);
    });
  }
}

TEST(thread_lifetimes, ten_thousand_births_and_deaths_leave_no_trace) {
  ring_buffer_pool pool(buffer_bytes, 1024, ring_alone());
  verdict log;
  const std::size_t count = scaled(10'000, 1'000);
  be_born_and_die(pool, count / 5, log);
  const std::size_t before = test::resident_bytes_of_process();
  be_born_and_die(pool, count - count / 5, log);
  const std::size_t after = test::resident_bytes_of_process();
  EXPECT_TRUE(log.clean()) << log.text();
  if (!under_sanitizer) {  // their shadow memory grows by itself
    EXPECT_LE(after, before + (std::size_t{1} << 20)) << "resident bytes grew with dead threads";
  }
  EXPECT_LE(detail::live_thread_slots(), 1U) << "dead threads kept their slots";
  expect_whole(pool);
}

TEST(thread_lifetimes, hundreds_of_live_threads_have_caches_at_once) {
  constexpr unsigned threads = 300;
  ring_buffer_pool pool(buffer_bytes, 1 << 18,
                        ring_alone());  // a thread without a buffer has no slot
  verdict log;
  {
    const idle_crew crew(threads, [&](unsigned number) { fill_cache(pool, 1 + number, log); });
    EXPECT_GE(detail::live_thread_slots(), threads);
    require_exactly(pool, buffer_bytes, pool.capacity(), log);
  }
  EXPECT_TRUE(log.clean()) << log.text();
  expect_whole(pool);
}

/// Uses a pool in its destructor: gives back what it holds, takes another and gives that back.
class late_user {
 public:
  explicit late_user(ring_buffer_pool& pool) : pool_(&pool), held_(pool.try_allocate(1)) {}
  ~late_user() {
    pool_->deallocate(held_);
    void* const another = pool_->try_allocate(1);
    served_.fetch_add(another != nullptr ? 1 : 0, std::memory_order_relaxed);
    pool_->deallocate(another);
  }
  late_user(const late_user&) = delete;
  late_user& operator=(const late_user&) = delete;
  static int served() { return served_.load(); }

 private:
  static inline std::atomic<int> served_{0};
  ring_buffer_pool* pool_;
  void* held_;
};

TEST(thread_lifetimes, thread_local_destructors_use_the_pool) {
  ring_buffer_pool pool(buffer_bytes, 64, ring_alone());
  constexpr int threads = 50;
  for (int i = 0; i < threads; ++i) {
    std::jthread([&] {
      thread_local const late_user first(pool);
      pool.deallocate(pool.try_allocate(1));
      thread_local const late_user second(pool);
      (void)first;
      (void)second;
    });
  }
  EXPECT_EQ(late_user::served(), 2 * threads);
  expect_whole(pool);
}

/// Values of a pthread key: the destructor takes and gives, and asks to be called again. The later
/// calls come after the pool's own key has let go of the slot. The last round that the system
/// grants (PTHREAD_DESTRUCTOR_ITERATIONS, 4) is left to sanitizers, which end there.
struct key_user {
  ring_buffer_pool* pool = nullptr;
  pthread_key_t key{};
  std::atomic<int>* calls = nullptr;
  std::vector<void*> held;
  int rounds = 0;

  static void on_exit(void* value) {
    auto& self = *static_cast<key_user*>(value);
    for (void* data : self.held) {
      self.pool->deallocate(data);
    }
    self.held.clear();
    for (int i = 0; i < 20; ++i) {
      self.held.push_back(self.pool->try_allocate(1));
    }
    self.calls->fetch_add(1, std::memory_order_relaxed);
    if (++self.rounds < 3) {
      ::pthread_setspecific(self.key, value);
    }
  }
};

TEST(thread_lifetimes, pthread_key_destructors_use_the_pool_after_the_slot_is_gone) {
  ring_buffer_pool pool(buffer_bytes, 256, ring_alone());
  pthread_key_t key{};
  ASSERT_EQ(::pthread_key_create(&key, &key_user::on_exit), 0);
  std::atomic<int> calls{0};
  constexpr int threads = 20;
  for (int i = 0; i < threads; ++i) {
    key_user user{&pool, key, &calls, {}, 0};
    std::jthread([&] {
      ::pthread_setspecific(key, &user);
      pool.deallocate(pool.try_allocate(1));
    }).join();
    for (void* data : user.held) {
      EXPECT_NE(data, nullptr);
      pool.deallocate(data);
    }
  }
  EXPECT_EQ(calls.load(), 3 * threads) << "the late calls were not tried";
  ::pthread_key_delete(key);
  EXPECT_EQ(detail::live_thread_slots(), 1U);
  expect_whole(pool);
}

TEST(thread_lifetimes, a_pool_dies_while_threads_that_used_it_live_on) {
  verdict log;
  auto pool = std::make_unique<ring_buffer_pool>(buffer_bytes, 64, ring_alone());
  std::latch used(4);
  std::latch replaced(1);
  std::vector<std::jthread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      fill_cache(*pool, 1 + number, log);
      used.arrive_and_wait();
      replaced.wait();
      fill_cache(*pool, 1 + number, log);
    });
  }
  used.wait();
  pool = std::make_unique<ring_buffer_pool>(buffer_bytes, 128, ring_alone());
  replaced.count_down();
  threads.clear();
  EXPECT_TRUE(log.clean()) << log.text();
  expect_whole(*pool);
}

}  // namespace
}  // namespace ringpool::stress
