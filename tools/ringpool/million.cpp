// SPDX-License-Identifier: MIT
#include "million.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "child_server.hpp"
#include "herd.hpp"
#include "load.hpp"
#include "load_loop.hpp"
#include "load_report.hpp"
#include "load_session.hpp"
#include "memory_use.hpp"
#include "million_report.hpp"
#include "number_range.hpp"
#include "stop_signal.hpp"

namespace ringpool::tools {
namespace {

/// Measured: 8.9 kB for both ends of a connection and what is armed for it; and some for the rest.
constexpr std::uint64_t bytes_per_pair = 9000;
constexpr std::uint64_t bytes_beside = std::uint64_t{1} << 30;
constexpr double settle_limit_seconds = 5.0;
/// The machine is left this much: with less the kernel begins to end processes.
constexpr std::uint64_t least_available = std::uint64_t{400} << 20;

class interrupted {};

/// The whole run, in the order in which run() calls its parts.
class million {
 public:
  explicit million(const million_options& options) : options_(options), display_(options.progress) {
    result_.options = options;
  }

  million_result run();

 private:
  void start();
  void connect_idle();
  void check_memory(std::uint64_t done) const;
  void connect_others();
  void measure_rounds();
  void last_lap();
  void make_burst();
  void stop_servers();

  [[nodiscard]] std::vector<std::string> server_arguments() const;
  [[nodiscard]] std::unique_ptr<load_session> session_with(
      const child_server& server, const std::atomic<std::uint32_t>* allowance) const;
  load_tally round(load_session& session, std::uint32_t number, const char* which);
  server_snapshot settled(child_server& server) const;
  [[nodiscard]] double elapsed() const {
    return static_cast<double>(monotonic_ns() - start_ns_) / 1e9;
  }
  static void check_stop() {
    if (stop_requested().load(std::memory_order_relaxed)) {
      throw interrupted{};
    }
  }

