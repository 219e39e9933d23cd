// SPDX-License-Identifier: MIT
#include "demo.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "child_server.hpp"
#include "demo_report.hpp"
#include "load.hpp"
#include "load_options.hpp"
#include "load_report.hpp"
#include "load_session.hpp"
#include "number_range.hpp"
#include "stop_signal.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint32_t max_payload = 16384;
constexpr double warm_up_seconds = 0.3;
constexpr double idle_seconds = 0.5;
constexpr double drain_seconds = 5.0;
constexpr double rate_share = 0.25;  // of what the closed loop reached: well below saturation
constexpr std::uint64_t other_descriptors = 64;

class interrupted {};

// The whole demo: servers, connections, rounds, in the order in which run() calls them.
//
// Invariant:     sides_[i] tells of servers_[i] and sessions_[i].
// Thread-safety: none.
class demo {
 public:
  explicit demo(const demo_options& options) : options_(options), display_(options.progress) {}

  demo_result run();

 private:
  static constexpr std::size_t side_count = 2;

  void start_servers();
  void connect();
  void closed_rounds();
  void open_rounds();
  void rest();
  void stop_servers();

  [[nodiscard]] double chosen_rate() const;
  load_tally round(std::size_t side, const load_phase& phase, const std::string& stage,
                   bool look_inside);
  void show(const std::string& stage, double frames_per_second, std::uint64_t faults);
  [[nodiscard]] double planned_seconds() const;
  [[nodiscard]] double elapsed_seconds() const {
    return static_cast<double>(monotonic_ns() - start_ns_) / 1e9;
  }
  static void check_stop() {
    if (stop_requested().load(std::memory_order_relaxed)) {
      throw interrupted{};
    }
  }

  const demo_options& options_;
  progress_display display_;
  scratch_directory files_;
  demo_result result_;
  std::array<std::unique_ptr<child_server>, side_count> servers_;
  std::array<std::unique_ptr<load_session>, side_count> sessions_;
  std::int64_t start_ns_ = monotonic_ns();
};

demo_result demo::run() {
  start_servers();
  connect();
  closed_rounds();
  open_rounds();
  rest();
  stop_servers();
  display_.erase();
  result_.seconds = elapsed_seconds();
  return std::move(result_);
}

void demo::start_servers() {
  result_.cores = std::max(1U, std::thread::hardware_concurrency());
  result_.loops = std::max(1U, result_.cores / 2);  // the other half is for the load
  // Both ends of a session count here, and each server needs as many again in its own process.
  const std::uint64_t available = descriptors_available(other_descriptors) / side_count;
  result_.connections =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(options_.connections, available));
  if (result_.connections == 0) {
    throw load_error("the limit of file descriptors leaves none for connections (ulimit -Hn)");
  }
  reserve_descriptors(std::uint64_t{result_.connections} * side_count + other_descriptors);
  for (std::size_t i = 0; i < side_count; ++i) {
    result_.sides[i].name = i == 0 ? "pool" : "malloc";
    servers_[i] = std::make_unique<child_server>(
        result_.sides[i].name,
        std::vector<std::string>{"--buffers", result_.sides[i].name, "--loops",
                                 std::to_string(result_.loops)},
        files_.path());
    check_stop();
  }
}

void demo::connect() {
  const size_mix mix = size_mix::parse("game", stamp_bytes, max_payload);
  result_.mix = mix.name();
  result_.mix_mean_bytes = mix.mean_size();
  for (std::size_t i = 0; i < side_count; ++i) {
    sessions_[i] = std::make_unique<load_session>(
        load_setup{.target = resolve_target(servers_[i]->address()),
                   .mix = mix,
                   .connections = result_.connections,
                   .loops = std::min(result_.loops, result_.connections),
                   .max_payload = max_payload,
                   .seed = 1,
                   .run = unique_run(),
                   .connect_timeout = std::chrono::seconds(10)});
    sessions_[i]->connect(stop_requested(),
                          [this](const load_snapshot&) { show("connecting", 0.0, 0); });
    check_stop();
    result_.sides[i].fresh = servers_[i]->snapshot();
  }
}

// By turns, and the first of a pair changes every time: what drifts on the machine meets both
// alike.
void demo::closed_rounds() {
  const load_phase phase{.warm_up = to_nanoseconds(warm_up_seconds),
                         .duration = to_nanoseconds(options_.round_seconds),
                         .drain = to_nanoseconds(drain_seconds)};
  for (std::uint32_t number = 0; number < options_.rounds; ++number) {
    for (std::size_t turn = 0; turn < side_count; ++turn) {
      const std::size_t side = (number + turn) % side_count;
      const std::string stage =
          fmt::format("{}, full load {}/{}", result_.sides[side].name, number + 1, options_.rounds);
      result_.sides[side].closed.push_back(
          round(side, phase, stage, number + 1 == options_.rounds));
    }
  }
}

