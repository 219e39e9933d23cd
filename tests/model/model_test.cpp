// SPDX-License-Identifier: MIT
//
// The ring and the caches in all executions within small bounds: every buffer has one owner, none
// is lost, counters add up, every refusal was justified, nobody blocks, payloads do not race. And
// the same programs on seeded bugs, each of which must be found.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "programs.hpp"

namespace ringpool::model {
namespace {

/// RINGPOOL_MODEL_SCALE multiplies the executions of each program: longer campaigns, or shorter
/// ones where every step is slow; same checks.
std::uint64_t scaled(std::uint64_t executions) {
  const char* scale = std::getenv("RINGPOOL_MODEL_SCALE");
  const double wish = scale != nullptr ? std::strtod(scale, nullptr) : 1.0;
  return std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(executions) * (wish > 0 ? wish : 1.0)));
}

bounds within(unsigned preemptions, unsigned stale_loads, bool park = false) {
  return {.preemptions = preemptions,
          .stale_loads = stale_loads,
          .park = park,
          .executions = scaled(60'000)};
}

void expect_sound(const program_factory& make, const bounds& limits) {
  const outcome found = explore(make, limits);
  EXPECT_EQ(found.violation, "") << "replay: " << found.choices;
  std::printf("%s%llu executions\n", found.complete ? "all " : "",
              static_cast<unsigned long long>(found.executions));
}

template <class Pool>
void expect_sound(const script_set& scripts, const bounds& limits) {
  expect_sound(factory<Pool>(scripts), limits);
}

// ---- The ring -----------------------------------------------------------------------------------

TEST(index_ring_model, two_threads_share_one_index) {
  expect_sound<ring_pool>({1, {"afaf", "afaf"}}, within(4, 2));
}

TEST(index_ring_model, three_threads_share_two_indices) {
  expect_sound<ring_pool>({2, {"af", "af", "af"}}, within(3, 1));
}

TEST(index_ring_model, bulks_of_two_meet_single_calls) {
  expect_sound<ring_pool>({2, {"AF", "afA"}}, within(4, 1));
}

TEST(index_ring_model, a_thread_that_stops_for_ever_anywhere_blocks_nobody) {
  expect_sound<ring_pool>({1, {"afaf", "afaf"}}, within(2, 1, true));
  expect_sound<ring_pool>({2, {"AF", "AF"}}, within(2, 0, true));
}

TEST(index_ring_model, tags_near_the_wrap_of_narrower_words_behave_the_same) {
  for (const std::uint64_t first_cycle : {(1ULL << 16) - 2, (1ULL << 31) - 2, (1ULL << 32) - 2}) {
    expect_sound<ring_pool>({1, {"afafaf", "afafaf"}, first_cycle}, within(2, 1));
  }
}

/// A taker stops between its ticket and its entry; meanwhile another thread takes and gives until
/// the tickets have come round to that entry, and a third stops before it places an index there.
class overtaken final : public program {
 public:
  overtaken() {
    std::array<slot_index, 3> all{};
    require(pool_.take(all) == 3, "the set-up takes all");
    pool_.give(std::span(all).first(2));
    held_[0] = all[2];
  }
  [[nodiscard]] unsigned thread_count() const override { return 3; }
  void run_thread(unsigned number) override {
    std::array<slot_index, 1> one{};
    switch (number) {
      case 0: turn(one); break;
      case 1:
        for (int round = 0; round < 8; ++round) {
          turn(one);
        }
        break;
      default: pool_.give(held_); break;
    }
  }
  void check_at_end(unsigned /*parked*/) override {
    std::array<slot_index, 4> all{};
    require(pool_.take(all) == 3, "an index is lost, or there twice");
  }

 private:
  void turn(std::span<slot_index> one) {
    if (pool_.take(one) == 1) {
      pool_.give(one);
    }
  }

  ring_pool pool_{script_set{3, {}, 1, false, 1}};
  std::array<slot_index, 1> held_{};
};

TEST(index_ring_model, a_taker_that_is_overtaken_by_a_whole_round_loses_nothing) {
  expect_sound([] { return std::make_unique<overtaken>(); }, within(3, 0));
}

// ---- The caches ---------------------------------------------------------------------------------

TEST(index_cache_model, a_raid_finds_what_an_idle_owner_cached) {
  expect_sound<cached_pool>({2, {"af", "aa"}}, within(3, 1));
  expect_sound<cached_pool>({2, {"aaff", "aaf"}}, within(2, 1));
}

TEST(index_cache_model, refill_and_flush_meet_a_raid) {
  expect_sound<cached_pool>({4, {"AFaf", "AA"}}, within(2, 2));
  expect_sound<cached_pool>({4, {"AAFFa", "AaF"}}, within(2, 0));
}

TEST(index_cache_model, an_owner_that_misses_under_a_raid_is_looked_at_again) {
  // Found in review: a miss between a raider's two looks left its cache unseen.
  expect_sound<cached_pool>({2, {"af", "afa", "a"}}, within(2, 0));
}

TEST(index_cache_model, two_raiders_share_what_is_there) {
  expect_sound<cached_pool>({2, {"af", "a", "a"}}, within(2, 0));
}

void expect_one(cached_pool& pool) {
  slot_index one{};
  require(pool.take({&one, 1}) == 1, "refused although a buffer was free all the time");
}

/// One thread takes a buffer, of which at any time one is free, while another opens the gate and
/// moves what is free from the ring to a cache: as slot 2 it gives one back to the ring and one to
/// its cache, as slot 3 it takes the two in the ring.
class never_empty final : public program {
 public:
  never_empty() {
    std::array<slot_index, 1> one{};
    for (slot_index& slot : held_) {
      require(pool_.take(one) == 1, "the set-up takes all");
      slot = one[0];
    }
    require(pool_.take(one) == 0, "a raid that leaves the gate clean");
    pool_.give({&held_[0], 1});
  }
  [[nodiscard]] unsigned thread_count() const override { return 2; }
  void run_thread(unsigned number) override {
    if (number == 0) {
      expect_one(pool_);
      return;
    }
    pool_.give({&held_[1], 1});
    pool_.give({&held_[2], 1});
    policy::slots[1] = 3;
    expect_one(pool_);
    expect_one(pool_);
  }
  void check_at_end(unsigned /*parked*/) override {}

 private:
  cached_pool pool_{script_set{4, {}, 1, false, 2}};
  std::array<slot_index, 4> held_{};
};

TEST(index_cache_model, a_refusal_without_a_raid_meets_the_opening_of_the_gate) {
  expect_sound([] { return std::make_unique<never_empty>(); }, within(2, 0));
  expect_sound<cached_pool>({2, {"aaaff", "af", "a"}}, within(2, 0));
  expect_sound<cached_pool>({2, {"aaaff", "afa"}}, within(3, 1));
}

/// A buffer is free at every moment, but never one for long: it lies in the cache of slot 1 while
/// its owner is between calls, and in the ring while that is inside one. Who looks at the cache
/// when the owner is under way, and at the ring when that is empty again, must look again.
class never_in_one_place final : public program {
 public:
  never_in_one_place() {
    for (slot_index& slot : held_) {
      require(pool_.take({&slot, 1}) == 1, "the set-up takes all");
    }
    policy::slots[max_threads] = 1;
    pool_.give({&held_[0], 1});
    policy::slots[max_threads] = 0;
    policy::slots[1] = 4;
  }
  [[nodiscard]] unsigned thread_count() const override { return 2; }
  void run_thread(unsigned number) override {
    if (number == 0) {
      policy::slots[0] = 2;
      pool_.give({&held_[1], 1});
      policy::slots[0] = 1;
      pool_.give({&held_[2], 1});
      policy::slots[0] = 3;
      expect_one(pool_);
    }
    expect_one(pool_);
  }
  void check_at_end(unsigned /*parked*/) override {}

 private:
  cached_pool pool_{script_set{4, {}, 1, false, 2}};
  std::array<slot_index, 4> held_{};
};

TEST(index_cache_model, a_raid_looks_again_at_owners_that_were_under_way) {
  expect_sound([] { return std::make_unique<never_in_one_place>(); }, within(3, 0));
}

TEST(index_cache_model, a_thread_goes_on_in_the_slot_of_one_that_ended) {
  const auto reborn = [](std::size_t capacity, std::vector<std::string> threads) {
    return script_set{capacity, std::move(threads), 1, false, 1, true};
  };
  expect_sound<cached_pool>(reborn(2, {"afx", "af"}), within(4, 1));
  expect_sound<cached_pool>(reborn(2, {"afxa", "aa"}), within(3, 1));
  expect_sound<cached_pool>(reborn(2, {"afx", "af", "aa"}), within(2, 0));
}

TEST(index_cache_model, trimming_takes_out_and_brings_back) {
  expect_sound<cached_pool>({2, {"aft", "aa"}}, within(3, 1));
  expect_sound<cached_pool>({4, {"AFt", "AF"}}, within(2, 1));
  expect_sound<cached_pool>({2, {"af", "t", "a"}}, within(2, 0));
}

TEST(index_cache_model, owners_fence_for_themselves_where_membarrier_is_refused) {
  expect_sound<cached_pool>({2, {"afaf", "aa"}, 1, true}, within(2, 1));
}

TEST(index_cache_model, a_thread_that_stops_for_ever_anywhere_blocks_nobody) {
  expect_sound<cached_pool>({2, {"af", "aa"}}, within(1, 0, true));
}

TEST(index_cache_model, random_walks_beyond_the_bounds_find_nothing) {
  bounds far = within(40, 4);
  far.random = scaled(15'000);
  expect_sound<cached_pool>({4, {"afAFa", "aAFaf", "AFafa"}}, far);
  expect_sound<ring_pool>({2, {"afAFa", "aAFaf", "AFafa"}}, far);
}

TEST(index_cache_model, random_walks_with_trims_of_threads_that_come_and_go_find_nothing) {
  bounds far = within(40, 4);
  far.random = scaled(15'000);
  expect_sound<cached_pool>({4, {"afxAFxa", "aAxFtaf", "AFafxat"}, 1, false, 1, true}, far);
}

bounds by_priorities(unsigned changes) {
  bounds far = within(40, 4);
  far.random = scaled(10'000);
  far.priority_changes = changes;
  return far;
}

TEST(index_cache_model, priorities_that_change_at_random_steps_find_nothing) {
  for (const unsigned changes : {2U, 4U}) {
    expect_sound<cached_pool>({4, {"afAFa", "aAFaf", "AFafa"}}, by_priorities(changes));
    expect_sound<cached_pool>({2, {"afx", "afta", "aa"}, 1, false, 1, true},
                              by_priorities(changes));
    expect_sound<ring_pool>({2, {"afAFa", "aAFaf", "AFafa"}}, by_priorities(changes));
  }
}

// ---- Seeded bugs --------------------------------------------------------------------------------

TEST(model_twins, without_membarrier_a_raid_and_an_owner_share_a_buffer) {
  const program_factory make = factory<cached_pool>({2, {"af", "aa"}});
  const outcome found = explore(make, within(2, 1), {}, true);
  ASSERT_NE(found.violation, "");
  EXPECT_EQ(replay(make, within(2, 1), found.choices, {}, true).violation, found.violation);
}

TEST(model_twins, priorities_find_the_missing_membarrier_and_replay_it) {
  const program_factory make = factory<cached_pool>({2, {"afafaf", "aaff", "af"}});
  const outcome found = explore(make, by_priorities(3), {}, true);
  ASSERT_NE(found.violation, "");
  EXPECT_EQ(replay(make, by_priorities(3), found.choices, {}, true).violation, found.violation);
}

/// Every order that these programs depend on, weakened to relaxed one by one at its source line.
/// The lines are found by running; what must be found is how many are killed at least.
TEST(model_twins, weakened_orders_are_found) {
  const std::vector<program_factory> programs = {
      factory<cached_pool>({4, {"AFaf", "AA"}}),
      factory<cached_pool>({2, {"aaff", "aaf"}}),
      factory<ring_pool>({2, {"afaf", "af", "af"}}),
      factory<cached_pool>({2, {"afx", "af"}, 1, false, 1, true}),
  };
  bounds limits = within(2, 2);
  limits.executions = scaled(5'000);
  std::vector<weakened_site> sites;
  for (const program_factory& make : programs) {
    for (const auto& [file, line] : explore(make, limits).ordered_sites) {
      if (std::none_of(sites.begin(), sites.end(), [&](const weakened_site& one) {
            return one.file == file && one.line == line;
          })) {
        sites.push_back({file, line});
      }
    }
  }
  std::size_t killed = 0;
  std::string survivors;
  for (const weakened_site& site : sites) {
    const bool found = std::any_of(programs.begin(), programs.end(), [&](const auto& make) {
      return !explore(make, limits, site).violation.empty();
    });
    killed += found ? 1U : 0U;
    survivors += found ? "" : " " + site.file + ":" + std::to_string(site.line);
  }
  std::printf("%zu of %zu sites found; not:%s\n", killed, sites.size(), survivors.c_str());
  EXPECT_GE(killed, 10U);
}

/// A ring that counts an index before it is placed: a claimant may wait for a suspended pusher.
class counted_early {
 public:
  explicit counted_early(const script_set& scripts) : free_(1), slot_(1) {
    (void)scripts;
    slot_.get()->store(1, detail::relaxed);
    free_.get()->store(1, detail::relaxed);
  }
  std::size_t take(std::span<slot_index> out) {
    std::uint64_t one = 1;
    if (!free_.get()->compare_exchange_strong(one, 0, detail::acq_rel, detail::acquire)) {
      return 0;
    }
    while (slot_.get()->load(detail::acquire) == 0) {
      if (current_thread() == max_threads) {
        return 0;  // the final check has no other thread to wait for
      }
    }
    slot_.get()->store(0, detail::relaxed);
    out[0] = slot_index{0};
    return 1;
  }
  void give(std::span<const slot_index> /*slots*/) {
    free_.get()->store(1, detail::release);
    slot_.get()->store(1, detail::release);
  }
  [[nodiscard]] static std::size_t inside(std::size_t count) { return count; }
  [[nodiscard]] static std::size_t counted(std::size_t made) { return made; }

 private:
  zeroed<model::atomic<std::uint64_t>> free_;
  zeroed<model::atomic<std::uint64_t>> slot_;
};

TEST(model_twins, a_ring_that_counts_before_it_places_blocks) {
  EXPECT_NE(explore(factory<counted_early>({1, {"afaf", "afaf"}}), within(3, 0, true)).violation,
            "");
}

/// A bag behind a flag, which says that it is empty when another call is at it. For the judge of
/// refusals that is right: the other call may have kept all.
class busy_bag {
 public:
  static constexpr bool linearizable = true;
  explicit busy_bag(const script_set& scripts) : busy_(1), bag_(1) {
    bag_.get()->store((1U << scripts.capacity) - 1, detail::relaxed);
  }
  std::size_t take(std::span<slot_index> out) {
    std::uint32_t idle = 0;
    if (!busy_.get()->compare_exchange_strong(idle, 1, detail::acq_rel, detail::acquire)) {
      return 0;
    }
    const std::uint32_t bag = bag_.get()->load(detail::relaxed);
    if (bag != 0) {
      out[0] = slot_index{static_cast<std::uint32_t>(std::countr_zero(bag))};
      bag_.get()->store(bag & (bag - 1), detail::relaxed);
    }
    busy_.get()->store(0, detail::release);
    return bag != 0 ? 1 : 0;
  }
  void give(std::span<const slot_index> slots) {
    std::uint32_t idle = 0;
    while (!busy_.get()->compare_exchange_strong(idle, 1, detail::acq_rel, detail::acquire)) {
      idle = 0;
    }
    for (const slot_index one : slots) {
      bag_.get()->fetch_or(1U << to_number(one), detail::relaxed);
    }
    busy_.get()->store(0, detail::release);
  }
  [[nodiscard]] static std::size_t inside(std::size_t /*count*/) { return 100; }
  [[nodiscard]] static std::size_t counted(std::size_t made) { return made; }

 private:
  zeroed<model::atomic<std::uint32_t>> busy_;
  zeroed<model::atomic<std::uint32_t>> bag_;
};

TEST(model_twins, a_bag_that_is_empty_while_another_call_is_at_it_has_no_order) {
  const outcome found = explore(factory<busy_bag>({2, {"a", "a"}}), within(2, 0));
  EXPECT_EQ(found.violation, "the calls have no order");
}

}  // namespace
}  // namespace ringpool::model
