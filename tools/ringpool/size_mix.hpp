// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringpool::tools {

/// Which payload sizes a load sends, and how often each.
///
///   game         70/15/8/4/2/1 % of 64/128/256/512/1024/4096 bytes: what a game server sees
///   imix         7:4:1 of 40/576/1500 bytes: the "simple IMIX" of network device testing (see RFC
///   6985) uniform:A-B  every size from A to B bytes alike fixed:N      N bytes
///
/// Invariant:     min_size() <= pick(r) <= max_size() for every r; pick() depends on r alone.
/// Progress:      wait-free after construction.
/// Thread-safety: immutable; shared freely.
/// Cost:          one table load a pick.
class size_mix {
 public:
  /// Throws std::invalid_argument, with a message that says what was given and what is accepted,
  /// for a text of another form and for sizes outside smallest .. largest.
  static size_mix parse(std::string_view text, std::uint32_t smallest, std::uint32_t largest);

  /// The size that belongs to the random number `random`, of which all 64 bits should be random.
  [[nodiscard]] std::uint32_t pick(std::uint64_t random) const noexcept {
    const std::uint64_t high = random >> 32;
    if (table_.empty()) {
      const std::uint64_t range = std::uint64_t{max_size_} - min_size_ + 1;
      return min_size_ + static_cast<std::uint32_t>((high * range) >> 32);
    }
    return table_[static_cast<std::size_t>((high * table_.size()) >> 32)];
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t min_size() const noexcept { return min_size_; }
  [[nodiscard]] std::uint32_t max_size() const noexcept { return max_size_; }
  [[nodiscard]] double mean_size() const noexcept;

 private:
  struct share {
    std::uint32_t size;
    std::uint32_t weight;
  };

  size_mix(std::string_view name, std::uint32_t min_size, std::uint32_t max_size)
      : name_(name), min_size_(min_size), max_size_(max_size) {}
  size_mix(std::string_view name, std::initializer_list<share> shares);

  std::string name_;
  std::uint32_t min_size_ = 0;
  std::uint32_t max_size_ = 0;
  std::vector<std::uint32_t> table_;  // each size as often as its weight; empty for a uniform mix
};

}  // namespace ringpool::tools