void demo::open_rounds() {
  result_.open_rate = options_.rate > 0 ? options_.rate : chosen_rate();
  const load_phase phase{.rate = result_.open_rate,
                         .warm_up = to_nanoseconds(warm_up_seconds),
                         .duration = to_nanoseconds(options_.open_round_seconds),
                         .drain = to_nanoseconds(drain_seconds)};
  for (std::uint32_t number = 0; number < options_.open_rounds; ++number) {
    for (std::size_t turn = 0; turn < side_count; ++turn) {
      const std::size_t side = (number + turn) % side_count;
      const std::string stage = fmt::format("{}, steady {}/{}", result_.sides[side].name,
                                            number + 1, options_.open_rounds);
      result_.sides[side].open.push_back(round(side, phase, stage, false));
    }
  }
}

double demo::chosen_rate() const {
  double slowest = 1e9;
  for (const demo_side& side : result_.sides) {
    for (const load_tally& one : side.closed) {
      slowest = std::min(slowest, one.frames_per_second());
    }
  }
  return std::max(100.0, std::floor(slowest * rate_share / 1000.0) * 1000.0);
}

// Every connection stays open and nothing moves: what is held now, idle connections hold.
void demo::rest() {
  const std::int64_t until_ns = monotonic_ns() + to_nanoseconds(idle_seconds).count();
  while (monotonic_ns() < until_ns) {
    show("idle", 0.0, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    check_stop();
  }
  for (std::size_t i = 0; i < side_count; ++i) {
    result_.sides[i].idle = servers_[i]->snapshot();
  }
}

void demo::stop_servers() {
  for (std::size_t i = 0; i < side_count; ++i) {
    sessions_[i].reset();
    result_.sides[i].last = servers_[i]->snapshot();
    servers_[i]->stop();
  }
}

load_tally demo::round(std::size_t side, const load_phase& phase, const std::string& stage,
                       bool look_inside) {
  load_snapshot before;
  double rate = 0.0;
  const auto observe = [&](const load_snapshot& seen) {
    if (seen.elapsed_seconds - before.elapsed_seconds >= 0.25) {
      rate = static_cast<double>(seen.echoed - before.echoed) /
             (seen.elapsed_seconds - before.elapsed_seconds);
      before = seen;
    }
    show(stage, rate, seen.faults);
    if (look_inside && seen.elapsed_seconds > seen.total_seconds / 2) {
      result_.sides[side].loaded = servers_[side]->snapshot();
      look_inside = false;
    }
  };
  load_tally tally = sessions_[side]->run(phase, stop_requested(), observe);
  check_stop();
  servers_[side]->check_running();
  return tally;
}

void demo::show(const std::string& stage, double frames_per_second, std::uint64_t faults) {
  const double elapsed = elapsed_seconds();
  const double planned = planned_seconds();
  display_.update({.stage = fmt::format("{:<21}", stage),
                   .fraction = std::min(1.0, elapsed / planned),
                   .elapsed_seconds = elapsed,
                   .remaining_seconds = std::max(0.0, planned - elapsed),
                   .frames_per_second = frames_per_second,
                   .faults = faults});
}

double demo::planned_seconds() const {
  const double closed = options_.rounds * (warm_up_seconds + options_.round_seconds);
  const double open = options_.open_rounds * (warm_up_seconds + options_.open_round_seconds);
  return side_count * (closed + open) + idle_seconds +
         1.0;  // the last for starting, connecting and stopping
}

}  // namespace

void add_demo_command(CLI::App& app, demo_options& options) {
  CLI::App* const command =
      app.add_subcommand("demo", "Serve, drive and compare with malloc; prints a report (< 1 min)");
  command
      ->add_option("--connections", options.connections,
                   "TCP connections to each of the two servers")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  command->add_option("--rounds", options.rounds, "Closed-loop rounds with each server")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  command->add_option("--round-seconds", options.round_seconds, "Length of a closed-loop round")
      ->check(number_range(0.1, 3600.0))
      ->capture_default_str();
  command->add_option("--open-rounds", options.open_rounds, "Open-loop rounds with each server")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  command
      ->add_option("--open-round-seconds", options.open_round_seconds,
                   "Length of an open-loop round")
      ->check(number_range(0.1, 3600.0))
      ->capture_default_str();
  command
      ->add_option(
          "--rate", options.rate,
          "Frames a second of the open loop; without it a quarter of what the closed loop reached")
      ->check(number_range(1.0, 1e8));
  add_progress_option(*command, options.progress);
  command->add_option("--json", options.json_file, "Write the report to this file too")
      ->type_name("FILE");
}

int run_demo(const demo_options& options) {
  watch_stop_signals();
  try {
    const demo_result result = demo(options).run();
    fmt::print("{}", demo_report_text(result, palette(wants_colour(STDOUT_FILENO))));
    if (!options.json_file.empty()) {
      write_report(options.json_file, demo_report_json(result));
    }
    return demo_failures(result).empty() ? 0 : exit_faults;
  } catch (const interrupted&) {
    fmt::print(stderr, "ringpool demo: interrupted; both servers were ended\n");
    return exit_interrupted;
  } catch (const load_error& error) {
    fmt::print(stderr, "ringpool demo: {}\n", error.what());
    return exit_unreachable;
  }
}

}  // namespace ringpool::tools
