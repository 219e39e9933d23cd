// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "load_frame.hpp"
#include "load_target.hpp"
#include "progress.hpp"
#include "size_mix.hpp"

namespace CLI {
class App;
}

namespace ringpool::tools {

/// What stays the same for all phases of a load.
struct load_setup {
  load_target target;
  size_mix mix;
  std::uint32_t connections = 0;
  std::uint32_t loops = 1;
  std::uint32_t max_payload = 16384;
  std::uint64_t seed = 1;
  std::uint64_t run = 0;  ///< see frame_stamp
  std::chrono::nanoseconds connect_timeout{};
  /// Connections that may be begun by now, of each loop; nullptr: all. The time-out does not wait.
  const std::atomic<std::uint32_t>* connect_allowance = nullptr;
};

/// Options give seconds with a fraction.
[[nodiscard]] inline std::chrono::nanoseconds to_nanoseconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

/// One stretch of traffic. rate == 0: closed loop, each connection has `pipeline` frames
/// outstanding. rate > 0: open loop, frame i is due at start + i / rate on connection i modulo the
/// number of connections, whether or not the server keeps up.
struct load_phase {
  double rate = 0.0;
  std::uint32_t pipeline = 1;
  std::chrono::nanoseconds warm_up{};
  std::chrono::nanoseconds duration{};  ///< after the warm-up
  std::chrono::nanoseconds drain{};     ///< at most
};

struct load_options {
  std::string connect;
  std::string mix = "game";
  std::string json_file;
  std::uint32_t connections = 100;
  std::uint32_t idle = 0;  ///< further connections, that exchange a frame before and after the load
  std::uint32_t loops = 1;
  std::uint32_t pipeline = 1;
  std::uint32_t max_frame = 16384;
  std::uint64_t seed = 1;
  double rate = 0.0;
  double seconds = 10.0;
  double warm_up = 1.0;
  double drain = 5.0;
  double connect_timeout = 10.0;
  progress_mode progress = progress_mode::automatic;
};

void add_load_command(CLI::App& app, load_options& options);

/// Throws std::invalid_argument as resolve_target and size_mix::parse do.
load_setup make_setup(const load_options& options);
load_phase make_phase(const load_options& options);

/// A number that no other load running at the same time has.
std::uint64_t unique_run();

}  // namespace ringpool::tools
