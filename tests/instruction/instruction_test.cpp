// SPDX-License-Identifier: MIT

// A thread is stopped after every machine instruction of every kind of call; each time, another
// thread must get all buffers that the stopped call does not hold, within a bounded time. And a
// signal handler that uses the pool runs after every instruction of every kind of call.
// Short calls are stopped at each of their instructions, long ones at a choice, which
// RINGPOOL_INSTRUCTION_SCALE multiplies.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <memory_resource>
#include <vector>

#include "../support/misuse_recorder.hpp"
#include "blocking_pools.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "stepper.hpp"

namespace ringpool::instruction {
namespace {

constexpr std::size_t capacity = 64;
constexpr std::size_t bytes = 64;
constexpr std::size_t bulk = 8;

constexpr std::uint64_t never = ~std::uint64_t{0};

/// Calls of each kind: as many times what ./test makes of them.
std::uint64_t scaled(std::uint64_t calls) {
  const char* const scale = std::getenv("RINGPOOL_INSTRUCTION_SCALE");
  return calls * (scale == nullptr ? 1 : std::strtoull(scale, nullptr, 10));
}

/// The calls under test, each with what comes before it.
enum class path : std::uint8_t {
  hit_allocate,
  hit_deallocate,
  refill,
  flush,
  bulk_allocate,
  bulk_deallocate,
  raid,
  refusal,
  elastic_allocate,
  elastic_deallocate,
};

/// The victim's thread: prepares and makes the calls of one path for ever.
template <class Pool>
class victim {
 public:
  victim(Pool& pool, board& shared) : pool_(pool), board_(shared) {}

  [[noreturn]] void repeat(path what) {
    for (;;) {
      prepare(what);
      ::raise(SIGTRAP);
      call(what);
      tidy();
    }
  }

 private:
  void take(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (void* const one = pool_.try_allocate(bytes); one != nullptr) {
        held_.push_back(one);
      }
    }
  }
  void give(std::size_t count) {
    for (std::size_t i = 0; i < count && !held_.empty(); ++i) {
      pool_.deallocate(held_.back());
      held_.pop_back();
    }
  }
  void prepare(path what) {
    switch (what) {
      case path::hit_allocate:
        take(2);
        give(2);
        break;
      case path::hit_deallocate: take(1); break;
      case path::refill:  // the cache is empty after as many as it can hold
        take(capacity / 2);
        give(0);
        break;
      case path::flush:
        take(capacity / 2);
        give(capacity / 2 - 1);
        break;
      case path::bulk_allocate: break;
      case path::bulk_deallocate: take(bulk); break;
      case path::raid:
      case path::refusal: take(capacity); break;
      case path::elastic_allocate: take(capacity); break;
      case path::elastic_deallocate:
        take(capacity);
        out_ = pool_.allocate(bytes);
        break;
    }
    if (what == path::raid) {
      give(capacity / 2);  // the bystander, which is idle, has some of it in its cache then
      board_.asked.fetch_add(1);
      while (board_.answered != board_.asked) {
        std::this_thread::yield();
      }
    }
    held_.reserve(2 * capacity);
  }

  void call(path what) {
    std::array<void*, bulk> many{};
    std::size_t got = 0;
    board_.inside = true;
    switch (what) {
      case path::hit_allocate:
      case path::refill:
      case path::refusal: out_ = pool_.try_allocate(bytes); break;
      case path::raid: take(capacity / 2 + 1); break;  // the ring first, the other's cache at last
      case path::elastic_allocate: out_ = pool_.allocate(bytes); break;
      case path::hit_deallocate:
      case path::flush: pool_.deallocate(held_.back()); break;
      case path::elastic_deallocate: pool_.deallocate(out_); break;
      case path::bulk_allocate: got = pool_.allocate_bulk(many); break;
      case path::bulk_deallocate:
        pool_.deallocate_bulk(std::span(held_).last(std::min(bulk, held_.size())));
        break;
    }
    board_.inside = false;
    switch (what) {
      case path::hit_deallocate:
      case path::flush: held_.pop_back(); break;
      case path::elastic_deallocate: out_ = nullptr; break;
      case path::bulk_deallocate: held_.resize(held_.size() - std::min(bulk, held_.size())); break;
      default: break;
    }
    held_.insert(held_.end(), many.begin(), many.begin() + static_cast<std::ptrdiff_t>(got));
  }

  void tidy() {
    if (out_ != nullptr) {
      pool_.deallocate(out_);
      out_ = nullptr;
    }
    give(held_.size());
  }

