// SPDX-License-Identifier: MIT

// Any sequence of calls leaves a pool as a simple model says (pool_model.hpp), and the same body
// finds the bugs that are seeded here into pools: a check that was never red is no check.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "pool_model.hpp"

namespace ringpool::test {
namespace {

using setup_numbers = std::array<std::uint16_t, 12>;

RC_GTEST_PROP(pool_property, any_sequence_of_calls_leaves_what_the_model_says,
              (const setup_numbers& numbers)) {
  const auto word = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint32_t>());
  const words operations = *rc::gen::scale(3.0, rc::gen::container<words>(word));
  pool_against_model<multi_size_ring_pool> one(pool_setup::make(numbers));
  const std::string problem = one.run(operations);
  if (!problem.empty()) {
    RC_FAIL(problem);
  }
}

/// Words from a fixed seed: the same on every machine.
words fixed_words(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  words made(count);
  for (std::uint32_t& one : made) {
    one = static_cast<std::uint32_t>(random());
  }
  return made;
}
setup_numbers fixed_setup(std::uint32_t seed) {
  std::mt19937 random(seed ^ 0x5EEDU);
  setup_numbers made{};
  for (std::uint16_t& one : made) {
    one = static_cast<std::uint16_t>(random());
  }
  return made;
}

TEST(pool_property, long_sequences_from_fixed_seeds_leave_what_the_model_says) {
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    pool_against_model<multi_size_ring_pool> one(pool_setup::make(fixed_setup(seed)));
    EXPECT_EQ(one.run(fixed_words(seed, 1500)), "") << "seed " << seed;
  }
}

// ---- Twins with seeded bugs
// ----------------------------------------------------------------------

/// A pool that does everything right; the twins hide one call each. The bug comes now and then, so
/// that right and wrong calls mix.
class honest_pool : public multi_size_ring_pool {
 public:
  using multi_size_ring_pool::multi_size_ring_pool;

 protected:
  [[nodiscard]] bool now() { return ++calls_ % 4 == 0; }

 private:
  int calls_ = 0;
};

/// Gives out `Offset` bytes into the buffer that was given out last, if it is still held.
template <std::size_t Offset>
struct hands_out_a_held_buffer : honest_pool {
  using honest_pool::honest_pool;
  void* allocate(std::size_t size) {
    if (last_ != nullptr && size > Offset && now()) {
      return last_ + Offset;
    }
    auto* const taken = static_cast<std::byte*>(honest_pool::allocate(size));
    last_ = size > Offset ? taken : nullptr;
    return taken;
  }
  void deallocate(void* pointer) {
    last_ = pointer == last_ ? nullptr : last_;
    honest_pool::deallocate(pointer);
  }
  void deallocate_bulk(std::span<void* const> pointers) {
    last_ = nullptr;
    honest_pool::deallocate_bulk(pointers);
  }

 private:
  std::byte* last_ = nullptr;
};
using hands_out_the_same_buffer_twice = hands_out_a_held_buffer<0>;
using hands_out_a_part_of_a_held_buffer = hands_out_a_held_buffer<64>;

struct loses_a_freed_buffer : honest_pool {
  using honest_pool::honest_pool;
  void deallocate(void* pointer) {
    if (!owns(pointer) || !now()) {
      honest_pool::deallocate(pointer);
    }
  }
};

struct loses_one_of_a_bulk : honest_pool {
  using honest_pool::honest_pool;
  void deallocate_bulk(std::span<void* const> pointers) {
    honest_pool::deallocate_bulk(pointers.subspan(pointers.empty() || !now() ? 0 : 1));
  }
};

struct refuses_though_there_is_one : honest_pool {
  using honest_pool::honest_pool;
  void* try_allocate(std::size_t size) { return now() ? nullptr : honest_pool::try_allocate(size); }
};

struct serves_try_alloc_from_elastic : honest_pool {
  using honest_pool::honest_pool;
  buffer try_alloc(std::size_t size) {
    buffer one = honest_pool::try_alloc(size);
    try {
      return one ? std::move(one) : honest_pool::alloc(size);
    } catch (const std::bad_alloc&) {
      return {};
    }
  }
};

struct writes_into_held_buffers : honest_pool {
  using honest_pool::honest_pool;
  void* allocate(std::size_t size) {
    last_ = honest_pool::allocate(size);
    return last_;
  }
  std::size_t trim(std::size_t keep_count) {
    if (last_ != nullptr && owns(last_)) {
      *static_cast<std::byte*>(last_) ^= std::byte{1};
    }
    return honest_pool::trim(keep_count);
  }
  void deallocate(void* pointer) {
    last_ = pointer == last_ ? nullptr : last_;
    honest_pool::deallocate(pointer);
  }

 private:
  void* last_ = nullptr;
};

struct counts_a_free_too_few : honest_pool {
  using honest_pool::honest_pool;
  [[nodiscard]] multi_size_stats stats() const {
    multi_size_stats seen = honest_pool::stats();
    pool_stats& last = seen.classes.back();
    last.free_count -= last.free_count > 10 ? 1 : 0;
    return seen;
  }
};

