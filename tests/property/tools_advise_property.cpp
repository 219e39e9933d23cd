// SPDX-License-Identifier: MIT
// Advice is the best there is, and a pool does what it predicts: for random sizes and random
// traffic, in bursts too. What takes short cuts must fail the same checks.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "advise/class_load.hpp"
#include "advise/classes.hpp"
#include "advise/forecast.hpp"
#include "advise/replay.hpp"

namespace ringpool::tools {
namespace {

using class_sizes = std::vector<std::uint32_t>;

traffic sizes_only(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& counts) {
  traffic result;
  for (const auto& [bytes, count] : counts) {
    result.samples.push_back({.bytes = bytes, .weight = count});
  }
  return result;
}

rc::Gen<traffic> any_sizes() {
  const auto size = rc::gen::weightedOneOf<std::uint32_t>(
      {{3, rc::gen::inRange(1U, 1500U)}, {1, rc::gen::element(1U, 63U, 64U, 65U, 128U, 1000U)}});
  return rc::gen::map(
      rc::gen::resize(24,
                      rc::gen::nonEmpty(
                          rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
                              rc::gen::pair(size, rc::gen::inRange(1U, 1000U))))),
      sizes_only);
}

/// The least that any choice of up to `count` classes takes, by trying them all.
double least_by_trying(const size_histogram& histogram, std::size_t count) {
  std::set<std::uint32_t> ends;
  for (const size_bin& bin : histogram.bins()) {
    ends.insert(static_cast<std::uint32_t>(stride_of(bin.bytes)));
  }
  const class_sizes all(ends.begin(), ends.end());
  double least = std::numeric_limits<double>::infinity();
  const auto choose = [&](const auto& self, std::size_t from, class_sizes chosen) -> void {
    if (chosen.size() + 1 <= count) {
      class_sizes whole = chosen;
      whole.push_back(all.back());
      least = std::min(least, waste_of(histogram, whole).buffer_bytes);
    }
    for (std::size_t i = from; i + 1 < all.size() && chosen.size() + 1 < count; ++i) {
      class_sizes more = chosen;
      more.push_back(all[i]);
      self(self, i + 1, std::move(more));
    }
  };
  choose(choose, 0, {});
  return least;
}

template <class Property>
bool holds_always(Property property, int times = 200) {
  rc::detail::TestParams params;
  params.maxSuccess = times;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata{}, params);
  return result.template is<rc::detail::SuccessResult>();
}

template <class Choose>
bool is_best_everywhere(Choose choose) {
  return holds_always([&] {
    const size_histogram histogram(*any_sizes());
    for (std::size_t count = 1; count <= 4; ++count) {
      const class_sizes chosen = choose(histogram, count);
      RC_ASSERT(chosen.size() <= count);
      RC_ASSERT(std::is_sorted(chosen.begin(), chosen.end()));
      const class_waste waste = waste_of(histogram, chosen);
      RC_ASSERT(waste.oversize_allocations == 0.0);
      RC_ASSERT(waste.buffer_bytes == least_by_trying(histogram, count));
    }
  });
}

TEST(advise_classes, no_choice_of_up_to_four_classes_takes_less) {
  EXPECT_TRUE(is_best_everywhere([](const size_histogram& histogram, std::size_t count) {
    return best_class_sizes(histogram, {.count = count});
  }));
}

TEST(advise_classes, twin_classes_at_equal_shares_of_the_allocations_are_found_out) {
  EXPECT_FALSE(is_best_everywhere([](const size_histogram& histogram, std::size_t count) {
    std::set<std::uint32_t> chosen;
    for (std::size_t i = 1; i <= count; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(count);
      chosen.insert(static_cast<std::uint32_t>(stride_of(histogram.quantile_bytes(share))));
    }
    return class_sizes(chosen.begin(), chosen.end());
  }));
}

TEST(advise_classes, as_many_classes_as_today_never_waste_more_than_today) {
  EXPECT_TRUE(holds_always([] {
    const size_histogram histogram(*any_sizes());
    const auto sizes =
        *rc::gen::container<std::set<std::uint32_t>>(rc::gen::inRange(1U, 2000U)).as("today");
    class_sizes today(sizes.begin(), sizes.end());
    today.push_back(2048);
    const class_sizes advised = best_class_sizes(histogram, {.count = today.size()});
    RC_ASSERT(waste_of(histogram, advised).wasted_bytes() <=
              waste_of(histogram, today).wasted_bytes());
  }));
}

