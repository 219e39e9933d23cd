// SPDX-License-Identifier: MIT
#include "sample_sink.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "../report.hpp"

namespace ringpool::tools {
namespace {

constexpr unsigned most_halvings = 31;

}  // namespace

std::uint64_t sample_sink::random() noexcept {
  random_ ^= random_ << 13;  // Marsaglia, Xorshift RNGs, 2003
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

void sample_sink::add(traffic_sample sample) {
  ++added_;
  const std::uint64_t weight = std::uint64_t{sample.weight} << halvings_;
  if (weight >> 32 == 0) {
    if (halvings_ != 0 && random() >> (64 - halvings_) != 0) {
      return;
    }
    sample.weight = static_cast<std::uint32_t>(weight);
  }
  samples_.push_back(sample);
  if (samples_.size() >= most_ && halvings_ < most_halvings) {
    thin();
  }
}

void sample_sink::thin() {
  ++halvings_;
  std::erase_if(samples_, [&](traffic_sample& sample) {
    if (sample.weight >> 31 != 0) {
      return false;  // twice as much has no room
    }
    sample.weight *= 2;
    return random() >> 63 != 0;
  });
}

void sample_sink::count(std::string_view remark, std::uint64_t times) {
  if (times == 0) {
    return;
  }
  const auto found = remarks_.find(remark);
  if (found == remarks_.end()) {
    remarks_.emplace(remark, times);
  } else {
    found->second += times;
  }
}

std::uint64_t sample_sink::counted(std::string_view remark) const {
  const auto found = remarks_.find(remark);
  return found == remarks_.end() ? 0 : found->second;
}

traffic sample_sink::finish(bool timed) {
  traffic result;
  result.timed = timed;
  std::stable_sort(
      samples_.begin(), samples_.end(),
      [](const traffic_sample& a, const traffic_sample& b) { return a.at_ns < b.at_ns; });
  if (timed && !samples_.empty()) {
    const std::int64_t first = samples_.front().at_ns;
    for (traffic_sample& sample : samples_) {
      sample.at_ns -= first;
    }
  }
  if (halvings_ != 0) {
    result.remarks.push_back(fmt::format("there were {} samples: one in {} was kept, by chance",
                                         format_count(added_), std::uint64_t{1} << halvings_));
  }
  for (const auto& [text, times] : remarks_) {
    result.remarks.push_back(text + ": " + format_count(times));
  }
  result.samples = std::move(samples_);
  return result;
}

}  // namespace ringpool::tools
