// SPDX-License-Identifier: MIT

#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "targets.hpp"

namespace bench {
namespace {

using text = fmt::memory_buffer;

template <class... Values>
void put(text& to, fmt::format_string<Values...> format, Values&&... values) {
  fmt::format_to(std::back_inserter(to), format, std::forward<Values>(values)...);
}

/// Three significant digits.
std::string number(double value) {
  const double size = std::abs(value);
  return fmt::format("{:.{}f}", value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}

bool is_ours(const std::string& name) {
  return std::any_of(contenders().begin(), contenders().end(),
                     [&](const contender& one) { return one.name == name && one.what.ours; });
}

/// Median, least and most of the first column, the medians of the others.
void put_row(text& to, const workload_info& which, const results& all, const std::string& name) {
  const figure first = *all.of(which.id, name);
  put(to, "{} {:<24} {:>9} {:>9} {:>9}", is_ours(name) ? '*' : ' ', name, number(first.median),
      number(first.min), number(first.max));
  const auto ratio = all.ratio(which.id, ours_in(which.id), name);
  put(to, " {:>9}", ratio ? number(*ratio) : "");
  for (std::size_t column = 1; column < which.columns.size(); ++column) {
    const auto more = all.of(which.id, name, column);
    put(to, " {:>{}}", more ? number(more->median) : "",
        std::max<std::size_t>(9, std::string(which.columns[column]).size() + 1));
  }
  put(to, "\n");
}

void put_workload(text& to, const workload_info& which, const results& all) {
  const std::vector<std::string> names = all.ranked(which.id);
  if (names.empty()) {
    return;
  }
  put(to, "\n{} ({}, {})   $ ./run bench -w {}\n", which.title, which.unit,
      which.side == better::more ? "more is better" : "less is better", which.key);
  put(to, "  {:<24} {:>9} {:>9} {:>9} {:>9}", "", "median", "min", "max", "ours / it");
  for (std::size_t column = 1; column < which.columns.size(); ++column) {
    put(to, " {:>9}", fmt::format(" {}", which.columns[column]));
  }
  put(to, "\n");
  for (const std::string& name : names) {
    put_row(to, which, all, name);
  }
}

const char* verdict(double value, double bound, better side) {
  return (side == better::more ? value >= bound : value <= bound) ? "pass" : "short";
}

void put_relative(text& to, const relative_target& target, const results& all) {
  const auto ratio = all.ratio(target.what, target.ours, target.theirs);
  const workload_info& which = info_of(target.what);
  const bool more = which.side == better::more;
  put(to, "  {:<18} {:<16} {:<24} {:>9} {} {:<6} {}\n", which.key, target.ours, target.theirs,
      ratio ? number(*ratio) : "-", more ? ">=" : "<=", number(target.bound),
      ratio ? verdict(*ratio, target.bound, which.side) : "not measured");
}

void put_absolute(text& to, const absolute_target& target, const results& all) {
  const auto ours = all.of(target.what, target.ours, target.column);
  const auto less =
      target.minus == nullptr ? ours : all.of(target.what, target.minus, target.column);
  put(to, "  {:<60}", target.text);
  if (!ours || !less) {
    put(to, " {:>9} <= {:<6} not measured\n", "-", number(target.bound));
    return;
  }
  const double value = ours->median - (target.minus == nullptr ? 0 : less->median);
  put(to, " {:>9} <= {:<6} {}\n", number(value), number(target.bound),
      verdict(value, target.bound, better::less));
}

}  // namespace

std::string target_table(const results& all) {
  text to;
  put(to, "\nTo reach (ours / theirs)\n");
  put(to, "  {:<18} {:<16} {:<24} {:>9}\n", "workload", "ours", "theirs", "ratio");
  for (const relative_target& target : relative_targets()) {
    put_relative(to, target, all);
  }
  put(to, "\nTo reach (by itself)\n");
  for (const absolute_target& target : absolute_targets()) {
    put_absolute(to, target, all);
  }
  return fmt::to_string(to);
}

std::string tables(const plan& what, const machine& where, const results& all) {
  text to;
  put(to, "$ {}\n", what.command);
  for (const auto& [name, value] : where) {
    put(to, "{:<10} {}\n", name, value);
  }
  put(to, "rounds     {}; of many threads {}, in a fresh process {}; births: {} threads\n",
      what.repetitions, std::min(what.repetitions, what.crowded_rounds),
      std::min(what.repetitions, what.fresh_rounds), what.wanted.births);
  put(to, "* is ringpool; `ours / it` is the ratio of the medians\n");
  for (const workload_info& which : workloads()) {
    put_workload(to, which, all);
  }
  put(to, "{}", target_table(all));
  for (const std::string& reason : left_out()) {
    put(to, "left out: {}\n", reason);
  }
  return fmt::to_string(to);
}

}  // namespace bench
