// SPDX-License-Identifier: MIT
#include "metrics_families.hpp"

#include <algorithm>
#include <array>

namespace ringpool {
namespace detail {
namespace {

using enum metric_type;

/// A family, and its members in pool_stats by the label that tells them apart.
struct row {
  metric_family family;
  std::uint64_t (*value)(const pool_stats& stats) noexcept;
  std::string_view part{};
  metric_scale scale = metric_scale::one;
};

/// A row for each member of pool_stats; rows of one family follow each other.
constexpr row rows[] = {
    {{"ringpool_buffer_size_bytes", gauge, "bytes", "Size of each buffer of the class."},
     [](const pool_stats& s) noexcept { return std::uint64_t{s.buffer_size}; }},
    {{"ringpool_capacity_buffers", gauge, "buffers",
      "Ring buffers in all: free, cached and held ones."},
     [](const pool_stats& s) noexcept { return s.ring_size; }},
    {{"ringpool_free_buffers", gauge, "buffers",
      "Ring buffers in the ring, those never touched included."},
     [](const pool_stats& s) noexcept { return s.available - std::min(s.available, s.cached); }},
    {{"ringpool_cached_buffers", gauge, "buffers", "Ring buffers in caches of threads."},
     [](const pool_stats& s) noexcept { return s.cached; }},
    {{"ringpool_held_buffers", gauge, "buffers", "Ring buffers held by callers."},
     [](const pool_stats& s) noexcept { return s.in_use; }},
    {{"ringpool_peak_buffers", gauge, "buffers",
      "Most ring buffers that were out of the ring at once, caches included."},
     [](const pool_stats& s) noexcept { return s.peak_in_use; }},
    {{"ringpool_allocations", counter, "", "Buffers given out, by where they came from."},
     [](const pool_stats& s) noexcept {
       return s.alloc_count - std::min(s.alloc_count, s.fallback_count);
     },
     R"(origin="ring")"},
    {{"ringpool_allocations", counter, "", ""},
     [](const pool_stats& s) noexcept { return s.elastic_alloc_count; },
     R"(origin="elastic")"},
    {{"ringpool_allocations", counter, "", ""},
     [](const pool_stats& s) noexcept { return s.upstream_alloc_count; },
     R"(origin="upstream")"},
    {{"ringpool_frees", counter, "", "Buffers given back."},
     [](const pool_stats& s) noexcept { return s.free_count; }},
    {{"ringpool_refusals", counter, "", "Requests that got nothing."},
     [](const pool_stats& s) noexcept { return s.refusal_count; }},
    {{"ringpool_injected_refusals", counter, "", "Of the refusals: on purpose, by a fault plan."},
     [](const pool_stats& s) noexcept { return s.injected_count; }},
    {{"ringpool_oversize_allocations", counter, "",
      "Of the allocations from upstream: larger than a buffer."},
     [](const pool_stats& s) noexcept { return s.oversize_count; }},
    {{"ringpool_raids", counter, "", "Times a thread took what caches of other threads held."},
     [](const pool_stats& s) noexcept { return s.raid_count; }},
    {{"ringpool_waiters", gauge, "", "Who wait for a buffer now."},
     [](const pool_stats& s) noexcept { return s.waiting; }},
    {{"ringpool_waits", counter, "", "Waits for a buffer that began."},
     [](const pool_stats& s) noexcept { return s.wait_count; }},
    {{"ringpool_wait_timeouts", counter, "", "Of the waits: ended by their deadline."},
     [](const pool_stats& s) noexcept { return s.wait_timeout_count; }},
    {{"ringpool_wait_seconds", counter, "seconds", "Time that waits took which are over."},
     [](const pool_stats& s) noexcept { return s.wait_total_ns; },
     {},
     metric_scale::nanoseconds},
    {{"ringpool_misuses", counter, "", "Calls reported to the misuse handler."},
     [](const pool_stats& s) noexcept { return s.misuse_count; }},
    {{"ringpool_elastic_capacity_buffers", gauge, "buffers", "Elastic buffers in all."},
     [](const pool_stats& s) noexcept { return s.elastic_capacity; }},
    {{"ringpool_elastic_held_buffers", gauge, "buffers", "Elastic buffers held by callers."},
     [](const pool_stats& s) noexcept { return s.elastic_in_use; }},
    {{"ringpool_elastic_committed_bytes", gauge, "bytes", "Memory that elastic buffers have."},
     [](const pool_stats& s) noexcept { return s.elastic_committed_bytes; }},
    {{"ringpool_spills", counter, "",
      "Requests that a larger class served, which counts them among its allocations."},
     [](const pool_stats& s) noexcept { return s.spill_count; }},
    {{"ringpool_spill_held_buffers", gauge, "buffers",
      "Of the held ring buffers: by requests for smaller classes."},
     [](const pool_stats& s) noexcept { return s.spill_in_use; }},
};

constexpr std::size_t row_count = std::size(rows);

constexpr bool begins_family(std::size_t i) noexcept {
  return i == 0 || rows[i].family.name != rows[i - 1].family.name;
}

constexpr std::size_t class_family_count = [] {
  std::size_t count = 0;
  for (std::size_t i = 0; i < row_count; ++i) {
    count += std::size_t{begins_family(i)};
  }
  return count;
}();

constexpr metric_family of_set{"ringpool_upstream_bytes", gauge, "bytes",
                               "Bytes held from upstream, as requested; of all classes together."};

constexpr auto families = [] {
  std::array<metric_family, class_family_count + 1> all{};
  std::size_t next = 0;
  for (std::size_t i = 0; i < row_count; ++i) {
    if (begins_family(i)) {
      all[next++] = rows[i].family;
    }
  }
  all[next] = of_set;
  return all;
}();

constexpr auto series = [] {
  std::array<class_series, row_count> all{};
  std::size_t family = 0;
  for (std::size_t i = 0; i < row_count; ++i) {
    family += std::size_t{i != 0 && begins_family(i)};
    all[i] = {family, rows[i].value, rows[i].part, rows[i].scale};
  }
  return all;
}();

}  // namespace

std::span<const class_series> all_class_series() noexcept { return series; }

std::size_t set_family() noexcept { return families.size() - 1; }

}  // namespace detail

std::span<const metric_family> pool_metric_families() { return detail::families; }

}  // namespace ringpool
