// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "advice.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t report_width = 100;
constexpr std::size_t note_indent = 12;
constexpr std::size_t most_json_sizes = 2000;

std::string shown_bytes(double bytes) { return format_bytes(bytes); }
std::string shown_bytes(std::uint64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

std::string head_text(const advice& given, const palette& colours) {
  const demand& wanted = given.wanted;
  std::string text = fmt::format("{}  {}\n", colours.title("ringpool advise"), given.source);
  text +=
      fmt::format("  {:<10}{} allocations, {}, each held {} on average; {} to {} bytes\n",
                  "traffic", format_count(static_cast<std::uint64_t>(wanted.sizes.allocations())),
                  format_rate(wanted.rate),
                  format_nanoseconds(static_cast<std::uint64_t>(wanted.hold_seconds * 1e9)),
                  wanted.sizes.bins().front().bytes, wanted.sizes.max_bytes());
  const auto note = [&](const char* kind, const std::string& line) {
    std::string wrapped = wrap_text(line, report_width, note_indent);
    text += fmt::format("  {:<10}{}", kind, wrapped.substr(std::min(note_indent, wrapped.size())));
  };
  for (const std::string& line : given.assumptions) {
    note("assumed", line);
  }
  for (const std::string& line : given.remarks) {
    note("remark", line);
  }
  return text;
}

void add_class_rows(text_table& table, const char* name, const set_forecast& set,
                    double allocations) {
  for (const class_forecast& one : set.classes) {
    const bool used = one.load.allocations > 0;
    table.add_row({name, format_count(one.setting.buffer_size), format_count(one.setting.capacity),
                   format_count(one.setting.elastic_capacity),
                   format_share(one.load.allocations / allocations),
                   used ? format_share(one.wasted_share) : "-",
                   format_count(one.load.held_quantile(0.5)),
                   format_count(one.load.held_quantile(0.999)), format_count(one.load.peak()),
                   used ? format_share(one.fallback_share) : "-"});
    name = "";
  }
  if (set.oversize.allocations > 0) {
    table.add_row({name, "larger", "-", "-", format_share(set.oversize_share), "-",
                   format_count(set.oversize.held_quantile(0.5)),
                   format_count(set.oversize.held_quantile(0.999)),
                   format_count(set.oversize.peak()), format_share(1.0)});
  }
}

std::string class_table(const advice& given, const palette& colours) {
  text_table table({"", "buffer", "ring", "elastic", "allocs", "wasted", "held p50", "p99.9",
                    "peak", "fallback"});
  const double allocations = given.wanted.sizes.allocations();
  add_class_rows(table, "today", given.today.expected, allocations);
  table.add_rule();
  add_class_rows(table, "advised", given.advised.expected, allocations);
  return table.render(colours);
}

std::string set_table(const advice& given, const palette& colours) {
  text_table table({"", "today", "advised"});
  const set_forecast& today = given.today.expected;
  const set_forecast& advised = given.advised.expected;
  const auto add = [&table](const char* name, std::string first, std::string second) {
    table.add_row({name, std::move(first), std::move(second)});
  };
  add("classes", format_count(today.classes.size()), format_count(advised.classes.size()));
  add("wasted, of the buffers' bytes", format_share(today.wasted_share),
      format_share(advised.wasted_share));
  add("wasted at a time, mean", shown_bytes(today.wasted_bytes), shown_bytes(advised.wasted_bytes));
  add("not from a ring", format_share(today.fallback_share), format_share(advised.fallback_share));
  add("of it from the heap", format_share(today.upstream_share),
      format_share(advised.upstream_share));
  add("resident", shown_bytes(today.resident_bytes), shown_bytes(advised.resident_bytes));
  add("address space", shown_bytes(today.reserved_bytes), shown_bytes(advised.reserved_bytes));
  if (given.today.replayed && given.advised.replayed) {
    const replay_result& first = *given.today.replayed;
    const replay_result& second = *given.advised.replayed;
    table.add_rule();
    add("replayed: wasted at a time, mean", shown_bytes(first.wasted_bytes),
        shown_bytes(second.wasted_bytes));
    add("replayed: not from a ring", format_share(first.fallback_share()),
        format_share(second.fallback_share()));
    add("replayed: resident", shown_bytes(first.resident_bytes),
        shown_bytes(second.resident_bytes));
  }
  return table.render(colours);
}

/// A word on what matters most: what the advice is worth.
std::string verdict(const advice& given, const palette& colours) {
  const set_forecast& today = given.today.expected;
  const set_forecast& advised = given.advised.expected;
  std::string line =
      fmt::format("Advised: {} of the buffers' bytes wasted, by {} {}; today {}, by {}",
                  format_share(advised.wasted_share), advised.classes.size(),
                  advised.classes.size() == 1 ? "class" : "classes",
                  format_share(today.wasted_share), today.classes.size());
  const bool better =
      advised.wasted_bytes <= today.wasted_bytes &&
      advised.fallback_share <=
          std::max(today.fallback_share, given.capacities.exhaustion + advised.oversize_share);
  return (better ? colours.good(line) : line) + '\n';
}

nlohmann::json load_json(const class_load& load) {
  return {{"mean", load.mean_held},
          {"p50", load.held_quantile(0.5)},
          {"p99", load.held_quantile(0.99)},
          {"p99_9", load.held_quantile(0.999)},
          {"peak", load.peak()},
          {"peak_error", load.peak_error()},
          {"timeline", load.timeline}};
}

nlohmann::json replay_json(const replay_result& one) {
  return {{"allocations", one.allocation_count},    {"fallbacks", one.fallback_count},
          {"fallback_share", one.fallback_share()}, {"from_upstream", one.upstream_count},
          {"wasted_bytes", one.wasted_bytes},       {"touched_buffers", one.touched_counts},
          {"resident_bytes", one.resident_bytes},   {"seconds", one.seconds}};
}

nlohmann::json set_json(const judged_set& set) {
  const set_forecast& all = set.expected;
  nlohmann::json classes = nlohmann::json::array();
  for (const class_forecast& one : all.classes) {
    classes.push_back({{"buffer_size", one.setting.buffer_size},
                       {"capacity", one.setting.capacity},
                       {"elastic_capacity", one.setting.elastic_capacity},
                       {"allocations", one.load.allocations},
                       {"wasted_share", one.wasted_share},
                       {"fallback_share", one.fallback_share},
                       {"upstream_share", one.upstream_share},
                       {"resident_bytes", one.resident_bytes},
                       {"held", load_json(one.load)}});
  }
  nlohmann::json result{
      {"classes", std::move(classes)},        {"wasted_share", all.wasted_share},
      {"wasted_bytes", all.wasted_bytes},     {"fallback_share", all.fallback_share},
      {"upstream_share", all.upstream_share}, {"oversize_share", all.oversize_share},
      {"resident_bytes", all.resident_bytes}, {"reserved_bytes", all.reserved_bytes}};
  if (set.replayed) {
    result["replayed"] = replay_json(*set.replayed);
  }
  return result;
}

/// The sizes that were asked for; where they are too many, in steps of whole cache lines or more.
nlohmann::json sizes_json(const size_histogram& sizes) {
  const auto bins = sizes.bins();
  const std::uint32_t step =
      bins.size() <= most_json_sizes
          ? 1
          : static_cast<std::uint32_t>(stride_of(sizes.max_bytes() / most_json_sizes + 1));
  std::map<std::uint32_t, size_bin> steps;
  for (const size_bin& bin : bins) {
    size_bin& sum = steps[(bin.bytes + step - 1) / step * step];
    sum.allocations += bin.allocations;
    sum.presence += bin.presence;
  }
  nlohmann::json result = nlohmann::json::array();
  for (const auto& [bytes, sum] : steps) {
    result.push_back(
        {{"bytes", bytes}, {"allocations", sum.allocations}, {"presence", sum.presence}});
  }
  return result;
}

}  // namespace