  Pool& pool_;
  board& board_;
  std::vector<void*> held_;
  void* out_ = nullptr;
};

/// The bystander: at each round takes what it can, looks whether it is enough, and gives it back in
/// 32 operations and more.
template <class Pool>
void stand_by(Pool& pool, board& shared, std::size_t enough) {
  std::array<std::uint64_t*, capacity> got{};
  while (!shared.over) {
    const std::uint32_t round = shared.asked;
    if (shared.answered == round) {
      std::this_thread::yield();
      continue;
    }
    std::size_t count = 0;
    while (count < 32) {
      void* const one = pool.try_allocate(bytes);
      if (one == nullptr) {
        break;
      }
      got[count] = static_cast<std::uint64_t*>(one);
      *got[count] = count;
      ++count;
    }
    if (count < enough) {
      ++shared.refused;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (*got[i] != i) {
        ++shared.faults;
      }
      pool.deallocate(got[i]);
    }
    shared.answered = round;
  }
}

/// How many of the 32 the bystander must get whatever the stopped call holds: the victim's cache,
/// or one that it raided, a refill or bulk in flight, and what the victim keeps.
std::size_t enough_for(path what) {
  constexpr std::size_t largest_cache = capacity / 4;  // two threads share half of the pool
  constexpr std::size_t in_flight = largest_cache / 2 + 1;
  switch (what) {
    case path::raid:
    case path::refusal:
    case path::elastic_allocate:
    case path::elastic_deallocate: return 0;
    case path::refill:
    case path::flush: return capacity / 2 - largest_cache / 2 - in_flight;
    default: return std::min<std::size_t>(32, capacity - largest_cache - in_flight - bulk - 2);
  }
}

pool_options options_of(bool membarrier) {
  return {.elastic_capacity = 16, .upstream = nullptr, .use_membarrier = membarrier};
}

/// Each instruction of one call, the others going on at each of them; then calls that are stopped
/// once after some instruction, and a second time up to 60 later.
template <class MakePool>
verdict suspend_everywhere(path what, MakePool make, std::size_t enough, std::uint64_t most_calls) {
  stepper steps([&](board& shared) {
    auto pool = make();
    std::thread bystander([&] { stand_by(*pool, shared, enough); });
    victim(*pool, shared).repeat(what);
  });
  const std::uint64_t length = steps.step_through({.first_stop = never});
  if (length == 0 || steps.step_through({.most_stops = scaled(300)}) == 0) {
    return steps.result();
  }
  const std::uint64_t stride = 1 + length / scaled(most_calls);
  for (std::uint64_t at = 1; at < length; at += stride) {
    if (steps.step_through({.first_stop = at, .second_stop = 1 + at * 7 % 60}) == 0) {
      break;
    }
  }
  return steps.result();
}

void expect_nobody_waits(path what, bool membarrier) {
  const verdict found = suspend_everywhere(
      what,
      [&] { return std::make_unique<ring_buffer_pool>(bytes, capacity, options_of(membarrier)); },
      enough_for(what), what == path::raid ? 8 : 80);
  if (found.problem.starts_with("ptrace")) {
    GTEST_SKIP() << found.problem;
  }
  EXPECT_EQ(found.problem, "");
  EXPECT_GT(found.stops, 10U);
  EXPECT_EQ(found.blocked, 0U);
  EXPECT_EQ(found.refused, 0U);
  EXPECT_EQ(found.faults, 0U);
  ::testing::Test::RecordProperty("stops", std::to_string(found.stops));
  std::printf("stops %llu in %llu calls of at most %llu instructions\n",
              static_cast<unsigned long long>(found.stops),
              static_cast<unsigned long long>(found.calls),
              static_cast<unsigned long long>(found.longest));
}

class suspended_anywhere : public ::testing::TestWithParam<std::tuple<path, bool>> {};

TEST_P(suspended_anywhere, nobody_waits_and_nothing_is_out_of_reach) {
  expect_nobody_waits(std::get<0>(GetParam()), std::get<1>(GetParam()));
}

constexpr path all_paths[] = {
    path::hit_allocate,     path::hit_deallocate,    path::refill, path::flush,
    path::bulk_allocate,    path::bulk_deallocate,   path::raid,   path::refusal,
    path::elastic_allocate, path::elastic_deallocate};
constexpr const char* path_names[] = {"hit_allocate",     "hit_deallocate",    "refill", "flush",
                                      "bulk_allocate",    "bulk_deallocate",   "raid",   "refusal",
                                      "elastic_allocate", "elastic_deallocate"};

INSTANTIATE_TEST_SUITE_P(calls, suspended_anywhere,
                         ::testing::Combine(::testing::ValuesIn(all_paths), ::testing::Bool()),
                         [](const auto& tested) {
                           return std::string(
                                      path_names[static_cast<int>(std::get<0>(tested.param))]) +
                                  (std::get<1>(tested.param) ? "" : "_without_membarrier");
                         });

TEST(suspended_twins, a_spinlock_blocks) {
  const verdict found = suspend_everywhere(
      path::hit_allocate, [] { return std::make_unique<spinlock_pool>(bytes, capacity); }, 1, 4);
  if (found.problem.starts_with("ptrace")) {
    GTEST_SKIP() << found.problem;
  }
  EXPECT_GT(found.blocked, 0U);
}

TEST(suspended_twins, a_ring_of_sequenced_slots_refuses_falsely_or_blocks) {
  const verdict found = suspend_everywhere(
      path::hit_deallocate, [] { return std::make_unique<sequenced_ring_pool>(bytes, capacity); },
      32, 40);
  if (found.problem.starts_with("ptrace")) {
    GTEST_SKIP() << found.problem;
  }
  EXPECT_GT(found.blocked + found.refused, 0U);
}

// ---- Signal handlers ----------------------------------------------------------------------------

/// What the handler uses: set before the first signal.
template <class Pool>
Pool* handlers_pool = nullptr;
board* handlers_board = nullptr;

/// Takes and gives single buffers and a bulk, each with its stamp.
template <class Pool>
void use_pool_in_handler(int /*signal*/) {
  std::array<void*, 6> held{};
  for (std::size_t i = 0; i < 3; ++i) {
    held[i] = handlers_pool<Pool>->try_allocate(bytes);
  }
  const std::size_t got = handlers_pool<Pool>->allocate_bulk(std::span(held).last(3));
  for (std::size_t i = 0; i < 3 + got; ++i) {
    if (held[i] != nullptr) {
      *static_cast<std::uint64_t*>(held[i]) = 1000 + i;
    }
  }
  for (std::size_t i = 0; i < 3 + got; ++i) {
    if (held[i] != nullptr) {
      handlers_board->faults += *static_cast<std::uint64_t*>(held[i]) == 1000 + i ? 0 : 1;
      handlers_pool<Pool>->deallocate(held[i]);
    }
  }
}

/// The victim under signals: besides, its own buffers keep their stamps, and all of the capacity is
/// there after each call.
template <class Pool>
class interrupted_victim {
 public:
  interrupted_victim(Pool& pool, board& shared) : pool_(pool), board_(shared) {
    handlers_pool<Pool> = &pool;
    handlers_board = &shared;
    struct sigaction action {};
    action.sa_handler = use_pool_in_handler<Pool>;
    ::sigaction(SIGUSR1, &action, nullptr);
  }

