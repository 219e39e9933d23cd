// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "latency_histogram.hpp"
#include "load_window.hpp"

namespace ringpool::tools {

/// What one phase of a load did. "Measured" is what came back between the end of the warm-up and
/// the end of the phase; everything else counts from the first frame to the end of the drain, so
/// that no fault escapes.
struct load_tally {
  std::uint64_t sent_frames = 0;
  std::uint64_t sent_bytes = 0;  ///< on the wire, headers included
  std::uint64_t echoed_frames = 0;
  std::uint64_t echoed_bytes = 0;
  std::uint64_t measured_frames = 0;
  std::uint64_t measured_bytes = 0;
  double measured_seconds = 0.0;

  std::uint64_t lost = 0;  ///< sent, and not back when the drain ended or the connection broke
  std::uint64_t corrupted = 0;
  std::uint64_t out_of_order = 0;
  std::uint64_t foreign = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t unsent = 0;        ///< open loop: due, and still not sent when the drain ended
  std::uint64_t bad_lengths = 0;   ///< prefixes below 1 or above the maximum: the connection ends
  std::uint64_t disconnected = 0;  ///< connections that broke

  latency_histogram latency;     ///< from due (open loop) or written (closed loop) to verified
  latency_histogram send_delay;  ///< open loop: from due to handed to the kernel: the load's lag

  void count(echo_verdict verdict) noexcept {
    switch (verdict) {
      case echo_verdict::in_order: break;
      case echo_verdict::out_of_order: ++out_of_order; break;
      case echo_verdict::duplicated: ++duplicated; break;
      case echo_verdict::foreign: ++foreign; break;
      case echo_verdict::corrupted: ++corrupted; break;
    }
  }

  [[nodiscard]] std::uint64_t faults() const noexcept {
    return lost + corrupted + out_of_order + foreign + duplicated + bad_lengths + disconnected;
  }
  [[nodiscard]] double frames_per_second() const noexcept {
    return measured_seconds > 0 ? static_cast<double>(measured_frames) / measured_seconds : 0.0;
  }
  [[nodiscard]] double bytes_per_second() const noexcept {
    return measured_seconds > 0 ? static_cast<double>(measured_bytes) / measured_seconds : 0.0;
  }

  /// For another loop of the same phase: the times are the same, so the seconds do not add up.
  void merge_loop(const load_tally& other) noexcept;
  /// For a later phase: the seconds add up too.
  void merge_phase(const load_tally& other) noexcept;
};

}  // namespace ringpool::tools
