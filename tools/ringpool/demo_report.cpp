// SPDX-License-Identifier: MIT
#include "demo_report.hpp"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "load_report.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t width = 100;
constexpr std::size_t indent = 2;

using side_text = std::function<std::string(const demo_side&)>;

void add_both(text_table& table, const char* name, const demo_result& result,
              const side_text& text) {
  table.add_row({name, text(result.sides[0]), text(result.sides[1])});
}

text_table two_columns(const demo_result& result) {
  return text_table({"", result.sides[0].name, result.sides[1].name});
}

std::string block(const palette& colours, const char* title, const std::string& table,
                  const std::string& sentence) {
  return '\n' + colours.title(title) + '\n' + table + wrap_text(sentence, width, indent);
}

std::uint64_t median_percentile(const std::vector<load_tally>& rounds, double percent) {
  std::vector<std::uint64_t> values;
  for (const load_tally& round : rounds) {
    values.push_back(round.latency.percentile(percent));
  }
  return median(values);
}

std::uint64_t greatest_latency(const std::vector<load_tally>& rounds) {
  std::uint64_t greatest = 0;
  for (const load_tally& round : rounds) {
    greatest = std::max(greatest, round.latency.max());
  }
  return greatest;
}

std::vector<double> rates(const std::vector<load_tally>& rounds) {
  std::vector<double> values;
  for (const load_tally& round : rounds) {
    values.push_back(round.frames_per_second());
  }
  return values;
}

std::string rate_range(const std::vector<load_tally>& rounds) {
  const std::vector<double> values = rates(rounds);
  if (values.empty()) {
    return "-";
  }
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{} .. {}", format_rate(*least), format_rate(*most));
}

void add_latencies(text_table& table, const demo_result& result,
                   std::vector<load_tally> demo_side::*rounds) {
  constexpr std::array<std::pair<const char*, double>, 3> rows{
      {{"p50", 50.0}, {"p99", 99.0}, {"p99.9", 99.9}}};
  for (const auto& [name, percent] : rows) {
    add_both(table, name, result, [&, at = percent](const demo_side& side) {
      return format_nanoseconds(median_percentile(side.*rounds, at));
    });
  }
  add_both(table, "max of all rounds", result, [&](const demo_side& side) {
    return format_nanoseconds(greatest_latency(side.*rounds));
  });
}

std::string count_cell(std::uint64_t value, bool must_be_zero, const palette& colours) {
  const std::string text = format_count(value);
  if (!must_be_zero) {
    return text;
  }
  return value == 0 ? colours.good(text) : colours.bad(text);
}

std::string echo_block(const demo_result& result, const palette& colours) {
  text_table table = two_columns(result);
  const auto add_count = [&](const char* name, std::uint64_t load_tally::*counter,
                             bool must_be_zero) {
    add_both(table, name, result, [&](const demo_side& side) {
      return count_cell(side.total().*counter, must_be_zero, colours);
    });
  };
  add_count("frames sent", &load_tally::sent_frames, false);
  add_count("frames echoed", &load_tally::echoed_frames, false);
  add_both(table, "bytes echoed", result, [](const demo_side& side) {
    return format_bytes(static_cast<double>(side.total().echoed_bytes));
  });
  add_count("lost", &load_tally::lost, true);
  add_count("corrupted", &load_tally::corrupted, true);
  add_count("out of order", &load_tally::out_of_order, true);
  add_count("foreign", &load_tally::foreign, true);
  add_count("duplicated", &load_tally::duplicated, true);
  add_count("connections broken", &load_tally::disconnected, true);
  return block(colours, "Every echo was checked", table.render(colours, indent),
               "Each frame carries its connection, its number and a checksum over random content; "
               "an echo counts only when all of that comes back to the connection that sent it, in "
               "order.");
}

std::string closed_block(const demo_result& result, const palette& colours) {
  text_table table = two_columns(result);
  add_both(table, "frames echoed, median round", result,
           [](const demo_side& side) { return format_rate(median(rates(side.closed))); });
  add_both(table, "slowest .. fastest round", result,
           [](const demo_side& side) { return rate_range(side.closed); });
  add_latencies(table, result, &demo_side::closed);
  const std::string sentence = fmt::format(
      "Closed loop: each of the {} connections sends its next frame when the last one is back, so "
      "the latency is mostly the queue of the others. The kernel's TCP takes most of this time, on "
      "{} cores that load and server share: a pool cannot make it much faster, and differences "
      "within the range of the rounds mean nothing.",
      format_count(result.connections), result.cores);
  return block(colours, "At full load", table.render(colours, indent), sentence);
}

