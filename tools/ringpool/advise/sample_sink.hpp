// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "traffic.hpp"

namespace ringpool::tools {

/// Gathers what a reader finds, in bounded memory: where there are more samples than `most`, every
/// second one goes, by chance, and each that stays stands for twice as many.
class sample_sink {
 public:
  static constexpr std::size_t default_most = std::size_t{1} << 22;

  explicit sample_sink(std::size_t most = default_most) : most_(most) {}

  void add(traffic_sample sample);
  /// A remark of a kind, told once with how often it was made: "IP fragments, skipped: 3".
  void count(std::string_view remark, std::uint64_t times = 1);
  [[nodiscard]] std::uint64_t counted(std::string_view remark) const;

  [[nodiscard]] bool empty() const noexcept { return samples_.empty(); }
  /// Samples that were added.
  [[nodiscard]] std::uint64_t added() const noexcept { return added_; }

  /// The samples by rising time, counted from the first, with the remarks.
  [[nodiscard]] traffic finish(bool timed);

 private:
  void thin();
  [[nodiscard]] std::uint64_t random() noexcept;

  std::size_t most_;
  std::vector<traffic_sample> samples_;
  std::map<std::string, std::uint64_t, std::less<>> remarks_;
  std::uint64_t added_ = 0;
  std::uint64_t random_ = 0x9e3779b97f4a7c15U;
  unsigned halvings_ = 0;
};

}  // namespace ringpool::tools
