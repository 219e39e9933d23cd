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

namespace ringpool::tools {

struct http_answer {
  int status = 200;
  std::string type;
  std::string body;
};

/// The format that an Accept header prefers; the older one where it does not say.
[[nodiscard]] metrics_format preferred_format(std::string_view accept);

/// What a server tells over HTTP: `/metrics`, `/stats.json`, `/healthz` and the live page at `/`.
///
/// Invariant: the server is looked at once in `freshness` at most, however many ask.
/// Progress: waits for another look; the loops are not waited for, nor do they wait.
/// Thread-safety: any thread.
/// Cost: a look reads counts of every loop and class, and /proc/self/smaps_rollup.
class answers {
 public:
  static constexpr std::chrono::milliseconds freshness{100};

  explicit answers(std::function<server_stats()> look) : look_(std::move(look)) {}

  [[nodiscard]] http_answer answer(std::string_view method, std::string_view path,
                                   std::string_view accept);

 private:
  [[nodiscard]] std::shared_ptr<const server_stats> stats();

  std::function<server_stats()> look_;
  std::mutex mutex_;
  std::shared_ptr<const server_stats> last_;
  std::chrono::steady_clock::time_point looked_;
};

}  // namespace ringpool::tools