std::string open_block(const demo_result& result, const palette& colours) {
  text_table table = two_columns(result);
  add_both(table, "frames echoed, median round", result,
           [](const demo_side& side) { return format_rate(median(rates(side.open))); });
  add_latencies(table, result, &demo_side::open);
  const std::string title = fmt::format("At a steady {}", format_rate(result.open_rate));
  return block(colours, title.c_str(), table.render(colours, indent),
               "Open loop, well below the limit: frames are due at fixed times whether or not the "
               "server keeps up, and each latency counts from the time due, so that no stall is "
               "hidden. Medians over the rounds.");
}

std::string class_block(const demo_result& result, const palette& colours) {
  text_table table({"buffer size", "in the ring", "handed out", "given back", "peak out",
                    "fallback", "held idle"});
  for (const class_snapshot& row : result.sides[0].idle.classes) {
    table.add_row({format_count(row.buffer_size) + " B", format_count(row.ring_size),
                   format_count(row.alloc_count), format_count(row.free_count),
                   format_count(row.peak_in_use), format_count(row.fallback_count),
                   count_cell(row.in_use, true, colours)});
  }
  return block(colours, "The pool, by size class", table.render(colours, indent),
               "Taken from the server while all connections were open and idle. \"Peak out\" is "
               "the most buffers that were out of the ring at once, those in threads' caches "
               "included; \"fallback\" counts buffers that came from beyond the ring because it "
               "was empty.");
}

std::string memory_block(const demo_result& result, const palette& colours) {
  text_table table = two_columns(result);
  const auto add = [&](const char* name, const side_text& text) {
    add_both(table, name, result, text);
  };
  add("buffers held, all idle",
      [&](const demo_side& side) { return count_cell(side.idle.buffers_in_use, true, colours); });
  add("buffers held, under load",
      [](const demo_side& side) { return format_count(side.loaded.buffers_in_use); });
  add("heap allocations on the data path", [&](const demo_side& side) {
    return count_cell(side.idle.heap_allocations, &side == &result.sides[0], colours);
  });
  add("resident, before the first frame", [](const demo_side& side) {
    return format_bytes(static_cast<double>(side.fresh.resident_bytes));
  });
  add("resident, under load", [](const demo_side& side) {
    return format_bytes(static_cast<double>(side.loaded.resident_bytes));
  });
  add("resident, all idle", [](const demo_side& side) {
    return format_bytes(static_cast<double>(side.idle.resident_bytes));
  });
  const std::string sentence = fmt::format(
      "Resident memory is the whole server process; the pool's buffers are part of it from the "
      "start, used or not. No idle connection holds a buffer on either side: memory follows the "
      "frames in flight. One buffer of 16 KiB kept for each of the {} connections would take {}.",
      format_count(result.connections), format_bytes(result.connections * 16384.0));
  return block(colours, "Memory of the server", table.render(colours, indent), sentence);
}

std::string verdict(const demo_result& result, const palette& colours) {
  const std::vector<std::string> failures = demo_failures(result);
  if (failures.empty()) {
    return '\n' + colours.good("All is well:") +
           fmt::format(" nothing lost, nothing corrupted, nothing held while idle; {:.0f} s.\n",
                       result.seconds);
  }
  std::string text = "\n";
  for (const std::string& failure : failures) {
    text += colours.bad("FAILED: ") + failure + '\n';
  }
  return text;
}

nlohmann::json snapshot_json(const server_snapshot& snapshot) {
  nlohmann::json classes = nlohmann::json::array();
  for (const class_snapshot& row : snapshot.classes) {
    classes.push_back({{"buffer_size", row.buffer_size},
                       {"ring_size", row.ring_size},
                       {"alloc_count", row.alloc_count},
                       {"free_count", row.free_count},
                       {"fallback_count", row.fallback_count},
                       {"peak_in_use", row.peak_in_use},
                       {"in_use", row.in_use}});
  }
  return {{"frames", snapshot.frames},
          {"bytes", snapshot.bytes},
          {"buffers_in_use", snapshot.buffers_in_use},
          {"heap_allocations_on_data_path", snapshot.heap_allocations},
          {"resident_bytes", snapshot.resident_bytes},
          {"classes", std::move(classes)}};
}

