// SPDX-License-Identifier: MIT
#include "class_load.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
#include <ringpool/config.hpp>

#include "traffic_sweep.hpp"

namespace ringpool::tools {
namespace {

/// Steps of a walk through traffic: more take units of more buffers.
constexpr std::uint64_t most_steps = std::uint64_t{1} << 24;
/// Share of allocations below which nothing is assumed to happen.
constexpr double negligible = 1e-9;

std::size_t class_index(std::span<const std::uint32_t> sizes, std::uint32_t bytes) noexcept {
  return static_cast<std::size_t>(std::lower_bound(sizes.begin(), sizes.end(), bytes) -
                                  sizes.begin());
}

std::uint64_t allocations_of(const traffic& timed) {
  return std::accumulate(
      timed.samples.begin(), timed.samples.end(), std::uint64_t{0},
      [](std::uint64_t sum, const traffic_sample& sample) { return sum + sample.weight; });
}

/// One class's numbers while traffic is walked through.
class numbered_class {
 public:
  numbered_class(std::int64_t begin_ns, std::int64_t end_ns)
      : part_ns_(std::max<std::int64_t>(
            1, (end_ns - begin_ns) / static_cast<std::int64_t>(timeline_parts) + 1)),
        begin_ns_(begin_ns),
        last_ns_(begin_ns),
        timeline_(timeline_parts) {}

  std::uint32_t take(std::int64_t at_ns) {
    pass_to(at_ns);
    std::uint32_t number = static_cast<std::uint32_t>(taken_.size());
    if (free_.empty()) {
      taken_.push_back(0);
      held_ns_.push_back(0.0);
    } else {
      number = free_.top();
      free_.pop();
    }
    ++taken_[number];
    ++held_;
    note();
    return number;
  }

  void give(std::uint32_t number, std::int64_t at_ns) {
    pass_to(at_ns);
    free_.push(number);
    --held_;
  }

  [[nodiscard]] class_load load(double allocations, std::uint64_t unit, std::int64_t end_ns) {
    pass_to(end_ns);
    class_load result;
    result.allocations = allocations;
    result.unit = unit;
    const auto steps = std::accumulate(taken_.begin(), taken_.end(), 0.0);
    const auto time = static_cast<double>(std::max<std::int64_t>(1, end_ns - begin_ns_));
    result.refused.assign(taken_.size() + 1, 0.0);
    result.busier.assign(taken_.size() + 1, 0.0);
    double refused = 0.0;
    double busier = 0.0;
    for (std::size_t n = taken_.size(); n-- > 0;) {
      result.refused[n] = (refused += static_cast<double>(taken_[n])) / steps;
      result.busier[n] = (busier += held_ns_[n]) / time;
      result.mean_held += static_cast<double>(n + 1) * held_ns_[n] / time;
    }
    result.mean_held *= static_cast<double>(unit);
    for (const std::uint64_t most : timeline_) {
      result.timeline.push_back(static_cast<double>(most * unit));
    }
    return result;
  }

 private:
  /// held_ were held from the last time to this.
  void pass_to(std::int64_t at_ns) {
    if (held_ > 0) {
      held_ns_[held_ - 1] += static_cast<double>(at_ns - last_ns_);
      for (std::size_t part = part_at(last_ns_); part < part_at(at_ns); ++part) {
        timeline_[part] = std::max<std::uint64_t>(timeline_[part], held_);
      }
    }
    last_ns_ = at_ns;
    note();
  }
  void note() {
    std::uint64_t& most = timeline_[part_at(last_ns_)];
    most = std::max<std::uint64_t>(most, held_);
  }
  [[nodiscard]] std::size_t part_at(std::int64_t at_ns) const noexcept {
    return std::min(timeline_parts - 1, static_cast<std::size_t>((at_ns - begin_ns_) / part_ns_));
  }

  std::int64_t part_ns_;
  std::int64_t begin_ns_;
  std::int64_t last_ns_;
  std::size_t held_ = 0;
  std::vector<std::uint64_t> taken_;  // by number: how often
  std::vector<double> held_ns_;       // by count - 1: how long so many were held
  std::vector<std::uint64_t> timeline_;
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> free_;
};

class_load assumed_load(double allocations, double offered) {
  class_load result;
  result.allocations = allocations;
  result.mean_held = offered;
  if (offered <= 0) {
    return result;
  }
  result.refused = erlang_b(offered, negligible);
  double above = 1.0;  // how many would be held with buffers for all: Poisson's distribution
  for (std::size_t n = 0; n < result.refused.size(); ++n) {
    const auto count = static_cast<double>(n);
    above -= std::exp(count * std::log(offered) - offered - std::lgamma(count + 1));
    result.busier.resize(n + 1);
    result.busier[n] = std::max(0.0, above);
  }
  return result;
}

}  // namespace

double class_load::peak_error() const noexcept {
  return std::sqrt((sample_weight - 1) * static_cast<double>(peak()));
}

double class_load::refused_share(std::uint64_t capacity) const noexcept {
  if (capacity >= peak()) {
    return capacity == peak() ? refused.back() : 0.0;
  }
  // What a step takes is refused in part where the capacity ends inside of it.
  const std::size_t step = capacity / unit;
  const double part = static_cast<double>(capacity % unit) / static_cast<double>(unit);
  return refused[step] + (refused[step + 1] - refused[step]) * part;
}

std::uint64_t class_load::least_capacity(double share) const noexcept {
  const auto enough = std::find_if(refused.begin(), refused.end(),
                                   [share](double refusals) { return refusals <= share; });
  if (enough == refused.begin()) {
    return 0;
  }
  const auto step = static_cast<std::uint64_t>(enough - refused.begin());
  if (enough == refused.end()) {
    return peak();
  }
  std::uint64_t low = (step - 1) * unit;  // refuses more
  std::uint64_t high = step * unit;       // does not
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (refused_share(middle) <= share ? high : low) = middle;
  }
  return high;
}

