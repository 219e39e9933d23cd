// SPDX-License-Identifier: MIT
#include "load_report.hpp"

#include <fstream>

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "load_socket.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t text_width = 100;
constexpr std::size_t text_indent = 2;

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string loop_text(const load_phase& phase) {
  if (phase.rate > 0) {
    return fmt::format("open loop at {}", format_rate(phase.rate));
  }
  return fmt::format("closed loop, {} outstanding on each connection", phase.pipeline);
}

std::string latency_note(const load_phase& phase) {
  if (phase.rate > 0) {
    return "Each latency counts from the time at which the frame was due, so a server that falls "
           "behind shows it (no coordinated omission).";
  }
  return "Each latency counts from the time at which the frame was written. A closed loop asks "
         "less often when the server is slow; use --rate to see what a caller at a fixed rate "
         "would see.";
}

text_table latency_table(const load_phase& phase, const load_tally& tally) {
  text_table table({"", "p50", "p90", "p99", "p99.9", "max"});
  const auto add = [&](const char* name, const latency_histogram& histogram) {
    std::vector<std::string> cells{name};
    for (const double percent : {50.0, 90.0, 99.0, 99.9, 100.0}) {
      cells.push_back(histogram.count() == 0 ? "-"
                                             : format_nanoseconds(histogram.percentile(percent)));
    }
    table.add_row(std::move(cells));
  };
  add("latency", tally.latency);
  if (phase.rate > 0) {
    add("of it, send delay", tally.send_delay);
  }
  return table;
}

std::string idle_line(const load_result& result, const palette& colours) {
  const std::uint64_t faults = result.idle_before.faults() + result.idle_after.faults();
  const std::string line = fmt::format(
      "{} connections, set up in {:.1f} s; {} frames before and {} after the load, {} faults",
      format_count(result.idle_connections), result.idle_before.seconds,
      format_count(result.idle_before.exchanged), format_count(result.idle_after.exchanged),
      format_count(faults));
  return faults == 0 ? line : colours.bad(line);
}

std::string fault_line(const load_tally& tally, const palette& colours) {
  std::string line = fmt::format(
      "{} lost, {} corrupted, {} out of order, {} foreign, {} duplicated", format_count(tally.lost),
      format_count(tally.corrupted), format_count(tally.out_of_order), format_count(tally.foreign),
      format_count(tally.duplicated));
  if (tally.bad_lengths > 0) {
    line += fmt::format(", {} bad lengths", format_count(tally.bad_lengths));
  }
  if (tally.disconnected > 0) {
    line += fmt::format(", {} connections broken", format_count(tally.disconnected));
  }
  return tally.faults() == 0 ? colours.good(line) : colours.bad(line);
}

}  // namespace

std::string load_report_text(const load_setup& setup, const load_phase& phase,
                             const load_result& result, const palette& colours) {
  const load_tally& tally = result.tally;
  std::string text = fmt::format(
      "{}  {}, {} connections, {} mix (mean {:.0f} bytes)\n", colours.title("ringpool load"),
      setup.target.text, format_count(setup.connections), setup.mix.name(), setup.mix.mean_size());
  text += fmt::format("  {:<10}{}; {:.1f} s measured after {:.1f} s of warm-up{}\n", "load",
                      loop_text(phase), tally.measured_seconds, seconds(phase.warm_up),
                      result.interrupted ? " (interrupted)" : "");
  text += fmt::format("  {:<10}{} sent, {} came back; {} measured\n", "frames",
                      format_count(tally.sent_frames), format_count(tally.echoed_frames),
                      format_rate(tally.frames_per_second()));
  text += fmt::format("  {:<10}{} sent, {} came back; {}/s measured, each way\n", "bytes",
                      format_bytes(static_cast<double>(tally.sent_bytes)),
                      format_bytes(static_cast<double>(tally.echoed_bytes)),
                      format_bytes(tally.bytes_per_second()));
  text += fmt::format("  {:<10}{}\n", "faults", fault_line(tally, colours));
  if (result.idle_connections > 0) {
    text += fmt::format("  {:<10}{}\n", "idle", idle_line(result, colours));
  }
  if (tally.unsent > 0) {
    text += wrap_text(
        fmt::format(
            "{} frames fell due and could not be sent before the end: the rate is above what the "
            "connections took.",
            format_count(tally.unsent)),
        text_width, text_indent);
  }
  text += '\n' + latency_table(phase, tally).render(colours, text_indent);
  return text + wrap_text(latency_note(phase), text_width, text_indent);
}

