// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace ringpool::tools {

enum class progress_mode : std::uint8_t {
  automatic,  ///< a bar while standard error is a terminal, nothing otherwise
  plain,      ///< one line a second
  none,
};

/// --progress auto|plain|none
void add_progress_option(CLI::App& app, progress_mode& mode);

struct progress_state {
  std::string stage;      ///< "connecting", "pool round 2 of 4", ...
  double fraction = 0.0;  ///< 0 .. 1
  double elapsed_seconds = 0.0;
  double remaining_seconds = 0.0;
  double frames_per_second = 0.0;
  std::uint64_t faults = 0;
};

/// "stage [#####.....]  42 %  213 k/s  0 errors  0:04 gone, 0:06 left", never wider than `width`
/// columns: where it does not fit, the bar shrinks first, then the parts on the right go.
std::string progress_bar(const progress_state& state, std::size_t width);

/// The same without a bar, as a line of a log.
std::string progress_line(const progress_state& state);

/// Draws on standard error. The bar is erased at the end, so that it never mixes with a report.
class progress_display {
 public:
  explicit progress_display(progress_mode mode);
  ~progress_display() { erase(); }
  progress_display(const progress_display&) = delete;
  progress_display& operator=(const progress_display&) = delete;

  void update(const progress_state& state);
  void erase();

 private:
  enum class style : std::uint8_t { bar, lines, silent };

  style style_;
  bool drawn_ = false;
  double next_line_seconds_ = 0.0;
};

/// Shows how many of `total` are done, each time it is told, counted from now on.
[[nodiscard]] std::function<void(std::uint64_t done)> counting_progress(progress_display& display,
                                                                        std::string stage,
                                                                        std::uint64_t total);

}  // namespace ringpool::tools
