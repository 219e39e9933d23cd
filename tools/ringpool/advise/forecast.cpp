// SPDX-License-Identifier: MIT
#include "forecast.hpp"

#include <algorithm>
#include <utility>

namespace ringpool::tools {
namespace {

/// A buffer's state, and its entry in the ring: docs/design.md.
constexpr std::uint64_t state_bytes = 17;
constexpr std::uint64_t page_bytes = 4096;

std::uint64_t whole_pages(std::uint64_t bytes) noexcept {
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/// What so many buffers take in whole pages, with their states, the ring's entries and one thread's
/// cache.
std::uint64_t pages_of(std::uint64_t used, std::uint32_t buffer_size) noexcept {
  if (used == 0) {
    return 0;
  }
  return whole_pages(used * stride_of(buffer_size)) + whole_pages(used * state_bytes) +
         2 * page_bytes;
}

std::vector<class_load> loads_of(const demand& wanted, std::span<const std::uint32_t> sizes) {
  return wanted.seen.timed ? measure_loads(wanted.seen, sizes)
                           : assume_loads(wanted.sizes, sizes, wanted.rate, wanted.hold_seconds);
}

class_forecast forecast_class(const class_setting& setting, class_load load) {
  class_forecast result{.setting = setting, .load = std::move(load)};
  const std::uint64_t all = setting.capacity + setting.elastic_capacity;
  result.fallback_share = result.load.refused_share(setting.capacity);
  result.upstream_share = result.load.refused_share(all);
  const std::uint64_t beyond = std::min(std::max(result.load.peak(), setting.capacity), all);
  result.resident_bytes = pages_of(setting.capacity, setting.buffer_size) +
                          pages_of(beyond - setting.capacity, setting.buffer_size);
  return result;
}

/// What each class wastes: sizes above the class before it, in its buffers.
void add_waste(const size_histogram& sizes, std::vector<class_forecast>& classes) {
  std::size_t i = 0;
  std::vector<double> asked(classes.size());
  std::vector<double> taken(classes.size());
  for (const size_bin& bin : sizes.bins()) {
    while (i < classes.size() && classes[i].setting.buffer_size < bin.bytes) {
      ++i;
    }
    if (i == classes.size()) {
      break;
    }
    asked[i] += bin.presence * bin.bytes;
    taken[i] += bin.presence * static_cast<double>(stride_of(classes[i].setting.buffer_size));
  }
  for (i = 0; i < classes.size(); ++i) {
    classes[i].wasted_share = taken[i] > 0 ? (taken[i] - asked[i]) / taken[i] : 0.0;
  }
}

double mean_oversize_bytes(const size_histogram& sizes, std::uint32_t largest) {
  double bytes = 0.0;
  double allocations = 0.0;
  for (const size_bin& bin : sizes.bins()) {
    if (bin.bytes > largest) {
      bytes += bin.allocations * bin.bytes;
      allocations += bin.allocations;
    }
  }
  return allocations > 0 ? bytes / allocations : 0.0;
}

std::vector<std::uint32_t> sizes_of(std::span<const class_setting> settings) {
  std::vector<std::uint32_t> sizes;
  for (const class_setting& one : settings) {
    sizes.push_back(one.buffer_size);
  }
  return sizes;
}

/// `loads`: of the classes, and of what is above the largest.
set_forecast forecast_loads(const demand& wanted, std::span<const class_setting> settings,
                            std::vector<class_load> loads) {
  const std::vector<std::uint32_t> sizes = sizes_of(settings);
  set_forecast result;
  double fallbacks = 0.0;
  double upstream = 0.0;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const class_forecast& one =
        result.classes.emplace_back(forecast_class(settings[i], std::move(loads[i])));
    const std::uint64_t all = one.setting.capacity + one.setting.elastic_capacity;
    fallbacks += one.fallback_share * one.load.allocations;
    upstream += one.upstream_share * one.load.allocations;
    result.resident_bytes += one.resident_bytes;
    result.resident_bytes +=
        one.load.peak() > all ? (one.load.peak() - all) * one.setting.buffer_size : 0;
    result.reserved_bytes += pages_of(one.setting.capacity, one.setting.buffer_size) +
                             pages_of(one.setting.elastic_capacity, one.setting.buffer_size);
  }
  add_waste(wanted.sizes, result.classes);
  result.oversize = std::move(loads.back());
  const double total = std::max(wanted.sizes.allocations(), 1.0);
  result.oversize_share = result.oversize.allocations / total;
  result.fallback_share = fallbacks / total + result.oversize_share;
  result.upstream_share = upstream / total + result.oversize_share;
  result.resident_bytes += static_cast<std::uint64_t>(
      static_cast<double>(result.oversize.peak()) *
      mean_oversize_bytes(wanted.sizes, sizes.empty() ? 0 : sizes.back()));

  const class_waste waste = waste_of(wanted.sizes, sizes);
  result.wasted_share = waste.wasted_bytes() > 0 ? waste.wasted_share() : 0.0;
  double presence = 0.0;
  for (const size_bin& bin : wanted.sizes.bins()) {
    presence += bin.presence;
  }
  // A presence share p of all that is held, which is rate x hold by Little's law.
  const double held = wanted.rate * wanted.hold_seconds;
  result.wasted_bytes = presence > 0 ? waste.wasted_bytes() / presence * held : 0.0;
  return result;
}

}  // namespace

demand demand_of(traffic seen, double rate, double hold_seconds) {
  demand result{.seen = std::move(seen)};
  result.rate = rate;
  result.hold_seconds = hold_seconds;
  double held_ns = 0.0;
  std::int64_t end_ns = 0;
  for (const traffic_sample& sample : result.seen.samples) {
    held_ns += static_cast<double>(sample.weight) * static_cast<double>(sample.held_ns);
    end_ns = std::max(end_ns, sample.at_ns + sample.held_ns);
  }
  if (result.seen.timed && !result.sizes.empty()) {
    const auto span_ns =
        static_cast<double>(std::max<std::int64_t>(1, end_ns - result.seen.samples.front().at_ns));
    result.rate = result.sizes.allocations() * 1e9 / span_ns;
  }
  if (result.sizes.weighs_time() && !result.sizes.empty()) {
    result.hold_seconds = held_ns / result.sizes.allocations() / 1e9;
  }
  return result;
}

std::vector<class_setting> set_forecast::settings() const {
  std::vector<class_setting> result;
  for (const class_forecast& one : classes) {
    result.push_back(one.setting);
  }
  return result;
}

set_forecast forecast(const demand& wanted, std::span<const class_setting> settings) {
  return forecast_loads(wanted, settings, loads_of(wanted, sizes_of(settings)));
}

set_forecast advise(const demand& wanted, const class_options& classes,
                    const capacity_options& capacities) {
  const std::vector<std::uint32_t> sizes = best_class_sizes(wanted.sizes, classes);
  std::vector<class_load> loads = loads_of(wanted, sizes);
  std::vector<class_setting> settings;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const class_capacity chosen = choose_capacity(loads[i], capacities);
    settings.push_back({sizes[i], chosen.ring, chosen.elastic});
  }
  return forecast_loads(wanted, settings, std::move(loads));
}

}  // namespace ringpool::tools
