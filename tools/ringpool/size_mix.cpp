// SPDX-License-Identifier: MIT
#include "size_mix.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

constexpr std::string_view accepted = "game, imix, uniform:A-B or fixed:N";

std::optional<std::uint32_t> parse_size(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

[[noreturn]] void reject(std::string_view text) {
  throw std::invalid_argument(fmt::format("'{}' is not a size mix; accepted: {}", text, accepted));
}

}  // namespace

size_mix::size_mix(std::string_view name, std::initializer_list<share> shares) : name_(name) {
  for (const share& part : shares) {
    table_.insert(table_.end(), part.weight, part.size);
  }
  const auto [low, high] = std::minmax_element(table_.begin(), table_.end());
  min_size_ = *low;
  max_size_ = *high;
}

size_mix size_mix::parse(std::string_view text, std::uint32_t smallest, std::uint32_t largest) {
  const auto made = [&]() -> size_mix {
    if (text == "game") {
      return {text, {{64, 70}, {128, 15}, {256, 8}, {512, 4}, {1024, 2}, {4096, 1}}};
    }
    if (text == "imix") {
      return {text, {{40, 7}, {576, 4}, {1500, 1}}};
    }
    if (text.starts_with("fixed:")) {
      const auto size = parse_size(text.substr(6));
      if (!size) {
        reject(text);
      }
      return {text, *size, *size};
    }
    if (text.starts_with("uniform:")) {
      const std::string_view range = text.substr(8);
      const std::size_t dash = range.find('-');
      if (dash == std::string_view::npos) {
        reject(text);
      }
      const auto low = parse_size(range.substr(0, dash));
      const auto high = parse_size(range.substr(dash + 1));
      if (!low || !high || *low > *high) {
        reject(text);
      }
      return {text, *low, *high};
    }
    reject(text);
  }();
  if (made.min_size() < smallest || made.max_size() > largest) {
    throw std::invalid_argument(
        fmt::format("mix '{}' has frames of {} to {} bytes; accepted: {} to {} bytes", text,
                    made.min_size(), made.max_size(), smallest, largest));
  }
  return made;
}

double size_mix::mean_size() const noexcept {
  if (table_.empty()) {
    return (static_cast<double>(min_size_) + static_cast<double>(max_size_)) / 2.0;
  }
  const auto sum = std::accumulate(table_.begin(), table_.end(), std::uint64_t{0});
  return static_cast<double>(sum) / static_cast<double>(table_.size());
}

}  // namespace ringpool::tools