nlohmann::json histogram_json(const latency_histogram& histogram) {
  return {{"count", histogram.count()},
          {"min", histogram.min()},
          {"mean", histogram.mean()},
          {"p50", histogram.percentile(50.0)},
          {"p90", histogram.percentile(90.0)},
          {"p99", histogram.percentile(99.0)},
          {"p99_9", histogram.percentile(99.9)},
          {"p99_99", histogram.percentile(99.99)},
          {"max", histogram.max()}};
}

nlohmann::json load_report_json(const load_setup& setup, const load_phase& phase,
                                const load_result& result) {
  const load_tally& tally = result.tally;
  const bool open = phase.rate > 0;
  nlohmann::json report{
      {"target", setup.target.text},
      {"connections", setup.connections},
      {"connect_seconds", result.connect_seconds},
      {"loops", setup.loops},
      {"seed", setup.seed},
      {"mix", {{"name", setup.mix.name()}, {"mean_bytes", setup.mix.mean_size()}}},
      {"mode", open ? "open" : "closed"},
      {"latency_counted_from", open ? "due" : "written"},
      {"warm_up_seconds", seconds(phase.warm_up)},
      {"measured_seconds", tally.measured_seconds},
      {"interrupted", result.interrupted},
      {"idle",
       {{"connections", result.idle_connections},
        {"setup_seconds", result.idle_before.seconds},
        {"exchanged_before", result.idle_before.exchanged},
        {"exchanged_after", result.idle_after.exchanged},
        {"lost", result.idle_before.lost + result.idle_after.lost},
        {"corrupted", result.idle_before.corrupted + result.idle_after.corrupted}}},
  };
  if (open) {
    report["rate"] = phase.rate;
    report["send_delay_ns"] = histogram_json(tally.send_delay);
  } else {
    report["pipeline"] = phase.pipeline;
  }
  report["frames"] = {{"sent", tally.sent_frames},
                      {"echoed", tally.echoed_frames},
                      {"measured", tally.measured_frames},
                      {"per_second", tally.frames_per_second()}};
  report["bytes"] = {{"sent", tally.sent_bytes},
                     {"echoed", tally.echoed_bytes},
                     {"measured", tally.measured_bytes},
                     {"per_second", tally.bytes_per_second()}};
  report["faults"] = {{"lost", tally.lost},
                      {"corrupted", tally.corrupted},
                      {"out_of_order", tally.out_of_order},
                      {"foreign", tally.foreign},
                      {"duplicated", tally.duplicated},
                      {"bad_lengths", tally.bad_lengths},
                      {"disconnected", tally.disconnected}};
  report["unsent"] = tally.unsent;
  report["latency_ns"] = histogram_json(tally.latency);
  return report;
}

void write_report(const std::string& file, const nlohmann::json& report) {
  std::ofstream out(file);
  out << report.dump(2) << '\n';
  out.flush();
  if (!out) {
    throw load_error(fmt::format("cannot write the report to '{}'", file));
  }
}

int load_exit_code(const load_result& result) noexcept {
  if (result.tally.faults() + result.idle_before.faults() + result.idle_after.faults() > 0) {
    return 1;
  }
  return result.interrupted ? 130 : 0;
}

}  // namespace ringpool::tools
