// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <termios.h>

#include "descriptor.hpp"

namespace ringpool::tools {

struct terminal_size {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

/// A terminal that shows one picture after the other in its alternate screen, as editors do: what
/// was there before is back afterwards.
///
/// Invariant:     while it lives, SIGINT, SIGTERM, SIGHUP, SIGTSTP and SIGWINCH wait for wait().
/// Progress:      wait() blocks, for the time it is given at most.
/// Thread-safety: none; one at a time in a process of one thread.
class live_terminal {
 public:
  enum class event : std::uint8_t { timeout, redraw, quit };

  /// Standard input and output must be terminals. Throws std::system_error.
  live_terminal();
  ~live_terminal();
  live_terminal(const live_terminal&) = delete;
  live_terminal& operator=(const live_terminal&) = delete;

  /// Until the time is over, the picture is to be drawn anew, or somebody wants to leave: q, or a
  /// signal that would end the process.
  [[nodiscard]] event wait(std::chrono::milliseconds longest);
  /// Lines that each end with a newline; those below the last row are left out.
  void draw(std::string_view lines) const;
  [[nodiscard]] static terminal_size size() noexcept;

 private:
  void enter() const;
  void leave() const noexcept;
  void suspend() const;
  [[nodiscard]] event read_signal() const;
  [[nodiscard]] static event read_key();

  ::termios before_{};
  ::sigset_t signals_before_{};
  descriptor signals_;
};

}  // namespace ringpool::tools
