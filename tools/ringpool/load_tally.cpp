// SPDX-License-Identifier: MIT
#include "load_tally.hpp"

#include <algorithm>

namespace ringpool::tools {

void load_tally::merge_loop(const load_tally& other) noexcept {
  const double seconds = std::max(measured_seconds, other.measured_seconds);
  merge_phase(other);
  measured_seconds = seconds;
}

void load_tally::merge_phase(const load_tally& other) noexcept {
  sent_frames += other.sent_frames;
  sent_bytes += other.sent_bytes;
  echoed_frames += other.echoed_frames;
  echoed_bytes += other.echoed_bytes;
  measured_frames += other.measured_frames;
  measured_bytes += other.measured_bytes;
  measured_seconds += other.measured_seconds;
  lost += other.lost;
  corrupted += other.corrupted;
  out_of_order += other.out_of_order;
  foreign += other.foreign;
  duplicated += other.duplicated;
  unsent += other.unsent;
  bad_lengths += other.bad_lengths;
  disconnected += other.disconnected;
  latency.merge(other.latency);
  send_delay.merge(other.send_delay);
}

}  // namespace ringpool::tools
