// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ringpool::tools {

/// When the frames of an open loop are due: frame i at start + i / rate, on connection i modulo
/// `connections`. The times follow from the plan alone, never from what came back: a slow server
/// makes frames late, and the wait counts as latency, where a closed loop would quietly ask less
/// often ("coordinated omission").
class open_schedule {
 public:
  open_schedule() = default;
  open_schedule(std::int64_t start_ns, double frames_per_second, std::uint32_t connections) noexcept
      : start_ns_(start_ns), interval_ns_(1e9 / frames_per_second), connections_(connections) {}

  /// Due time of the `round`-th frame (from 0) of connection `connection`.
  [[nodiscard]] std::int64_t due_ns(std::uint32_t connection, std::uint64_t round) const noexcept {
    const auto index = round * connections_ + connection;
    return start_ns_ + static_cast<std::int64_t>(static_cast<double>(index) * interval_ns_);
  }

 private:
  std::int64_t start_ns_ = 0;
  double interval_ns_ = 0.0;
  std::uint32_t connections_ = 1;
};

}  // namespace ringpool::tools