  const million_options& options_;
  progress_display display_;
  scratch_directory files_;
  million_result result_;
  std::unique_ptr<child_server> crowded_;  // has the idle connections
  std::unique_ptr<child_server> quiet_;
  std::unique_ptr<herd> herd_;
  std::unique_ptr<load_session> on_crowded_;
  std::unique_ptr<load_session> on_quiet_;
  std::int64_t start_ns_ = monotonic_ns();
};

million_result million::run() {
  try {
    start();
    connect_idle();
    connect_others();
    measure_rounds();
    last_lap();
    make_burst();
    stop_servers();
  } catch (const interrupted&) {
    result_.interrupted = true;
  }
  display_.erase();
  result_.seconds = elapsed();
  return std::move(result_);
}

std::vector<std::string> million::server_arguments() const {
  return {"--backend",       "uring",
          "--idle-mode",     options_.idle_mode,
          "--loops",         std::to_string(options_.loops),
          "--idle-timeout",  "0",
          "--frame-timeout", "120",
          "--elastic",       std::to_string(options_.burst)};
}

void million::start() {
  // Should memory run out all the same, this and its servers are what the kernel ends (proc(5)).
  std::ofstream("/proc/self/oom_score_adj") << 1000;
  ::rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  result_.descriptor_limit = limit.rlim_max;
  crowded_ = std::make_unique<child_server>("crowded", server_arguments(), files_.path());
  quiet_ = std::make_unique<child_server>("quiet", server_arguments(), files_.path());
  result_.fresh = crowded_->snapshot();
  result_.before = machine_memory_now();
  result_.own_before = memory_use_of_this_process().private_dirty_bytes;
}

/// Throws load_error where the next connections would take memory that others need.
void million::check_memory(std::uint64_t done) const {
  if (const std::uint64_t left = machine_memory_now().available; left < least_available) {
    throw load_error(fmt::format(
        "stopped at {} of {} connections, {:.1f} s after the start: {} of memory are left",
        format_count(done), format_count(options_.connections), elapsed(),
        format_bytes(static_cast<double>(left))));
  }
}

/// The active connections are made among the idle ones, so that they are spread over all tables.
void million::connect_idle() {
  herd_ = std::make_unique<herd>(herd_options{.target = resolve_target(crowded_->address()),
                                              .connections = options_.connections,
                                              .run = unique_run()});
  result_.source_addresses = herd_->source_addresses();
  std::atomic<std::uint32_t> allowance{0};
  std::exception_ptr failure;
  on_crowded_ = session_with(*crowded_, &allowance);
  std::thread active([&] {
    try {
      on_crowded_->connect(stop_requested(), [](const load_snapshot&) {});
    } catch (...) {
      failure = std::current_exception();
    }
  });
  const herd_observer show = counting_progress(display_, "connecting", options_.connections);
  const auto finish = [&] {
    allowance.store(options_.active, std::memory_order_relaxed);
    active.join();
  };
  try {
    result_.first_lap = herd_->connect(stop_requested(), [&](std::uint64_t done) {
      check_memory(done);
      allowance.store(static_cast<std::uint32_t>(done * options_.active / options_.connections),
                      std::memory_order_relaxed);
      show(done);
    });
  } catch (...) {
    finish();
    throw;
  }
  finish();
  if (failure) {
    std::rethrow_exception(failure);
  }
  check_stop();
  result_.idle = settled(*crowded_);
  result_.connected = machine_memory_now();
  result_.own_connected = memory_use_of_this_process().private_dirty_bytes;
}

/// Once nothing is in flight: the last echo is here before the server has let go of it.
server_snapshot million::settled(child_server& server) const {
  for (int left = 100;; --left) {
    const server_snapshot seen = server.snapshot();
    if (left == 0 || (seen.buffers_in_use == 0 && seen.connections_idle == seen.connections_open)) {
      return seen;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::unique_ptr<load_session> million::session_with(
    const child_server& server, const std::atomic<std::uint32_t>* allowance) const {
  load_options load;
  load.connect = server.address();
  load.connections = options_.active;
  load.connect_timeout = 600.0;
  load_setup setup = make_setup(load);
  setup.connect_allowance = allowance;
  return std::make_unique<load_session>(std::move(setup));
}

void million::connect_others() {
  on_quiet_ = session_with(*quiet_, nullptr);
  on_quiet_->connect(stop_requested(), [](const load_snapshot&) {});
  check_stop();
}

load_tally million::round(load_session& session, std::uint32_t number, const char* which) {
  check_stop();
  const load_phase phase{.rate = options_.rate,
                         .pipeline = 1,
                         .warm_up = to_nanoseconds(0.2),
                         .duration = to_nanoseconds(options_.seconds),
                         .drain = to_nanoseconds(5.0)};
  return session.run(phase, stop_requested(), [&](const load_snapshot& seen) {
    const double share =
        (number + seen.elapsed_seconds / std::max(seen.total_seconds, 1e-9) / 2) / options_.rounds;
    display_.update({.stage = fmt::format("round {} of {}, {}", number + 1, options_.rounds, which),
                     .fraction = share,
                     .elapsed_seconds = elapsed(),
                     .remaining_seconds = (1 - share) * options_.rounds * 2 * options_.seconds,
                     .frames_per_second = options_.rate,
                     .faults = seen.faults});
  });
}

/// In turns, and each first in every second round: the machine changes within seconds.
void million::measure_rounds() {
  for (std::uint32_t i = 0; i < options_.rounds; ++i) {
    million_round one;
    for (const bool crowded : {i % 2 == 0, i % 2 != 0}) {
      (crowded ? one.with_idle : one.without) =
          round(crowded ? *on_crowded_ : *on_quiet_, i, crowded ? "with idle" : "without");
    }
    result_.rounds.push_back(one);
  }
}

void million::last_lap() {
  check_stop();
  result_.last_lap =
      herd_->lap(stop_requested(),
                 counting_progress(display_, "every connection again", options_.connections));
  check_stop();
}

void million::make_burst() {
  result_.burst_connections = std::min(options_.burst, options_.connections);
  if (result_.burst_connections == 0) {
    return;
  }
  settled(*crowded_);
  result_.burst_before = crowded_->resident_bytes();
  result_.burst = herd_->burst(result_.burst_connections, stop_requested(), [this] {
    // The server has them all once it holds as many halves.
    for (int left = 500; left != 0; --left) {
      if (crowded_->snapshot().buffers_in_use >= result_.burst_connections) {
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    result_.burst_peak = crowded_->resident_bytes();
  });
  check_stop();
  const std::int64_t begin = monotonic_ns();
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    result_.burst_after = crowded_->resident_bytes();
    result_.burst_settled_seconds = static_cast<double>(monotonic_ns() - begin) / 1e9;
  } while (result_.burst_after > 2 * result_.burst_before &&
           result_.burst_settled_seconds < 2 * settle_limit_seconds);
}

void million::stop_servers() {
  on_crowded_.reset();
  on_quiet_.reset();
  crowded_->check_running();
  quiet_->check_running();
  quiet_->stop();
}

/// Empty: there is enough.
std::string find_memory_fault(const million_options& options) {
  const std::uint64_t needed = options.connections * bytes_per_pair + bytes_beside;
  const std::uint64_t available = machine_memory_now().available;
  return available >= needed
             ? std::string()
             : fmt::format(
                   "{} connections, both ends here, need about {} of memory, and {} are available",
                   format_count(options.connections), format_bytes(static_cast<double>(needed)),
                   format_bytes(static_cast<double>(available)));
}

}  // namespace

void add_million_command(CLI::App& app, million_options& options) {
  CLI::App* const million =
      app.add_subcommand("million", "Hold a million connections, and see what they cost");
  million->add_option("--connections", options.connections, "Idle connections, both ends here")
      ->check(CLI::Range(1U, 3'200'000U))
      ->capture_default_str();
  million->add_option("--active", options.active, "Further connections that are busy")
      ->check(CLI::Range(1U, 15'000U))
      ->capture_default_str();
  million->add_option("--rounds", options.rounds, "Pairs of rounds, with and without the idle ones")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  million->add_option("--rate", options.rate, "Frames a second in a round")
      ->check(number_range(1.0, 1e6))
      ->capture_default_str();
  million->add_option("--seconds", options.seconds, "Length of a round")
      ->check(number_range(0.1, 60.0))
      ->capture_default_str();
  million->add_option("--loops", options.loops, "Event loops of each server")
      ->check(CLI::Range(1U, 64U))
      ->capture_default_str();
  million->add_option("--burst", options.burst, "Connections that speak all at once; 0: none")
      ->check(CLI::Range(0U, 1'000'000U))
      ->capture_default_str();
  million->add_option("--idle-mode", options.idle_mode, "As serve's")
      ->check(CLI::IsMember({"receive", "poll"}))
      ->capture_default_str();
  million->add_flag("--try", options.try_anyway, "Go on where memory looks too small");
  million->add_option("--json", options.json_file, "Write the report here as JSON")
      ->type_name("FILE");
  add_progress_option(*million, options.progress);
}

int run_million(const million_options& options) {
  watch_stop_signals();
  try {
    if (const std::string fault = find_memory_fault(options);
        !fault.empty() && !options.try_anyway) {
      fmt::print(stderr, "ringpool million: skipped: {}; --try goes on all the same\n", fault);
      return exit_skipped;
    }
    const million_result result = million(options).run();
    if (result.interrupted) {
      fmt::print(stderr, "ringpool million: interrupted after {}\n",
                 format_seconds(result.seconds));
      return exit_interrupted;
    }
    fmt::print("{}", million_report_text(result, palette(wants_colour(STDOUT_FILENO))));
    std::fflush(stdout);
    if (!options.json_file.empty()) {
      write_report(options.json_file, million_report_json(result));
    }
    const auto promises = judge(result);
    return std::all_of(promises.begin(), promises.end(),
                       [](const million_promise& one) { return one.kept; })
               ? 0
               : exit_faults;
  } catch (const load_error& error) {
    fmt::print(stderr, "ringpool million: {}\n", error.what());
    return exit_unreachable;
  }
}

}  // namespace ringpool::tools