std::uint64_t class_load::held_quantile(double share) const noexcept {
  const auto enough = std::find_if(busier.begin(), busier.end(),
                                   [share](double time) { return time <= 1.0 - share + 1e-12; });
  return static_cast<std::uint64_t>(enough - busier.begin()) * unit;
}

std::vector<class_load> measure_loads(const traffic& timed, std::span<const std::uint32_t> sizes) {
  const std::uint64_t total = allocations_of(timed);
  const std::uint64_t unit = 1 + total / most_steps;
  const double weight = static_cast<double>(total) /
                        static_cast<double>(std::max<std::size_t>(timed.samples.size(), 1));
  std::int64_t begin_ns = timed.samples.empty() ? 0 : timed.samples.front().at_ns;
  std::int64_t end_ns = begin_ns;
  std::vector<double> allocations(sizes.size() + 1);
  for (const traffic_sample& sample : timed.samples) {
    end_ns = std::max(end_ns, sample.at_ns + sample.held_ns);
    allocations[class_index(sizes, sample.bytes)] += sample.weight;
  }
  std::vector<numbered_class> classes(sizes.size() + 1, numbered_class(begin_ns, end_ns));
  struct held_number {
    std::uint32_t class_number;
    std::uint32_t number;
  };
  sweep(
      timed, [unit](const traffic_sample& sample) { return (sample.weight + unit - 1) / unit; },
      [&](const traffic_sample& sample) {
        const std::size_t home = class_index(sizes, sample.bytes);
        return held_number{static_cast<std::uint32_t>(home), classes[home].take(sample.at_ns)};
      },
      [&](const held_number& what, std::int64_t at_ns) {
        classes[what.class_number].give(what.number, at_ns);
      });
  std::vector<class_load> loads;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    loads.push_back(classes[i].load(allocations[i], unit, end_ns));
    loads.back().sample_weight = weight;
  }
  return loads;
}

std::vector<class_load> assume_loads(const size_histogram& histogram,
                                     std::span<const std::uint32_t> sizes, double rate,
                                     double hold_seconds) {
  std::vector<double> allocations(sizes.size() + 1);
  std::vector<double> offered(sizes.size() + 1);
  for (const size_bin& bin : histogram.bins()) {
    const std::size_t home = class_index(sizes, bin.bytes);
    const double hold = histogram.weighs_time() ? bin.held_ns() / 1e9 : hold_seconds;
    allocations[home] += bin.allocations;
    offered[home] += bin.allocations / histogram.allocations() * rate * hold;
  }
  std::vector<class_load> loads;
  for (std::size_t i = 0; i < allocations.size(); ++i) {
    loads.push_back(assumed_load(allocations[i], offered[i]));
  }
  return loads;
}

std::vector<double> erlang_b(double offered, double least) {
  std::vector<double> blocked{1.0};
  while (blocked.back() > least) {
    const double carried = offered * blocked.back();
    blocked.push_back(carried / (static_cast<double>(blocked.size()) + carried));
  }
  return blocked;
}

class_capacity choose_capacity(const class_load& load, const capacity_options& options) noexcept {
  const auto with_headroom = [&](double count) {
    return static_cast<std::uint64_t>(std::ceil(options.headroom * count));
  };
  const auto wanted = static_cast<double>(load.least_capacity(options.exhaustion));
  const double most = static_cast<double>(load.peak()) + 2.0 * load.peak_error();
  constexpr std::uint64_t most_buffers = max_capacity;  // of a ring, a power of two
  class_capacity result;
  result.ring = std::bit_ceil(std::clamp<std::uint64_t>(with_headroom(wanted), 1, most_buffers));
  const std::uint64_t peak = with_headroom(most);
  result.elastic = peak > result.ring ? std::min(peak - result.ring, most_buffers) : 0;
  return result;
}

}  // namespace ringpool::tools
