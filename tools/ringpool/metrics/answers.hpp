// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <ringpool/metrics.hpp>
#include <string>
#include <string_view>

#include "frame_server.hpp"
#include "metrics/verdict.hpp"

namespace ringpool::tools {

struct http_answer {
  int status = 200;
  std::string type;
  std::string body;
};

/// The format that an Accept header prefers; the older one where it does not say.
[[nodiscard]] metrics_format preferred_format(std::string_view accept);

/// Where answers come from.
struct sources {
  std::function<server_stats()> stats;
  std::function<std::vector<census>()> holders;
};

/// What a server tells over HTTP: `/metrics`, `/stats.json`, `/outstanding`, `/healthz` and the
/// live page at `/`.
///
/// Invariant: the server is looked at once in `freshness` at most, however many ask, and its
/// buffers
///   for who holds them likewise.
/// Progress: waits for another look; the loops are not waited for, nor do they wait.
/// Thread-safety: any thread.
/// Cost: a look reads counts of every loop and class, and /proc/self/smaps_rollup; /outstanding:
/// one
///   byte a buffer.
class answers {
 public:
  static constexpr std::chrono::milliseconds freshness{100};

  explicit answers(sources from) : from_(std::move(from)) {}

  [[nodiscard]] http_answer answer(std::string_view method, std::string_view path,
                                   std::string_view accept);

 private:
  struct sight {
    server_stats stats;
    verdict status;
  };
  [[nodiscard]] std::shared_ptr<const sight> last_sight();

  /// Who holds buffers, as text; empty: not known.
  [[nodiscard]] std::shared_ptr<const std::string> last_outstanding();

  sources from_;
  std::mutex mutex_;
  std::shared_ptr<const sight> last_;
  verdict_keeper keeper_;
  std::chrono::steady_clock::time_point looked_;
  std::mutex outstanding_mutex_;
  std::shared_ptr<const std::string> outstanding_;
  std::chrono::steady_clock::time_point counted_;
};

}  // namespace ringpool::tools
