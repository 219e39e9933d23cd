// SPDX-License-Identifier: MIT
#pragma once

// What was measured, and the figures made of it.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "contender.hpp"
#include "plan.hpp"

namespace bench {

/// One sample as it came.
struct record {
  workload what;
  std::string who;
  std::size_t round;
  sample values;
};

struct figure {
  double median;
  double min;
  double max;
};

class results {
 public:
  void add(record one) { records_.push_back(std::move(one)); }
  [[nodiscard]] const std::vector<record>& records() const { return records_; }
  /// A measurement threw.
  void add_failure() { ++failures_; }
  [[nodiscard]] std::size_t failures() const { return failures_; }

  /// The names that have samples of a workload, the best median first.
  [[nodiscard]] std::vector<std::string> ranked(workload what) const;
  /// Of one column of its samples; nothing where there is none.
  [[nodiscard]] std::optional<figure> of(workload what, const std::string& who,
                                         std::size_t column = 0) const;
  /// Ours / theirs, of the medians. Of a hand-off: the median over all pairs of rounds, ours and
  /// theirs, in which the line between the processors took alike long.
  [[nodiscard]] std::optional<double> ratio(workload what, const std::string& ours,
                                            const std::string& theirs) const;

 private:
  [[nodiscard]] std::vector<const record*> samples(workload what, const std::string& who) const;
  [[nodiscard]] std::optional<double> ratio_at_like_lines(workload what, const std::string& ours,
                                                          const std::string& theirs) const;

  std::vector<record> records_;
  std::size_t failures_ = 0;
};

/// The contender that stands for ours in a workload.
[[nodiscard]] std::string ours_in(workload what);

}  // namespace bench
