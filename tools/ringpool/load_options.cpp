// SPDX-License-Identifier: MIT
#include "load_options.hpp"

#include <limits>
#include <stdexcept>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "number_range.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint32_t most_idle_connections = 3'200'000;
constexpr std::uint32_t most_connections = 1'000'000;

// A CLI11 validator out of a parser that throws std::invalid_argument.
template <class Parse>
CLI::Validator accepts(const std::string& form, Parse parse) {
  return {[parse](std::string& text) {
            try {
              parse(text);
              return std::string{};
            } catch (const std::invalid_argument& error) {
              return std::string(error.what());
            }
          },
          form};
}

void add_traffic_options(CLI::App& load, load_options& options) {
  load.add_option("--connections", options.connections, "TCP connections to hold")
      ->check(CLI::Range(1U, most_connections))
      ->capture_default_str();
  load.add_option("--idle", options.idle,
                  "Further connections, by io_uring and from many loopback addresses: each "
                  "exchanges a frame before the load and after it")
      ->check(CLI::Range(0U, most_idle_connections))
      ->capture_default_str();
  load.add_option("--seconds", options.seconds, "How long to measure, after the warm-up")
      ->check(number_range(0.05, 86400.0))
      ->capture_default_str();
  auto* const rate = load.add_option("--rate", options.rate,
                                     "Open loop: this many frames a second in all, each due at a "
                                     "fixed time; latency counts from then")
                         ->check(number_range(0.1, 1e8));
  load.add_option("--pipeline", options.pipeline,
                  "Closed loop: frames outstanding on each connection")
      ->check(CLI::Range(1U, 1024U))
      ->excludes(rate)
      ->capture_default_str();
  load.add_option("--mix", options.mix, "Payload sizes: game, imix, uniform:A-B or fixed:N")
      ->check(accepts("MIX",
                      [](const std::string& text) {
                        size_mix::parse(text, stamp_bytes,
                                        std::numeric_limits<std::uint32_t>::max());
                      }))
      ->capture_default_str();
  load.add_option("--max-frame", options.max_frame, "Largest payload the server takes")
      ->check(CLI::Range(stamp_bytes, 1U << 30))
      ->capture_default_str();
  load.add_option("--seed", options.seed, "Seed of sizes and payload bytes")->capture_default_str();
}

void add_run_options(CLI::App& load, load_options& options) {
  load.add_option("--loops", options.loops, "Threads, each with an event loop")
      ->check(CLI::Range(1U, 64U))
      ->capture_default_str();
  load.add_option("--warm-up", options.warm_up, "Seconds of traffic before measuring")
      ->check(number_range(0.0, 3600.0))
      ->capture_default_str();
  load.add_option("--drain", options.drain,
                  "Seconds to wait at the end for echoes; later ones are lost")
      ->check(number_range(0.0, 3600.0))
      ->capture_default_str();
  load.add_option("--connect-timeout", options.connect_timeout,
                  "Seconds that setting up all connections may take")
      ->check(number_range(0.1, 3600.0))
      ->capture_default_str();
  add_progress_option(load, options.progress);
  load.add_option("--json", options.json_file, "Write the whole report to this file")
      ->type_name("FILE");
}

}  // namespace

void add_load_command(CLI::App& app, load_options& options) {
  CLI::App* const load = app.add_subcommand("load", "Drive a frame server and check every echo");
  load->add_option("--connect", options.connect, "The server's ADDR:PORT")
      ->required()
      ->type_name("ADDR:PORT");
  add_traffic_options(*load, options);
  add_run_options(*load, options);
  load->footer(
      "Exit code: 0 every frame came back intact and in order; 1 something was lost or corrupted;\n"
      "2 an argument was wrong; 3 the server could not be reached; 130 interrupted.");
}

load_setup make_setup(const load_options& options) {
  return {.target = resolve_target(options.connect),
          .mix = size_mix::parse(options.mix, stamp_bytes, options.max_frame),
          .connections = options.connections,
          .loops = std::min(options.loops, options.connections),
          .max_payload = options.max_frame,
          .seed = options.seed,
          .run = unique_run(),
          .connect_timeout = to_nanoseconds(options.connect_timeout)};
}

load_phase make_phase(const load_options& options) {
  return {.rate = options.rate,
          .pipeline = options.pipeline,
          .warm_up = to_nanoseconds(options.warm_up),
          .duration = to_nanoseconds(options.seconds),
          .drain = to_nanoseconds(options.drain)};
}

std::uint64_t unique_run() {
  static std::uint64_t runs = 0;  // called by the main thread alone
  const auto now =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  return mix_bits(now ^ (static_cast<std::uint64_t>(::getpid()) << 40) ^ ++runs);
}

}  // namespace ringpool::tools
