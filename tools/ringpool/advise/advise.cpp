// SPDX-License-Identifier: MIT
#include "advise.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "../config/configure.hpp"
#include "../load.hpp"
#include "../load_report.hpp"
#include "../load_socket.hpp"
#include "../machine_memory.hpp"
#include "../serve_options.hpp"
#include "advice.hpp"
#include "traffic_input.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint64_t poisson_allocations = 1'000'000;
constexpr std::uint64_t most_poisson_allocations = 8'000'000;
/// Most buffers held at once that tables are made for.
constexpr double most_assumed_held = 1e7;

std::vector<class_setting> settings_of_today(const advise_options& options) {
  if (!options.today.empty()) {
    return parse_class_settings(options.today);
  }
  serve_options asked;
  asked.config = options.config;
  const configuration found = configure(asked, {"serve"});
  if (!found.faults.empty()) {
    throw std::invalid_argument("--config: " + join(found.faults));
  }
  std::vector<class_setting> result;
  for (const size_class& one : found.options.classes) {
    result.push_back({static_cast<std::uint32_t>(one.buffer_size), one.capacity,
                      one.settings.elastic_capacity.value_or(found.options.elastic_count)});
  }
  return result;
}

traffic read_input(const advise_options& options, progress_display& display) {
  std::function<void(std::uint64_t)> show;
  return read_traffic(
      {.path = options.input,
       .packets = options.packets,
       .port = options.port,
       .max_frame_bytes = options.max_frame_bytes,
       .hold_ns =
           options.hold_seconds > 0 ? static_cast<std::int64_t>(options.hold_seconds * 1e9) : -1,
       .progress = [&](std::uint64_t done, std::uint64_t total) {
         if (!show) {
           show = counting_progress(display, "reading", std::max<std::uint64_t>(total, 1));
         }
         show(done);
       }});
}

/// Gives buffers of unknown times the time that is assumed. Returns how many there were.
std::uint64_t assume_holds(traffic& seen, double hold_seconds) {
  std::uint64_t count = 0;
  for (traffic_sample& sample : seen.samples) {
    if (sample.held_ns < 0) {
      sample.held_ns = static_cast<std::int64_t>(hold_seconds * 1e9);
      ++count;
    }
  }
  return count;
}

std::string hold_text(const advise_options& options, double hold_seconds) {
  return fmt::format("each buffer is held {} ({})",
                     format_nanoseconds(static_cast<std::uint64_t>(hold_seconds * 1e9)),
                     options.hold_seconds > 0 ? "--hold" : "--hold was not given");
}

/// What there is to advise on, and what had to be assumed for it.
void take_demand(const advise_options& options, traffic seen, advice& result) {
  const double hold = options.hold_seconds > 0 ? options.hold_seconds : default_hold_seconds;
  if (seen.timed) {
    if (options.rate > 0) {
      throw std::invalid_argument(
          "--rate is for inputs without times, and this one has them; accepted: no --rate");
    }
    const std::size_t all = seen.samples.size();
    if (const std::uint64_t count = assume_holds(seen, hold); count > 0) {
      result.assumptions.push_back(
          hold_text(options, hold) +
          (count == all ? ""
                        : fmt::format(", where it is unknown: {} samples", format_count(count))));
    }
  } else {
    if (options.rate <= 0) {
      throw std::invalid_argument(
          "the input has sizes, but no times: give --rate, allocations a second, and --hold, the "
          "seconds for which a buffer is held");
    }
    // What --hold says goes for all; without it the input's own times do, if it has them all.
    const bool known = options.hold_seconds <= 0 && size_histogram(seen).weighs_time();
    if (!known) {
      for (traffic_sample& sample : seen.samples) {
        sample.held_ns = -1;
      }
    }
    result.assumptions.push_back(fmt::format(
        "{} that come independently of each other (a Poisson process; Erlang's loss formula); {}. "
        "Traffic in bursts needs more: record it with its times",
        format_rate(options.rate),
        known ? "each buffer is held as long as those of its size were"
              : hold_text(options, hold) + ", whatever its size"));
  }
  if (std::any_of(seen.samples.begin(), seen.samples.end(),
                  [](const traffic_sample& sample) { return sample.weight > 1; }) &&
      seen.timed) {
    result.remarks.emplace_back(
        "a sample stands for several allocations: what was held at once is known within a standard "
        "error, which the elastic buffers cover twice");
  }
  result.wanted = demand_of(std::move(seen), options.rate, hold);
  if (result.wanted.seen.timed && result.wanted.sizes.allocations() * options.exhaustion < 1.0) {
    result.remarks.push_back(
        fmt::format("{:.0f} allocations are too few to tell a share of {:g} (--exhaustion): rings "
                    "cover the peak",
                    result.wanted.sizes.allocations(), options.exhaustion));
  }
  const double held = result.wanted.rate * result.wanted.hold_seconds;
  if (!result.wanted.seen.timed && held > most_assumed_held) {
    throw std::invalid_argument(fmt::format(
        "{:g} allocations a second, each held {:g} s, are {:g} buffers at once; accepted: "
        "up to {:g}, by a lower --rate or --hold",
        result.wanted.rate, result.wanted.hold_seconds, held, most_assumed_held));
  }
}

