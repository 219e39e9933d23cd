// SPDX-License-Identifier: MIT

#include "results.hpp"

#include <algorithm>
#include <set>

namespace bench {
namespace {

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

std::vector<const record*> results::samples(workload what, const std::string& who) const {
  std::vector<const record*> found;
  for (const record& one : records_) {
    if (one.what == what && one.who == who) {
      found.push_back(&one);
    }
  }
  return found;
}

std::optional<figure> results::of(workload what, const std::string& who, std::size_t column) const {
  std::vector<double> values;
  for (const record* one : samples(what, who)) {
    if (column < one->values.size()) {
      values.push_back(one->values[column]);
    }
  }
  if (values.empty()) {
    return std::nullopt;
  }
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return figure{median_of(values), *least, *most};
}

std::vector<std::string> results::ranked(workload what) const {
  std::set<std::string> names;
  for (const record& one : records_) {
    if (one.what == what) {
      names.insert(one.who);
    }
  }
  std::vector<std::string> order(names.begin(), names.end());
  const bool more = info_of(what).side == better::more;
  std::stable_sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    const double left = of(what, a)->median;
    const double right = of(what, b)->median;
    return more ? left > right : left < right;
  });
  return order;
}

std::optional<double> results::ratio(workload what, const std::string& ours,
                                     const std::string& theirs) const {
  if (what == workload::hand_off || what == workload::hand_off_touched) {
    return ratio_at_like_lines(what, ours, theirs);
  }
  const auto our = of(what, ours);
  const auto their = of(what, theirs);
  return our && their && their->median > 0 ? std::optional(our->median / their->median)
                                           : std::nullopt;
}

std::optional<double> results::ratio_at_like_lines(workload what, const std::string& ours,
                                                   const std::string& theirs) const {
  constexpr double like = 1.25;  // the states are a factor of two apart
  std::vector<double> ratios;
  for (const record* our : samples(what, ours)) {
    for (const record* their : samples(what, theirs)) {
      const double lines = our->values[1] / their->values[1];
      if (lines < like && lines > 1 / like) {
        ratios.push_back(our->values[0] / their->values[0]);
      }
    }
  }
  return ratios.empty() ? std::nullopt : std::optional(median_of(std::move(ratios)));
}

std::string ours_in(workload what) {
  return what == workload::mixed_sizes ? "ringpool, sizes" : "ringpool";
}

}  // namespace bench