nlohmann::json rounds_json(const std::vector<load_tally>& rounds) {
  nlohmann::json list = nlohmann::json::array();
  for (const load_tally& round : rounds) {
    list.push_back({{"frames_per_second", round.frames_per_second()},
                    {"measured_seconds", round.measured_seconds},
                    {"latency_ns", histogram_json(round.latency)}});
  }
  return list;
}

}  // namespace

load_tally demo_side::total() const noexcept {
  load_tally sum;
  for (const load_tally& round : closed) {
    sum.merge_phase(round);
  }
  for (const load_tally& round : open) {
    sum.merge_phase(round);
  }
  return sum;
}

template <class Number>
Number median(std::vector<Number> values) {
  if (values.empty()) {
    return Number{};
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}
template double median(std::vector<double>);
template std::uint64_t median(std::vector<std::uint64_t>);

std::vector<std::string> demo_failures(const demo_result& result) {
  std::vector<std::string> failures;
  for (const demo_side& side : result.sides) {
    const load_tally total = side.total();
    if (total.faults() > 0) {
      failures.push_back(fmt::format("{}: {} frames lost, {} corrupted, {} faults of other kinds",
                                     side.name, total.lost, total.corrupted,
                                     total.faults() - total.lost - total.corrupted));
    }
    if (total.echoed_frames == 0) {
      failures.push_back(fmt::format("{}: not one frame came back", side.name));
    }
    if (side.idle.buffers_in_use > 0) {
      failures.push_back(fmt::format("{}: {} buffers were held while every connection was idle",
                                     side.name, side.idle.buffers_in_use));
    }
  }
  const std::uint64_t heap_allocations = result.sides[0].idle.heap_allocations;
  if (heap_allocations > 0) {
    failures.push_back(fmt::format("{}: {} heap allocations on the data path", result.sides[0].name,
                                   heap_allocations));
  }
  return failures;
}

std::string demo_report_text(const demo_result& result, const palette& colours) {
  std::string text = colours.title("ringpool demo") + '\n';
  text += wrap_text(
      fmt::format(
          "One frame server, twice: its buffers from a ringpool, and from malloc. Each holds {} "
          "TCP connections on the loopback interface and echoes the {} mix (mean {:.0f} bytes); "
          "both are driven by turns, {} full and {} steady rounds each.",
          format_count(result.connections), result.mix, result.mix_mean_bytes,
          result.sides[0].closed.size(), result.sides[0].open.size()),
      width, indent);
  text += echo_block(result, colours);
  text += closed_block(result, colours);
  text += open_block(result, colours);
  text += class_block(result, colours);
  text += memory_block(result, colours);
  return text + verdict(result, colours);
}

nlohmann::json demo_report_json(const demo_result& result) {
  nlohmann::json report{{"connections", result.connections},
                        {"mix", result.mix},
                        {"cores", result.cores},
                        {"loops", result.loops},
                        {"open_rate", result.open_rate},
                        {"seconds", result.seconds},
                        {"failures", demo_failures(result)}};
  for (const demo_side& side : result.sides) {
    const load_tally total = side.total();
    report["sides"][side.name] = {{"sent_frames", total.sent_frames},
                                  {"echoed_frames", total.echoed_frames},
                                  {"echoed_bytes", total.echoed_bytes},
                                  {"lost", total.lost},
                                  {"corrupted", total.corrupted},
                                  {"out_of_order", total.out_of_order},
                                  {"foreign", total.foreign},
                                  {"duplicated", total.duplicated},
                                  {"disconnected", total.disconnected},
                                  {"closed", rounds_json(side.closed)},
                                  {"open", rounds_json(side.open)},
                                  {"server",
                                   {{"fresh", snapshot_json(side.fresh)},
                                    {"loaded", snapshot_json(side.loaded)},
                                    {"idle", snapshot_json(side.idle)},
                                    {"last", snapshot_json(side.last)}}}};
  }
  return report;
}

}  // namespace ringpool::tools