std::string format_share(double share) {
  if (share <= 0.0) {
    return "0";
  }
  return share < 1e-3 ? fmt::format("{:.2g} %", share * 100.0)
                      : fmt::format("{:.1f} %", share * 100.0);
}

std::string advice_text(const advice& given, const palette& colours) {
  std::string text = head_text(given, colours);
  text += '\n' + class_table(given, colours);
  text += '\n' + set_table(given, colours);
  if (!given.replay_note.empty()) {
    text += wrap_text(given.replay_note, report_width, 2);
  }
  return text + '\n' + verdict(given, colours);
}

nlohmann::json advice_json(const advice& given) {
  const demand& wanted = given.wanted;
  return {{"kind", "advice"},
          {"source", given.source},
          {"remarks", given.remarks},
          {"assumptions", given.assumptions},
          {"traffic",
           {{"timed", wanted.seen.timed},
            {"allocations", wanted.sizes.allocations()},
            {"rate", wanted.rate},
            {"hold_seconds", wanted.hold_seconds},
            {"seconds", wanted.sizes.allocations() / wanted.rate},
            {"sizes", sizes_json(wanted.sizes)}}},
          {"options",
           {{"cover", given.classes.cover},
            {"exhaustion", given.capacities.exhaustion},
            {"headroom", given.capacities.headroom}}},
          {"today", set_json(given.today)},
          {"advised", set_json(given.advised)},
          {"replay_note", given.replay_note}};
}

}  // namespace ringpool::tools
