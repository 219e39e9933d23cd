// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "frame_server.hpp"

namespace ringpool::tools {

enum class verdict_level : std::uint8_t {
  ok,
  warn,  ///< works, yet somebody should look
  bad,   ///< requests or connections fail now, or memory was misused
};

/// "ok", "warn", "bad": as in JSON.
[[nodiscard]] const char* to_string(verdict_level level) noexcept;

/// One thing that is not well.
struct finding {
  verdict_level level = verdict_level::warn;
  std::string text;
  std::size_t buffer_size = 0;  ///< of the class; 0: of the server
};

/// What is wrong with a server, in words.
struct verdict {
  verdict_level level = verdict_level::ok;
  std::string text;               ///< of the first finding, else "all well"
  std::vector<finding> findings;  ///< the worst first
};

/// Whether the server was started anew in between: counters fell.
[[nodiscard]] bool restarted(const server_stats& before, const server_stats& now) noexcept;

/// Judges what happened in the `seconds` between two snapshots, and the state at the second. Of one
/// snapshot alone, given twice, the state.
[[nodiscard]] verdict judge(const server_stats& before, const server_stats& now, double seconds);

/// {"level", "text", "findings": [{"level", "text", "class"}]}
[[nodiscard]] nlohmann::ordered_json to_json(const verdict& said);
/// Throws nlohmann::json::exception when something is missing or of another type.
[[nodiscard]] verdict parse_verdict(const nlohmann::json& said);

/// Judges a server each time somebody asks, against a snapshot of at least a second before, however
/// many ask and however often.
///
/// Invariant:     older_ was taken no later than newer_.
/// Progress:      blocking: one caller at a time.
/// Thread-safety: judge_now() from any thread.
/// Cost:          a mutex; a copy of the snapshot each second.
class verdict_keeper {
 public:
  /// `now_ns`: a monotonic time.
  [[nodiscard]] verdict judge_now(const server_stats& now, std::int64_t now_ns);

 private:
  struct sample {
    server_stats stats;
    std::int64_t at_ns = 0;
  };

  std::mutex mutex_;
  std::optional<sample> older_;
  std::optional<sample> newer_;
};

}  // namespace ringpool::tools
