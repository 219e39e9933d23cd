// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "load_loop.hpp"

namespace ringpool::tools {

struct load_snapshot {
  std::uint64_t connected = 0;
  std::uint64_t echoed = 0;  ///< in this phase
  std::uint64_t faults = 0;  ///< in this phase
  double elapsed_seconds = 0.0;
  double total_seconds = 0.0;  ///< 0 while connecting
};

using load_observer = std::function<void(const load_snapshot&)>;

/// The connections of a load, held over any number of phases: between two phases they are idle.
///
/// Progress:      connect() and run() end at their deadlines, or soon after `stop` is set.
/// Thread-safety: one caller; the observer runs on the caller's thread, about every 50 ms.
class load_session {
 public:
  /// Throws load_error when the process may not have enough descriptors.
  explicit load_session(load_setup setup);
  load_session(const load_session&) = delete;
  load_session& operator=(const load_session&) = delete;

  /// Throws load_error when any connection fails.
  void connect(const std::atomic<bool>& stop, const load_observer& observer);

  load_tally run(const load_phase& phase, const std::atomic<bool>& stop,
                 const load_observer& observer);

  [[nodiscard]] const load_setup& setup() const noexcept { return setup_; }

 private:
  [[nodiscard]] load_snapshot look(double elapsed_seconds, double total_seconds) const noexcept;

  load_setup setup_;
  std::vector<std::unique_ptr<load_loop>> loops_;
};

}  // namespace ringpool::tools