/// Traffic that comes in bursts, of sizes that go together.
rc::Gen<traffic> any_traffic() {
  const auto burst = rc::gen::tuple(
      rc::gen::inRange<std::int64_t>(0, 2000),  // after the last
      rc::gen::inRange<std::int64_t>(1, 3000),  // held
      rc::gen::inRange(1U, 600U),               // bytes
      rc::gen::weightedElement<std::uint32_t>({{8, 1U}, {3, 2U}, {2, 9U}, {1, 60U}}));  // how many
  return rc::gen::mapcat(rc::gen::element(1U, 1U, 3U, 16U), [burst](std::uint32_t weight) {
    return rc::gen::map(
        rc::gen::resize(
            60,
            rc::gen::nonEmpty(
                rc::gen::container<std::vector<
                    std::tuple<std::int64_t, std::int64_t, std::uint32_t, std::uint32_t>>>(burst))),
        [weight](const auto& bursts) {
          traffic result;
          result.timed = true;
          std::int64_t at_ns = 0;
          for (const auto& [gap, held, bytes, count] : bursts) {
            at_ns += gap;
            for (std::uint32_t i = 0; i < count; ++i) {
              result.samples.push_back({.at_ns = at_ns,
                                        .held_ns = held + 7 * i,
                                        .bytes = bytes + i % 5,
                                        .weight = weight});
            }
          }
          return result;
        });
  });
}

std::vector<class_setting> any_settings() {
  const auto ring = [] { return std::uint64_t{1} << *rc::gen::inRange(0, 8); };
  return {{64, ring(), 0}, {256, ring(), 0}, {512, ring(), 0}};
}

double percent_off(double predicted, double happened) {
  return std::abs(predicted - happened) / std::max(happened, 1e-12) * 100.0;
}

TEST(advise_replay, a_pool_refuses_just_what_was_predicted) {
  EXPECT_TRUE(holds_always([] {
    const demand wanted = demand_of(*any_traffic(), 0, 0);
    const std::vector<class_setting> settings = any_settings();
    const set_forecast expected = forecast(wanted, settings);
    const replay_result happened = replay(wanted.seen, settings);
    RC_ASSERT(happened.allocation_count == static_cast<std::uint64_t>(wanted.sizes.allocations()));
    const double fallbacks = expected.fallback_share * wanted.sizes.allocations();
    RC_ASSERT(std::abs(fallbacks - static_cast<double>(happened.fallback_count)) < 1e-6);
  }));
}

TEST(advise_replay, twin_bursts_taken_for_independent_arrivals_are_found_out) {
  EXPECT_FALSE(holds_always([] {
    const demand wanted = demand_of(*any_traffic(), 0, 0);
    const std::vector<class_setting> settings = any_settings();
    demand untimed = wanted;
    untimed.seen.timed = false;
    const double predicted = forecast(untimed, settings).fallback_share;
    const double happened = replay(wanted.seen, settings).fallback_share();
    RC_PRE(happened > 0.01);
    RC_ASSERT(percent_off(predicted, happened) <= 20.0);
  }));
}

TEST(advise_replay, independent_arrivals_are_refused_as_erlang_says) {
  for (const double offered : {3.0, 20.0, 90.0}) {
    const demand wanted = demand_of(sizes_only({{40, 1000}, {200, 1000}}), 1e6, 2 * offered / 1e6);
    const auto ring = [&](double share) {
      const class_load load =
          assume_loads(wanted.sizes, class_sizes{64, 256}, wanted.rate, wanted.hold_seconds)[0];
      std::uint64_t capacity = 1;
      while (load.refused_share(2 * capacity) > share) {
        capacity *= 2;
      }
      return capacity;
    };
    const std::vector<class_setting> settings{{64, ring(0.01), 0}, {256, ring(0.01), 0}};
    const traffic made =
        poisson_traffic(wanted.sizes, wanted.rate, wanted.hold_seconds, 100'000, 7);
    EXPECT_LT(percent_off(forecast(wanted, settings).fallback_share,
                          replay(made, settings).fallback_share()),
              20.0)
        << offered;
  }
}

TEST(advise_capacity, no_smaller_ring_would_do) {
  EXPECT_TRUE(holds_always([] {
    const demand wanted = demand_of(*any_traffic(), 0, 0);
    const double share = *rc::gen::element(1e-4, 0.01, 0.2);
    for (const class_load& load : measure_loads(wanted.seen, class_sizes{64, 256, 512})) {
      const std::uint64_t least = load.least_capacity(share);
      RC_ASSERT(load.refused_share(least) <= share);
      RC_ASSERT(least == 0 || load.refused_share(least - 1) > share);
      RC_ASSERT(std::is_sorted(load.refused.rbegin(), load.refused.rend()));
      RC_ASSERT(load.refused_share(load.peak()) == 0.0);
    }
  }));
}

TEST(advise_capacity, advised_rings_refuse_no_more_than_was_asked_for) {
  EXPECT_TRUE(holds_always([] {
    const demand wanted = demand_of(*any_traffic(), 0, 0);
    const double exhaustion = *rc::gen::element(1e-4, 0.01, 0.2);
    const set_forecast advised = advise(wanted, {}, {.exhaustion = exhaustion, .headroom = 1.0});
    for (const class_forecast& one : advised.classes) {
      RC_ASSERT(one.fallback_share <= exhaustion);
      RC_ASSERT(one.upstream_share == 0.0);
    }
    RC_ASSERT(replay(wanted.seen, advised.settings()).fallback_share() <= exhaustion + 1e-12);
  }));
}

}  // namespace
}  // namespace ringpool::tools
