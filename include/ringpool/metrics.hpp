// SPDX-License-Identifier: MIT
#pragma once

//   ring_buffer_pool ------+                 +--> # HELP, # TYPE, (# UNIT) once a family,
//   multi_size_ring_pool --+--> metrics_writer    and below it the samples of all pools
//   the program's own -----+
//
// The text that Prometheus and other collectors read, in two formats:
//   prometheus   text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)
//   openmetrics  OpenMetrics 1.0.0 (RFC style text on openmetrics.io): # UNIT, # EOF
// docs/metrics.md lists the families of pools.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/stats.hpp"

namespace ringpool {

enum class metrics_format : std::uint8_t { prometheus, openmetrics };

/// The media type to answer a scrape with.
[[nodiscard]] std::string_view content_type(metrics_format format) noexcept;

enum class metric_type : std::uint8_t {
  gauge,      ///< a level
  counter,    ///< never runs backwards; its samples end in `_total`
  histogram,  ///< counts by upper bound
  info,       ///< a constant 1 whose labels tell something; its sample ends in `_info`
};

/// A family of metrics. The name is without `_total` and `_info`; where there is a unit, a base
/// unit such as "bytes", the name ends in `_` and it.
struct metric_family {
  std::string_view name;
  metric_type type = metric_type::gauge;
  std::string_view unit;
  std::string_view help;
};

/// Names are `[a-zA-Z_][a-zA-Z0-9_]*`, not `__...`; values any text in UTF-8.
struct metric_label {
  std::string_view name;
  std::string_view value;
};

/// For parameters: `{{"zone", "eu"}, {"host", name}}`, or a span that outlives the call.
class metric_labels {
 public:
  metric_labels() noexcept = default;
  metric_labels(std::initializer_list<metric_label> labels) noexcept
      : all_(labels.begin(), labels.size()) {}
  metric_labels(std::span<const metric_label> labels) noexcept : all_(labels) {}
  [[nodiscard]] std::span<const metric_label> all() const noexcept { return all_; }

 private:
  std::span<const metric_label> all_;
};

/// A histogram of any number of buckets.
struct metric_histogram {
  std::span<const double> upper_bounds;     ///< rising; what is above the last: a further bucket
  std::span<const std::uint64_t> counts{};  ///< of each bucket alone: one more than upper_bounds
  double sum = 0;                           ///< of all values
};

/// The families that every pool has, in the order they are written.
[[nodiscard]] std::span<const metric_family> pool_metric_families();

/// One exposition of any number of pools, and of what else a program wants to tell.
///
/// Every sample of a pool has the labels `pool`, `class` (the buffer size in bytes; not where it is
/// of the whole set) and the caller's. At quiescence, for each pool and class:
/// capacity = free + cached + held.
///
/// Invariant: each family's comments stand once, before all of its samples; no sample comes twice.
/// Progress: reading a pool's statistics waits for nobody and holds nobody up. Allocates memory.
/// Thread-safety: one thread; the pools may be at work on others.
/// Cost: 5 us for a pool or class. Nothing on the pools' side.
///
/// What cannot be written makes a std::system_error with errc::invalid_metric, whose text tells
/// what was wrong and what is accepted; nothing of that call is then in the exposition.
class metrics_writer {
 public:
  explicit metrics_writer(metrics_format format = metrics_format::prometheus);

  /// Every family of the pool, as it is now. No two with the same name and labels.
  void add(std::string_view pool_name, const ring_buffer_pool& pool, metric_labels labels = {});
  void add(std::string_view pool_name, const multi_size_ring_pool& pool, metric_labels labels = {});
  /// The same of snapshots.
  void add(std::string_view pool_name, const pool_stats& stats, metric_labels labels = {});
  void add(std::string_view pool_name, const multi_size_stats& stats, metric_labels labels = {});

  /// One sample of a family of the program's own. All samples of one name have the same family;
  /// names of pool_metric_families() are taken.
  void add_sample(const metric_family& family, std::uint64_t value, metric_labels labels = {});
  void add_sample(const metric_family& family, double value, metric_labels labels = {});
  void add_histogram(const metric_family& family, const metric_histogram& values,
                     metric_labels labels = {});

  [[nodiscard]] metrics_format format() const noexcept { return format_; }
  /// Appends the whole exposition.
  void write_to(std::string& out) const;
  [[nodiscard]] std::string text() const;

 private:
  struct family_text {
    metric_family family;     // its views are of the table of pools, or of `owned`
    std::string sample_name;  // with the suffix of its type
    std::string comments;
    std::string samples;
    std::unique_ptr<std::string> owned;
  };
  void append_family(const metric_family& family, std::unique_ptr<std::string> owned);
  [[nodiscard]] family_text& own_family(const metric_family& family);
  [[nodiscard]] std::string open_pool(std::string_view pool_name, metric_labels labels,
                                      std::string& further);
  void add_class(std::string_view labels, std::string_view further, const pool_stats& stats);
  void add_set(std::string_view labels, std::string_view further, std::uint64_t upstream_bytes);
  void claim(std::string series);

  metrics_format format_;
  std::vector<family_text> families_;  // those of pools first
  std::unordered_map<std::string_view, std::size_t> places_;
  std::unordered_set<std::string> claimed_;  // names with labels
};

/// The exposition of one pool.
[[nodiscard]] std::string metrics_text(std::string_view pool_name, const ring_buffer_pool& pool,
                                       metrics_format format = metrics_format::prometheus);
[[nodiscard]] std::string metrics_text(std::string_view pool_name, const multi_size_ring_pool& pool,
                                       metrics_format format = metrics_format::prometheus);

}  // namespace ringpool
