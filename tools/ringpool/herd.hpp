// SPDX-License-Identifier: MIT
#pragma once

//   ring 0: [ 20,000 direct descriptors ]   ring 1: [ 20,000 ]   ring 2 ...      one thread
//             connect -> send -> receive      linked, so one completion for the three
//
// What a connection costs in this process is nothing but its slot in a ring's table: between two
// exchanges nothing of it is armed.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "herd_counts.hpp"
#include "load_target.hpp"

namespace ringpool::tools {

struct herd_options {
  load_target target;
  std::uint32_t connections = 0;
  std::uint32_t payload_bytes = 64;  ///< of each frame; at least stamp_bytes
  std::uint64_t seed = 1;
  std::uint64_t run = 0;  ///< see frame_stamp
};

/// Told how many connections of a lap are done, about every 50 ms.
using herd_observer = std::function<void(std::uint64_t done)>;

/// Very many connections to one server, by io_uring and from many loopback addresses, which are
/// idle but when asked to exchange.
///
/// Invariant: every connection has exchanged a frame for each lap that returned.
/// Progress: each call ends soon after `stop` is set, or when nothing was answered for 30 s.
/// Thread-safety: one thread, the same for all calls.
/// Cost: 5 system calls and a linked chain of three operations a connection, 2 operations a lap.
class herd {
 public:
  /// Throws load_error: io_uring is missing, or the payload is too small.
  explicit herd(const herd_options& options);
  ~herd();
  herd(const herd&) = delete;
  herd& operator=(const herd&) = delete;

  /// Makes every connection and has it exchange a frame. Throws load_error when one fails.
  herd_counts connect(const std::atomic<bool>& stop, const herd_observer& observer);
  /// Every connection exchanges a further frame.
  herd_counts lap(const std::atomic<bool>& stop, const herd_observer& observer);
  /// `count` connections at once begin a frame and stop in its middle; until they have all done so
  /// and `between` has returned. Then they finish it.
  herd_counts burst(std::uint32_t count, const std::atomic<bool>& stop,
                    const std::function<void()>& between);

  [[nodiscard]] std::uint64_t connected() const noexcept;
  [[nodiscard]] std::uint32_t source_addresses() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace ringpool::tools