/// What the larger of both replays takes: buffers, and a note of each that is held. Rings are
/// resident from the start, so a pool too large for the machine is not made at all.
double replay_bytes(const advice& given) {
  constexpr double bytes_held = 64.0;
  const auto resident =
      std::max(given.today.expected.resident_bytes, given.advised.expected.resident_bytes);
  return static_cast<double>(resident) +
         bytes_held * std::min(given.wanted.sizes.allocations(), double{most_replayed});
}

void replay_both(advice& result, progress_display& display) {
  const demand& wanted = result.wanted;
  const double needed = replay_bytes(result);
  const auto available = static_cast<double>(machine_memory_now().available);
  if (needed > available / 2) {
    result.replay_note = fmt::format(
        "Not replayed: that takes up to {} of memory, and half of {} is what it may take.",
        format_bytes(needed), format_bytes(available));
    return;
  }
  traffic shown;
  if (wanted.seen.timed) {
    shown = first_allocations(wanted.seen, most_replayed);
    result.replay_note =
        shown.samples.size() == wanted.seen.samples.size()
            ? "Replayed: the same allocations and frees, in their order, on a multi_size_ring_pool."
            : fmt::format("Replayed: the first {} samples of {}, on a multi_size_ring_pool.",
                          format_count(shown.samples.size()),
                          format_count(wanted.seen.samples.size()));
  } else {
    const double held = wanted.rate * wanted.hold_seconds;
    const auto count =
        static_cast<std::uint64_t>(std::clamp(20.0 * held, static_cast<double>(poisson_allocations),
                                              static_cast<double>(most_poisson_allocations)));
    shown = poisson_traffic(wanted.sizes, wanted.rate, wanted.hold_seconds, count, 1);
    result.replay_note =
        fmt::format("Replayed: {} allocations as assumed, at random, on a multi_size_ring_pool.",
                    format_count(count));
  }
  const std::uint64_t total = std::max<std::size_t>(shown.samples.size(), 1);
  for (judged_set* const set : {&result.today, &result.advised}) {
    const char* const stage = set == &result.today ? "replay, today's" : "replay, advised";
    set->replayed =
        replay(shown, set->expected.settings(), counting_progress(display, stage, total));
  }
}

advice make_advice(const advise_options& options, const std::vector<class_setting>& today) {
  advice result{.classes = parse_class_options(options),
                .capacities = {.exhaustion = options.exhaustion, .headroom = options.headroom}};
  progress_display display(options.progress);
  traffic seen = read_input(options, display);
  if (seen.samples.empty()) {
    throw read_error(options.input + ": there are no allocations in it");
  }
  result.source = seen.source;
  result.remarks = seen.remarks;
  take_demand(options, std::move(seen), result);
  result.today.expected = forecast(result.wanted, today);
  result.advised.expected = advise(result.wanted, result.classes, result.capacities);
  if (!options.no_replay) {
    replay_both(result, display);
  }
  return result;
}

void write_text(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  out.flush();
  if (!out) {
    throw std::system_error(errno, std::generic_category(), "cannot write '" + file + "'");
  }
}

}  // namespace

int run_advise(const advise_options& options) {
  try {
    const advice given = make_advice(options, settings_of_today(options));
    fmt::print("{}", advice_text(given, palette(wants_colour(STDOUT_FILENO))));
    if (!options.json_file.empty()) {
      write_text(options.json_file, advice_json(given).dump(1) + "\n");
    }
    if (!options.write_file.empty()) {
      write_text(options.write_file, advice_toml(given));
      fmt::print("written to {}; try it: ringpool serve --config {}\n", options.write_file,
                 options.write_file);
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "ringpool advise: {}\n", error.what());
    return exit_arguments;
  } catch (const read_error& error) {
    fmt::print(stderr, "ringpool advise: {}\n", error.what());
    return exit_unreachable;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "ringpool advise: {}\n", error.what());
    return exit_faults;
  }
}

}  // namespace ringpool::tools