  [[noreturn]] void repeat(path what) {
    for (;;) {
      const bool full = what == path::raid || what == path::refusal;
      take(full ? capacity : 10);
      if (what == path::refill) {
        take(capacity / 2);
      }
      ::raise(SIGTRAP);
      void* out = nullptr;
      board_.inside = true;
      if (what == path::hit_deallocate || what == path::flush) {
        pool_.deallocate(held_.back());
      } else {
        out = pool_.try_allocate(bytes);
      }
      board_.inside = false;
      if (what == path::hit_deallocate || what == path::flush) {
        held_.pop_back();
      } else if (out != nullptr) {
        hold(out);
      }
      give_all();
      take(capacity);
      board_.faults += held_.size() == capacity ? 0 : 1;
      give_all();
    }
  }

 private:
  void hold(void* one) {
    *static_cast<std::uint64_t*>(one) = held_.size();
    held_.push_back(one);
  }
  void take(std::size_t count) {
    for (std::size_t i = 0; i < count && held_.size() < capacity; ++i) {
      void* const one = pool_.try_allocate(bytes);
      if (one == nullptr) {
        return;
      }
      hold(one);
    }
  }
  void give_all() {
    for (std::size_t i = 0; i < held_.size(); ++i) {
      board_.faults += *static_cast<std::uint64_t*>(held_[i]) == i ? 0 : 1;
      pool_.deallocate(held_[i]);
    }
    held_.clear();
  }

  Pool& pool_;
  board& board_;
  std::vector<void*> held_;
};

template <class MakePool>
verdict interrupt_everywhere(path what, MakePool make, std::uint64_t most_calls) {
  stepper steps([&](board& shared) {
    auto pool = make();
    interrupted_victim(*pool, shared).repeat(what);
  });
  const std::uint64_t length = steps.step_through({.first_stop = never});
  const std::uint64_t stride = 1 + length / scaled(most_calls);
  for (std::uint64_t at = 1; at < length; at += stride) {
    if (steps.step_through({.first_stop = at, .signal = SIGUSR1}) == 0) {
      break;
    }
  }
  return steps.result();
}

TEST(interrupted_anywhere, a_handler_that_uses_the_pool_corrupts_nothing) {
  std::uint64_t stops = 0;
  for (const path what :
       {path::hit_allocate, path::hit_deallocate, path::refill, path::raid, path::refusal}) {
    const verdict found = interrupt_everywhere(
        what, [] { return std::make_unique<ring_buffer_pool>(bytes, capacity, options_of(true)); },
        80);
    if (found.problem.starts_with("ptrace")) {
      GTEST_SKIP() << found.problem;
    }
    EXPECT_EQ(found.problem, "") << path_names[static_cast<int>(what)];
    EXPECT_EQ(found.faults, 0U) << path_names[static_cast<int>(what)];
    EXPECT_GT(found.stops, 10U);
    stops += found.stops;
  }
  std::printf("signals %llu\n", static_cast<unsigned long long>(stops));
}

TEST(interrupted_twins, a_pool_that_ignores_that_it_is_re_entered_is_found_out) {
  const verdict found = interrupt_everywhere(
      path::hit_allocate, [] { return std::make_unique<unguarded_pool>(bytes, capacity); }, 200);
  if (found.problem.starts_with("ptrace")) {
    GTEST_SKIP() << found.problem;
  }
  EXPECT_GT(found.faults, 0U);
}

}  // namespace
}  // namespace ringpool::instruction
