// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "serve_options.hpp"

namespace ringpool::tools {

class frame_server;

/// The configuration of a running server, and how it becomes another.
///
/// Thread-safety: one thread.
class reloader {
 public:
  /// As configure(); `options`: what that came to.
  reloader(serve_options asked, std::vector<std::string> arguments, serve_options options)
      : asked_(std::move(asked)), arguments_(std::move(arguments)), options_(std::move(options)) {}

  /// In force now.
  [[nodiscard]] const serve_options& options() const noexcept { return options_; }

  /// Reads the files again and has the server take up what is in them. A line for the log: what
  /// changed and what cannot, or why all stays as it is.
  [[nodiscard]] std::string reload(frame_server& server);

 private:
  [[nodiscard]] std::string try_reload(frame_server& server);

  serve_options asked_;
  std::vector<std::string> arguments_;
  serve_options options_;
};

}  // namespace ringpool::tools
