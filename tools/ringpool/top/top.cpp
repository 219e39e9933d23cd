// SPDX-License-Identifier: MIT
#include "top/top.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include <langinfo.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "load.hpp"
#include "number_range.hpp"
#include "stats_client.hpp"
#include "top/live_terminal.hpp"
#include "top/top_view.hpp"

namespace ringpool::tools {
namespace {

using top_clock = std::chrono::steady_clock;

constexpr std::size_t kept_rates = 180;
constexpr std::size_t plain_width = 120;
constexpr double notice_seconds = 60;

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 16> text{};
  ::localtime_r(&now, &parts);
  std::strftime(text.data(), text.size(), "%H:%M:%S", &parts);
  return text.data();
}

// Looks at a server again and again, and keeps what a picture needs.
//
// Invariant:     before and now of its picture are of the same run of the server.
// Thread-safety: none.
class watched_server {
 public:
  explicit watched_server(const std::string& address) : client_(address) {
    picture_.address = address;
  }

  /// Afterwards picture().trouble tells why there was no answer; empty: there was one.
  void look() {
    try {
      take(parse_live_stats(client_.fetch()));
    } catch (const stats_error& error) {
      picture_.trouble = error.what();
    } catch (const std::invalid_argument& error) {
      picture_.trouble = fmt::format("no statistics from {}: {}", client_.address(), error.what());
    }
  }

  [[nodiscard]] const top_picture& picture() const noexcept { return picture_; }

 private:
  void take(live_stats said) {
    const top_clock::time_point at = top_clock::now();
    if (picture_.now && restarted(picture_.now->stats, said.stats)) {
      picture_.now.reset();
      picture_.frame_rates.clear();
      picture_.notice = fmt::format("the server restarted at {}", time_of_day());
      noticed_at_ = at;
    }
    if (at - noticed_at_ > std::chrono::duration<double>(notice_seconds)) {
      picture_.notice.clear();
    }
    picture_.before = std::move(picture_.now);
    picture_.now = std::move(said);
    picture_.seconds = seconds_since_last(at);
    picture_.clock = time_of_day();
    picture_.trouble.clear();
    at_ = at;
    if (picture_.before && picture_.seconds > 0) {
      const auto frames =
          static_cast<double>(picture_.now->stats.frames - picture_.before->stats.frames);
      picture_.frame_rates.push_back(frames / picture_.seconds);
      if (picture_.frame_rates.size() > kept_rates) {
        picture_.frame_rates.erase(picture_.frame_rates.begin());
      }
    }
  }

  // By the server's clock where it tells the time, since answers travel for a while.
  [[nodiscard]] double seconds_since_last(top_clock::time_point at) const {
    if (picture_.before && picture_.before->time_ms && picture_.now->time_ms &&
        *picture_.now->time_ms > *picture_.before->time_ms) {
      return static_cast<double>(*picture_.now->time_ms - *picture_.before->time_ms) / 1000;
    }
    return std::chrono::duration<double>(at - at_).count();
  }

  stats_client client_;
  top_picture picture_;
  top_clock::time_point at_;
  top_clock::time_point noticed_at_;
};

bool shows_utf8() { return std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0; }

int unreachable(const top_picture& picture) {
  fmt::print(stderr, "ringpool: {}\n", picture.trouble);
  return exit_unreachable;
}

int show_plain(watched_server& server, const top_options& options,
               std::chrono::milliseconds interval) {
  const top_layout layout{.width = plain_width, .blocks = false};
  for (;;) {
    std::this_thread::sleep_for(interval);
    server.look();
    const top_picture& picture = server.picture();
    if (options.once && !picture.trouble.empty()) {
      return unreachable(picture);
    }
    fmt::print("{}{}", render(picture, layout, palette(false)), options.once ? "" : "\n");
    if (std::fflush(stdout) != 0 || options.once) {
      return 0;
    }
  }
}

int show_live(watched_server& server, std::chrono::milliseconds interval) {
  const palette colours(wants_colour(STDOUT_FILENO));
  live_terminal terminal;
  auto next = top_clock::now() + interval;
  for (;;) {
    const top_layout layout{.width = live_terminal::size().columns, .blocks = shows_utf8()};
    terminal.draw(render(server.picture(), layout, colours));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - top_clock::now());
    const auto event = terminal.wait(std::max(left, std::chrono::milliseconds{0}));
    if (event == live_terminal::event::quit) {
      return 0;
    }
    if (event == live_terminal::event::timeout) {
      server.look();
      next = std::max(next + interval, top_clock::now());
    }
  }
}

bool can_draw() {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDIN_FILENO) == 1 && terminal != nullptr &&
         std::strcmp(terminal, "dumb") != 0;
}

}  // namespace

void add_top_command(CLI::App& app, top_options& options) {
  CLI::App* const top = app.add_subcommand(
      "top",
      "Show what a server does, again each second: its HTTP port is that of serve --metrics");
  top->add_option("address", options.address, "Where the server was told --metrics")
      ->type_name("ADDR:PORT")
      ->required();
  top->add_option("--interval", options.interval_s, "Time between two looks")
      ->check(number_range(0.1, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  top->add_flag("--once", options.once, "One picture, an interval after the start, and no more");
  top->add_flag(
      "--plain", options.plain,
      "Pictures below each other, without escape sequences; so too where there is no terminal");
}

int run_top(const top_options& options) {
  const auto interval = std::chrono::ceil<std::chrono::milliseconds>(
      std::chrono::duration<double>(options.interval_s));
  std::setlocale(LC_CTYPE, "");
  try {
    watched_server server(options.address);
    server.look();
    if (!server.picture().trouble.empty()) {
      return unreachable(server.picture());
    }
    return options.once || options.plain || !can_draw() ? show_plain(server, options, interval)
                                                        : show_live(server, interval);
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "ringpool: {}\n", error.what());
    return exit_arguments;
  }
}

}  // namespace ringpool::tools
