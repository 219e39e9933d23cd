// SPDX-License-Identifier: MIT
#include "replay.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <ringpool/multi_size_ring_pool.hpp>

#include "memory_use.hpp"
#include "traffic_sweep.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint64_t samples_a_notice = 1 << 16;

std::vector<size_class> pool_classes(std::span<const class_setting> settings) {
  std::vector<size_class> result;
  for (const class_setting& one : settings) {
    size_class& added = result.emplace_back();
    added.buffer_size = one.buffer_size;
    added.capacity = static_cast<std::size_t>(one.capacity);
    added.settings.elastic_capacity = static_cast<std::size_t>(one.elastic_capacity);
  }
  return result;
}

/// What rings and elastic buffers lack comes from the heap, however much it is.
pool_options unbounded_upstream() {
  pool_options options;
  options.upstream_budget_bytes = std::numeric_limits<std::size_t>::max() / 2;
  return options;
}

/// The pool and what is held of it.
class replayed_pool {
 public:
  explicit replayed_pool(std::span<const class_setting> settings)
      : pool_(pool_classes(settings), unbounded_upstream()) {}

  struct held {
    void* data;
    std::uint64_t wasted;
  };

  held take(const traffic_sample& sample) {
    pass_to(sample.at_ns);
    void* const data = pool_.allocate(sample.bytes);
    if (data == nullptr) {
      throw std::bad_alloc();
    }
    // As whoever fills it would: every page is written to.
    constexpr std::uint32_t page = 4096;
    for (std::uint32_t at = 0; at < sample.bytes; at += page) {
      static_cast<unsigned char*>(data)[at] = 1;
    }
    static_cast<unsigned char*>(data)[sample.bytes - 1] = 1;
    const std::uint64_t wasted = waste_at(data, sample.bytes);
    wasted_now_ += wasted;
    return {data, wasted};
  }

  void give(const held& what, std::int64_t at_ns) {
    pass_to(at_ns);
    wasted_now_ -= what.wasted;
    pool_.deallocate(what.data);
  }

  /// What there is to say once all has been given back.
  void finish(replay_result& result, std::int64_t begin_ns) const {
    for (const pool_stats& one : pool_.stats().classes) {
      result.allocation_count += one.alloc_count;
      result.fallback_count += one.fallback_count;
      result.upstream_count += one.upstream_alloc_count;
      result.touched_counts.push_back(one.peak_in_use);
    }
    result.wasted_bytes =
        wasted_time_ / static_cast<double>(std::max<std::int64_t>(1, last_ns_ - begin_ns));
  }

 private:
  /// Of a block from the heap: nothing, as far as the pool goes.
  [[nodiscard]] std::uint64_t waste_at(const void* data, std::uint32_t bytes) const noexcept {
    if (!pool_.owns(data)) {
      return 0;
    }
    const auto classes = pool_.classes();
    const auto home = std::lower_bound(
        classes.begin(), classes.end(), bytes,
        [](const ring_buffer_pool& pool, std::uint32_t size) { return pool.buffer_size() < size; });
    return stride_of(home->buffer_size()) - bytes;
  }
  void pass_to(std::int64_t at_ns) noexcept {
    wasted_time_ += static_cast<double>(wasted_now_) * static_cast<double>(at_ns - last_ns_);
    last_ns_ = at_ns;
  }

  multi_size_ring_pool pool_;
  std::uint64_t wasted_now_ = 0;
  double wasted_time_ = 0.0;
  std::int64_t last_ns_ = 0;
};

}  // namespace

replay_result replay(const traffic& timed, std::span<const class_setting> settings,
                     const std::function<void(std::uint64_t done)>& progress) {
  replay_result result;
  const std::uint64_t before = memory_use_of_this_process().private_dirty_bytes;
  replayed_pool pool(settings);
  std::uint64_t done = 0;
  const auto begin = std::chrono::steady_clock::now();
  sweep(
      timed,
      [&](const traffic_sample& sample) {
        if (++done % samples_a_notice == 0 && progress) {
          progress(done);
        }
        return std::uint64_t{sample.weight};
      },
      [&](const traffic_sample& sample) { return pool.take(sample); },
      [&](const replayed_pool::held& what, std::int64_t at_ns) { pool.give(what, at_ns); });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::uint64_t after = memory_use_of_this_process().private_dirty_bytes;
  result.resident_bytes = after > before ? after - before : 0;
  pool.finish(result, timed.samples.empty() ? 0 : timed.samples.front().at_ns);
  return result;
}

traffic poisson_traffic(const size_histogram& sizes, double rate, double hold_seconds,
                        std::uint64_t count, std::uint64_t seed) {
  traffic result;
  result.timed = true;
  result.samples.reserve(count);
  std::vector<double> shares;
  for (const size_bin& bin : sizes.bins()) {
    shares.push_back(bin.allocations);
  }
  std::mt19937_64 random(seed);
  std::discrete_distribution<std::size_t> pick(shares.begin(), shares.end());
  std::exponential_distribution<double> gap_ns(rate / 1e9);
  std::exponential_distribution<double> hold(1.0);
  double at_ns = 0.0;
  for (std::uint64_t i = 0; i < count; ++i) {
    at_ns += gap_ns(random);
    const size_bin& bin = sizes.bins()[pick(random)];
    const double mean_ns = sizes.weighs_time() ? bin.held_ns() : hold_seconds * 1e9;
    result.samples.push_back({.at_ns = static_cast<std::int64_t>(at_ns),
                              .held_ns = std::llround(hold(random) * mean_ns),
                              .bytes = bin.bytes});
  }
  return result;
}

traffic first_allocations(const traffic& timed, std::uint64_t most) {
  traffic result;
  result.timed = timed.timed;
  std::uint64_t allocations = 0;
  for (const traffic_sample& sample : timed.samples) {
    allocations += sample.weight;
    if (allocations > most) {
      break;
    }
    result.samples.push_back(sample);
  }
  return result;
}

}  // namespace ringpool::tools
