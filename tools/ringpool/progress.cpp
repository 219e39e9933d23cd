// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "report.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t shortest_bar = 10;
constexpr std::size_t longest_bar = 40;

std::string drawn_bar(double fraction, std::size_t cells) {
  const auto full = static_cast<std::size_t>(
      std::lround(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(cells)));
  return fmt::format("[{}{}]", std::string(full, '#'), std::string(cells - full, '.'));
}

std::string error_text(std::uint64_t faults) {
  return fmt::format("{} {}", format_count(faults), faults == 1 ? "error" : "errors");
}

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

void add_progress_option(CLI::App& app, progress_mode& mode) {
  const auto choose = [&mode](const std::string& name) {
    mode = name == "plain"  ? progress_mode::plain
           : name == "none" ? progress_mode::none
                            : progress_mode::automatic;
  };
  app.add_option_function<std::string>(
         "--progress", choose,
         "auto: a bar when standard error is a terminal; plain: a line a second; none")
      ->check(CLI::IsMember({"auto", "plain", "none"}))
      ->type_name("MODE")
      ->default_str("auto");
}

std::string progress_bar(const progress_state& state, std::size_t width) {
  const std::array<std::string, 4> parts{
      fmt::format("{:3.0f} %", std::clamp(state.fraction, 0.0, 1.0) * 100.0),
      error_text(state.faults),
      format_rate(state.frames_per_second),
      fmt::format("{} gone, {} left", format_seconds(state.elapsed_seconds),
                  format_seconds(state.remaining_seconds)),
  };
  // As many parts from the left as fit beside the stage and the shortest bar.
  const std::size_t fixed = display_width(state.stage) + 1 + shortest_bar + 2;
  std::string tail;
  for (const std::string& part : parts) {
    if (fixed + tail.size() + 2 + part.size() > width) {
      break;
    }
    tail += "  " + part;
  }
  if (fixed + tail.size() > width) {
    return state.stage.substr(0, width);
  }
  const std::size_t cells = std::min(longest_bar, shortest_bar + width - fixed - tail.size());
  return fmt::format("{} {}{}", state.stage, drawn_bar(state.fraction, cells), tail);
}

std::string progress_line(const progress_state& state) {
  return fmt::format("{}: {:.0f} %, {}, {}, {} gone, {} left", state.stage,
                     std::clamp(state.fraction, 0.0, 1.0) * 100.0,
                     format_rate(state.frames_per_second), error_text(state.faults),
                     format_seconds(state.elapsed_seconds),
                     format_seconds(state.remaining_seconds));
}

progress_display::progress_display(progress_mode mode) : style_(style::silent) {
  const char* const terminal = std::getenv("TERM");
  const bool can_draw =
      ::isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
  if (mode == progress_mode::plain) {
    style_ = style::lines;
  }
  if (mode == progress_mode::automatic && can_draw) {
    style_ = style::bar;
  }
}

void progress_display::update(const progress_state& state) {
  if (style_ == style::lines) {
    if (state.elapsed_seconds < next_line_seconds_) {
      return;
    }
    next_line_seconds_ = std::floor(state.elapsed_seconds) + 1.0;
    fmt::print(stderr, "{}\n", progress_line(state));
  } else if (style_ == style::bar) {
    // One column is left free: a line that fills the last one makes some terminals wrap.
    fmt::print(stderr, "\r{}\x1b[K", progress_bar(state, terminal_width() - 1));
    drawn_ = true;
  }
  std::fflush(stderr);
}

void progress_display::erase() {
  if (drawn_) {
    fmt::print(stderr, "\r\x1b[K");
  }
  std::fflush(stderr);
  drawn_ = false;
}

std::function<void(std::uint64_t done)> counting_progress(progress_display& display,
                                                          std::string stage, std::uint64_t total) {
  const auto begin = std::chrono::steady_clock::now();
  return [&display, stage = std::move(stage), total, begin](std::uint64_t done) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    const double seconds = passed.count();
    const double share = static_cast<double>(done) / static_cast<double>(total);
    display.update({.stage = stage,
                    .fraction = share,
                    .elapsed_seconds = seconds,
                    .remaining_seconds = share > 0 ? seconds * (1 - share) / share : 0,
                    .frames_per_second = seconds > 0 ? static_cast<double>(done) / seconds : 0});
  };
}

}  // namespace ringpool::tools