struct counts_a_refusal_as_an_allocation : honest_pool {
  using honest_pool::honest_pool;
  [[nodiscard]] multi_size_stats stats() const {
    multi_size_stats seen = honest_pool::stats();
    for (pool_stats& one : seen.classes) {
      one.alloc_count += one.refusal_count > 3 ? 1 : 0;
    }
    return seen;
  }
};

struct swallows_a_double_free : honest_pool {
  using honest_pool::honest_pool;
  void deallocate(void* pointer) {
    if (pointer != last_) {
      honest_pool::deallocate(pointer);
    }
    last_ = pointer;
  }

 private:
  void* last_ = nullptr;
};

struct exceeds_its_budget : honest_pool {
  static pool_options generous(pool_options options) {
    options.upstream_budget_bytes += 64;
    return options;
  }
  exceeds_its_budget(const std::vector<size_class>& classes, const pool_options& options)
      : honest_pool(classes, generous(options)) {}
};

/// Lends one buffer more than it may.
struct exceeds_what_it_lends : honest_pool {
  static pool_options generous(pool_options options) {
    options.spill.buffer_limit += 1;
    return options;
  }
  exceeds_what_it_lends(const std::vector<size_class>& classes, const pool_options& options)
      : honest_pool(classes, generous(options)) {}
};

/// Takes the budget, and never gives it back: what was lent once is lent for ever.
struct keeps_the_budget_of_what_it_lent : honest_pool {
  using honest_pool::honest_pool;
  void* allocate(std::size_t size) {
    const std::uint64_t before = honest_pool::stats().classes.front().spill_count;
    if (before >= 3 && size <= min_size()) {
      void* const own = honest_pool::try_allocate(size);
      return own;
    }
    return honest_pool::allocate(size);
  }
};

/// try_alloc goes on to the larger class.
struct spills_try_alloc : honest_pool {
  using honest_pool::honest_pool;
  void* try_allocate(std::size_t size) {
    void* const own = honest_pool::try_allocate(size);
    return own != nullptr || size > min_size() ? own : honest_pool::try_allocate(min_size() + 1);
  }
};

struct takes_a_class_too_large : honest_pool {
  using honest_pool::honest_pool;
  void* try_allocate(std::size_t size) {
    return honest_pool::try_allocate(size == min_size() ? size + 1 : size);
  }
};

template <class Twin>
class pool_with_a_seeded_bug : public testing::Test {};

using seeded_bugs =
    testing::Types<hands_out_the_same_buffer_twice, hands_out_a_part_of_a_held_buffer,
                   loses_a_freed_buffer, loses_one_of_a_bulk, refuses_though_there_is_one,
                   serves_try_alloc_from_elastic, writes_into_held_buffers, counts_a_free_too_few,
                   counts_a_refusal_as_an_allocation, swallows_a_double_free, exceeds_its_budget,
                   takes_a_class_too_large, exceeds_what_it_lends, keeps_the_budget_of_what_it_lent,
                   spills_try_alloc>;
TYPED_TEST_SUITE(pool_with_a_seeded_bug, seeded_bugs);

/// Two classes of whole lines, all of ring, elastic and upstream in reach: each bug can show.
/// With spill, that too, which keeps requests from upstream.
pool_setup telling_setup(bool spill = false) {
  pool_setup made;
  made.classes = {{64, 4}, {256, 4}};
  made.options.elastic_capacity = 3;
  made.options.upstream_budget_bytes = 1000;
  made.options.spill = {.class_count = spill ? 1U : 0U, .buffer_limit = 1};
  return made;
}

TYPED_TEST(pool_with_a_seeded_bug, is_caught_from_every_seed) {
  for (std::uint32_t seed = 100; seed < 110; ++seed) {
    std::string found;
    for (const bool spill : {false, true}) {
      pool_against_model<TypeParam> twin(telling_setup(spill));
      found += twin.run(fixed_words(seed, 4000));
    }
    EXPECT_NE(found, "") << "seed " << seed;
  }
}

TEST(pool_with_a_seeded_bug, is_not_seen_where_there_is_none) {
  for (std::uint32_t seed = 100; seed < 110; ++seed) {
    for (const bool spill : {false, true}) {
      pool_against_model<honest_pool> twin(telling_setup(spill));
      EXPECT_EQ(twin.run(fixed_words(seed, 4000)), "") << "seed " << seed;
    }
  }
}

/// The property itself, by RapidCheck, must fail on a twin: its verdict is not lost on the way.
TEST(pool_property, fails_under_rapidcheck_when_a_buffer_is_given_out_twice) {
  const rc::detail::TestResult result = rc::detail::checkTestable(
      [](const std::vector<std::uint32_t>& some) {
        words operations = fixed_words(9, 400);
        operations.insert(operations.end(), some.begin(), some.end());
        pool_against_model<hands_out_the_same_buffer_twice> twin(telling_setup());
        RC_ASSERT(twin.run(operations) == "");
      },
      rc::detail::TestMetadata{}, rc::detail::TestParams{});
  EXPECT_TRUE(result.template is<rc::detail::FailureResult>());
}

}  // namespace
}  // namespace ringpool::test
