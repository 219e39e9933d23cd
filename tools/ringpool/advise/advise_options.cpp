// SPDX-License-Identifier: MIT
#include "advise_options.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <ringpool/codec/frame.hpp>
#include <ringpool/config.hpp>

#include "../number_range.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint64_t largest_buffer = std::uint64_t{1} << 30;

bool parse_whole(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// Cuts the part before the first `mark` off `text`, or all of it.
std::string_view cut(std::string_view& text, char mark) {
  const std::size_t at = std::min(text.find(mark), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

class_setting parse_class_setting(std::string_view text) {
  std::string_view rest = text;
  std::uint64_t size = 0;
  class_setting result;
  const bool good = parse_whole(cut(rest, ':'), size) &&
                    parse_whole(cut(rest, ':'), result.capacity) &&
                    (rest.empty() || parse_whole(rest, result.elastic_capacity));
  if (!good) {
    throw std::invalid_argument(fmt::format(
        "--today: '{}' is not SIZE:COUNT or SIZE:COUNT:ELASTIC, such as 1024:2048", text));
  }
  if (size < 1 || size > largest_buffer) {
    throw std::invalid_argument(fmt::format(
        "--today: '{}' has buffers of {} bytes; accepted: 1 to {}", text, size, largest_buffer));
  }
  if (!std::has_single_bit(result.capacity) || result.capacity > max_capacity) {
    throw std::invalid_argument(
        fmt::format("--today: '{}' has {} buffers; accepted: a power of two up to {}", text,
                    result.capacity, max_capacity));
  }
  if (result.elastic_capacity > max_capacity) {
    throw std::invalid_argument(
        fmt::format("--today: '{}' has {} elastic buffers; accepted: up to {}", text,
                    result.elastic_capacity, max_capacity));
  }
  result.buffer_size = static_cast<std::uint32_t>(size);
  return result;
}

void add_input_options(CLI::App& advise, advise_options& options) {
  advise
      .add_option(
          "input", options.input,
          "A capture (pcap, pcapng), a table (CSV), a recording of `serve --record`, ADDR:PORT "
          "of a server's metrics, or mix:NAME as --mix of `load`")
      ->required()
      ->type_name("INPUT");
  advise.add_flag("--packets", options.packets, "Captures: UDP packets, not frames of TCP streams");
  advise.add_option("--port", options.port, "Captures: the server's port; 0: guessed, or all")
      ->check(CLI::Range(0U, 65535U))
      ->capture_default_str();
  advise.add_option("--max-frame", options.max_frame_bytes, "Captures: largest payload of a frame")
      ->type_name("BYTES")
      ->check(CLI::Range(1U, max_frame_limit_bytes))
      ->capture_default_str();
  advise
      .add_option(
          "--hold", options.hold_seconds,
          "How long a buffer is held, where the input does not say; captures: after its last "
          "byte came. 0.001 if not given")
      ->type_name("SECONDS")
      ->check(number_range(1e-9, 86400.0));
  advise.add_option("--rate", options.rate, "Allocations a second, where the input does not say")
      ->type_name("COUNT")
      ->check(number_range(1e-3, 1e9));
}

void add_choice_options(CLI::App& advise, advise_options& options) {
  advise
      .add_option("--classes", options.classes,
                  "How many size classes; auto: until a further one saves under 2 % of the memory")
      ->type_name("COUNT|auto")
      ->capture_default_str();
  advise
      .add_option("--cover", options.cover,
                  "Share of the allocations that the largest class holds; larger ones go upstream")
      ->type_name("SHARE")
      ->check(number_range(0.001, 1.0))
      ->capture_default_str();
  advise
      .add_option("--exhaustion", options.exhaustion,
                  "Largest share of a class's allocations that may find its ring empty")
      ->type_name("SHARE")
      ->check(number_range(1e-7, 0.5))
      ->capture_default_str();
  advise
      .add_option("--headroom", options.headroom, "Factor on the capacity that the traffic needed")
      ->type_name("FACTOR")
      ->check(number_range(1.0, 100.0))
      ->capture_default_str();
  advise
      .add_option(
          "--today", options.today,
          "The classes to compare with, such as 64:8192,256:4096:1024; as `serve` has if not "
          "given")
      ->type_name("SIZE:COUNT[:ELASTIC],...");
  advise
      .add_option("--config", options.config,
                  "Compare with the classes of this file, which `serve --config` takes")
      ->type_name("FILE")
      ->excludes("--today");
}

}  // namespace

void add_advise_command(CLI::App& app, advise_options& options) {
  CLI::App* const advise =
      app.add_subcommand("advise", "Find size classes and capacities for recorded traffic");
  add_input_options(*advise, options);
  add_choice_options(*advise, options);
  advise->add_option("--write", options.write_file, "Write a configuration (TOML) with the advice")
      ->type_name("FILE");
  advise->add_option("--json", options.json_file, "Write the whole report to this file")
      ->type_name("FILE");
  advise->add_flag("--no-replay", options.no_replay, "Do not try the advice on a real pool");
  add_progress_option(*advise, options.progress);
  advise->footer(
      "Exit code: 0 there is advice; 1 a file could not be written; 2 an argument was wrong; 3 "
      "the\n"
      "input could not be read. Plots of the JSON: ./run plot FILE.");
}

class_options parse_class_options(const advise_options& options) {
  class_options result{.cover = options.cover};
  if (options.classes == "auto") {
    return result;
  }
  std::uint64_t count = 0;
  if (!parse_whole(options.classes, count) || count < 1 || count > max_class_count) {
    throw std::invalid_argument(fmt::format("--classes '{}' is neither auto nor 1 to {}",
                                            options.classes, max_class_count));
  }
  result.count = static_cast<std::size_t>(count);
  return result;
}

std::vector<class_setting> parse_class_settings(std::string_view text) {
  std::vector<class_setting> result;
  do {
    result.push_back(parse_class_setting(cut(text, ',')));
  } while (!text.empty());
  std::sort(result.begin(), result.end(), [](const class_setting& a, const class_setting& b) {
    return a.buffer_size < b.buffer_size;
  });
  const auto twice = std::adjacent_find(result.begin(), result.end(),
                                        [](const class_setting& a, const class_setting& b) {
                                          return a.buffer_size == b.buffer_size;
                                        });
  if (twice != result.end()) {
    throw std::invalid_argument(fmt::format(
        "--today has two classes of {} bytes; accepted: one a size", twice->buffer_size));
  }
  if (result.size() > max_class_count) {
    throw std::invalid_argument(
        fmt::format("--today has {} classes; accepted: 1 to {}", result.size(), max_class_count));
  }
  return result;
}

}  // namespace ringpool::tools
