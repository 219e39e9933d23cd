// SPDX-License-Identifier: MIT
#include "classes.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace ringpool::tools {
namespace {

/// Sizes in whole cache lines, and the presence up to each of them.
struct size_steps {
  std::vector<std::uint32_t> bytes;
  std::vector<double> presence{0.0};  // presence[j]: of the first j sizes

  [[nodiscard]] std::size_t count() const noexcept { return bytes.size(); }
  /// What sizes first .. last-1 take in buffers that hold the last of them.
  [[nodiscard]] double cost(std::size_t first, std::size_t last) const noexcept {
    return bytes[last - 1] * (presence[last] - presence[first]);
  }
};

size_steps steps_of(const size_histogram& histogram, double cover) {
  const std::uint64_t largest = stride_of(histogram.quantile_bytes(cover));
  size_steps steps;
  for (const size_bin& bin : histogram.bins()) {
    const std::uint64_t stride = stride_of(bin.bytes);
    if (stride > largest) {
      break;
    }
    if (steps.bytes.empty() || steps.bytes.back() != stride) {
      steps.bytes.push_back(static_cast<std::uint32_t>(stride));
      steps.presence.push_back(steps.presence.back());
    }
    steps.presence.back() += bin.presence;
  }
  return steps;
}

/// least_[j]: the cost of the first j sizes in some number of classes, of which the last ends at j;
/// each grow() is one class more.
///
/// cost() satisfies the quadrangle inequality: for a <= b <= c <= d,
///   cost(a, d) + cost(b, c) - cost(a, c) - cost(b, d)
///     = (bytes[d-1] - bytes[c-1]) * (presence[b] - presence[a]) >= 0.
/// So the best start of the last class never falls as j rises, and halving the range of j leaves
/// each half a part of the starts (F. F. Yao, Efficient dynamic programming using quadrangle
/// inequalities, STOC 1980). The least cost is also convex in the number of classes, so the first
/// class that saves too little is followed by none that saves more (A. Aggarwal, B. Schieber,
/// T. Tokuyama, Finding a minimum-weight k-link path in graphs with the concave Monge property,
/// Discrete & Computational Geometry 12, 1994).
class class_search {
 public:
  explicit class_search(size_steps steps) : steps_(std::move(steps)) {
    least_.push_back(0.0);
    for (std::size_t j = 1; j <= steps_.count(); ++j) {
      least_.push_back(steps_.cost(0, j));
    }
    starts_.emplace_back(steps_.count() + 1, 0);
  }

  [[nodiscard]] std::size_t class_count() const noexcept { return starts_.size(); }
  [[nodiscard]] double cost() const noexcept { return least_.back(); }

  void grow() {
    std::vector<double> before(steps_.count() + 1, std::numeric_limits<double>::infinity());
    before.swap(least_);
    starts_.emplace_back(steps_.count() + 1, 0);
    const std::size_t classes = starts_.size();
    solve(before, classes, steps_.count(), classes - 1, steps_.count() - 1);
  }
  void shrink() { starts_.pop_back(); }

  [[nodiscard]] std::vector<std::uint32_t> sizes() const {
    std::vector<std::uint32_t> result;
    std::size_t end = steps_.count();
    for (std::size_t level = starts_.size(); level-- > 0;) {
      result.push_back(steps_.bytes[end - 1]);
      end = starts_[level][end];
    }
    std::reverse(result.begin(), result.end());
    return result;
  }

 private:
  /// least_[j] for low <= j <= high, whose last class starts between `first` and `last`.
  void solve(const std::vector<double>& before, std::size_t low, std::size_t high,
             std::size_t first, std::size_t last) {
    if (low > high) {
      return;
    }
    const std::size_t middle = low + (high - low) / 2;
    std::size_t best = first;
    for (std::size_t start = first; start <= std::min(last, middle - 1); ++start) {
      const double cost = before[start] + steps_.cost(start, middle);
      if (cost < least_[middle]) {
        least_[middle] = cost;
        best = start;
      }
    }
    starts_.back()[middle] = static_cast<std::uint32_t>(best);
    solve(before, low, middle - 1, first, best);
    solve(before, middle + 1, high, best, last);
  }

  size_steps steps_;
  std::vector<double> least_;
  std::vector<std::vector<std::uint32_t>> starts_;  // by number of classes - 1, then by end
};

}  // namespace

std::vector<std::uint32_t> best_class_sizes(const size_histogram& histogram,
                                            const class_options& options) {
  if (histogram.empty()) {
    return {};
  }
  size_steps steps = steps_of(histogram, options.cover);
  const std::size_t most =
      std::min(options.count != 0 ? options.count : options.most, steps.count());
  class_search search(std::move(steps));
  while (search.class_count() < most) {
    const double before = search.cost();
    search.grow();
    if (options.count == 0 && before - search.cost() < options.least_saving * before) {
      search.shrink();
      break;
    }
  }
  return search.sizes();
}

}  // namespace ringpool::tools
