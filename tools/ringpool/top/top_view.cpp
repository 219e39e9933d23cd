// SPDX-License-Identifier: MIT
#include "top/top_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

constexpr const char* dash = "-";
constexpr std::size_t shortest_bar = 10;
constexpr std::size_t longest_bar = 40;
constexpr std::size_t column_gap = 2;

// How fast counters of the server grew; nothing while there is one answer alone.
std::optional<double> rate_between(const top_picture& picture, std::uint64_t before,
                                   std::uint64_t now) {
  if (!picture.before || picture.seconds <= 0) {
    return std::nullopt;
  }
  return now > before ? static_cast<double>(now - before) / picture.seconds : 0.0;
}

std::optional<double> server_rate(const top_picture& picture, std::uint64_t server_stats::*member) {
  return rate_between(picture, picture.before ? picture.before->stats.*member : 0,
                      picture.now->stats.*member);
}

std::string per_second(std::optional<double> rate) {
  return rate ? format_rate(*rate) : fmt::format("{} /s", dash);
}

std::string micros(std::optional<double> duration_us) {
  return duration_us ? format_nanoseconds(static_cast<std::uint64_t>(*duration_us * 1000)) : dash;
}

// "231 k": under a heading that says what and per second.
std::string bare_rate(std::optional<double> rate) {
  if (!rate) {
    return dash;
  }
  if (*rate > 0 && *rate < 9.95) {
    return fmt::format("{:.1f}", std::max(*rate, 0.1));
  }
  const std::string text = format_rate(*rate);
  const std::string_view number = std::string_view(text).substr(0, text.size() - 2);
  return std::string(number.ends_with(' ') ? number.substr(0, number.size() - 1) : number);
}

// --- the head ---

std::string head_line(const top_picture& picture) {
  const live_stats& now = *picture.now;
  const server_stats& stats = now.stats;
  std::string line = fmt::format("{}  {}, {} {}, buffers from {}", picture.address,
                                 stats.backend == backend_kind::uring ? "uring" : "epoll",
                                 stats.loops, stats.loops == 1 ? "loop" : "loops",
                                 stats.buffers == buffer_kind::malloc ? "malloc" : "the pool");
  if (!now.version.empty()) {
    line += ", version " + now.version;
  }
  if (now.uptime_seconds) {
    line += ", up " + format_seconds(*now.uptime_seconds);
  }
  return line;
}

std::string painted(const palette& colours, verdict_level level, std::string_view text) {
  switch (level) {
    case verdict_level::ok: return colours.good(text);
    case verdict_level::warn: return colours.warn(text);
    case verdict_level::bad: break;
  }
  return colours.bad(text);
}

constexpr std::array<std::string_view, 3> level_words{"OK", "WARN", "BAD"};

std::string verdict_lines(const top_picture& picture, const palette& colours) {
  if (!picture.trouble.empty()) {
    std::string text = "GONE  " + picture.trouble;
    if (picture.now) {
      text += fmt::format("; what follows is of {}", picture.clock);
    }
    return colours.bad(text) + '\n';
  }
  const verdict said = verdict_of(picture);
  std::string result =
      painted(
          colours, said.level,
          fmt::format("{:<4}  {}", level_words[static_cast<std::size_t>(said.level)], said.text)) +
      '\n';
  for (std::size_t i = 1; i < said.findings.size(); ++i) {
    const finding& one = said.findings[i];
    result += painted(colours, one.level, fmt::format("      {}", one.text)) + '\n';
  }
  if (!picture.notice.empty()) {
    result += fmt::format("      {}\n", picture.notice);
  }
  return result;
}

// --- figures of the server ---

std::string rates_line(const std::vector<double>& rates, std::size_t cells) {
  constexpr std::array<const char*, 8> blocks{"\u2581", "\u2582", "\u2583", "\u2584",
                                              "\u2585", "\u2586", "\u2587", "\u2588"};
  const std::size_t from = rates.size() > cells ? rates.size() - cells : 0;
  double most = 0;
  for (std::size_t i = from; i < rates.size(); ++i) {
    most = std::max(most, rates[i]);
  }
  std::string line;
  for (std::size_t i = from; i < rates.size(); ++i) {
    const double share = most > 0 ? rates[i] / most : 0.0;
    line += blocks[static_cast<std::size_t>(std::lround(share * 7))];
  }
  return line;
}

std::string server_lines(const top_picture& picture, const top_layout& layout,
                         const palette& colours) {
  const live_stats& now = *picture.now;
  const server_stats& stats = now.stats;
  std::uint64_t closed_before = 0;
  if (picture.before) {
    closed_before = picture.before->stats.connections_closed();
  }
  std::uint64_t upstream = 0;
  for (const pool_stats& one : stats.classes) {
    upstream = std::max(upstream, one.upstream_in_use_bytes);
  }
  const std::optional<double> bytes = server_rate(picture, &server_stats::bytes);
  const auto label = [&](const char* name) { return colours.faint(fmt::format("{:<13}", name)); };

  std::string result;
  const std::string frames = per_second(server_rate(picture, &server_stats::frames));
  result += label("frames");
  result +=
      layout.blocks && layout.width > 28
          ? fmt::format("{:<12}{}\n", frames, rates_line(picture.frame_rates, layout.width - 28))
          : frames + '\n';
  result += fmt::format("{}{}/s\n", label("payload"), bytes ? format_bytes(*bytes) : dash);
  result +=
      fmt::format("{}{} open, {} idle, {} accepted, {} closed\n", label("connections"),
                  format_count(stats.connections_open), format_count(stats.connections_idle),
                  per_second(server_rate(picture, &server_stats::connections_accepted)),
                  per_second(rate_between(picture, closed_before, stats.connections_closed())));
  const std::optional<service_times> service =
      service_between(picture.before ? *picture.before : now, now);
  const auto time = [&](double service_times::*member) {
    return micros(service ? std::optional<double>((*service).*member) : std::nullopt);
  };
  result += fmt::format("{}{} median, {} 99 %, {} 99.9 %{}\n", label("service time"),
                        time(&service_times::p50_us), time(&service_times::p99_us),
                        time(&service_times::p999_us),
                        service && service->max_us ? ", " + micros(service->max_us) + " max" : "");
  result += fmt::format("{}{} resident, {} a connection, {} from upstream\n", label("memory"),
                        format_bytes(static_cast<double>(stats.resident_bytes)),
                        format_bytes(stats.bytes_per_connection()),
                        format_bytes(static_cast<double>(upstream)));
  return result;
}

std::string closed_line(const server_stats& stats, const palette& colours) {
  std::string list;
  for (std::size_t i = 1; i < stats.closed_by.size(); ++i) {
    if (stats.closed_by[i] != 0) {
      std::string name = to_string(static_cast<close_reason>(i));
      std::replace(name.begin(), name.end(), '_', ' ');
      list +=
          fmt::format("{}{} {}", list.empty() ? "" : ", ", format_count(stats.closed_by[i]), name);
    }
  }
  return colours.faint(fmt::format("{:<13}", "closed by")) + (list.empty() ? "none yet" : list) +
         '\n';
}

// --- the table of classes ---

// [####++....|..%%..]: held, cached, free, the peak; elastic beyond the ring
std::string bar_of(const pool_stats& one, std::size_t cells) {
  const double whole =
      static_cast<double>(std::max<std::uint64_t>(1, one.ring_size + one.elastic_capacity));
  // A part that is not empty takes a cell, even where its share is less than half of one.
  const auto cells_of = [&](std::uint64_t count) {
    const auto part = static_cast<std::size_t>(
        std::lround(static_cast<double>(count) / whole * static_cast<double>(cells)));
    return count != 0 ? std::max<std::size_t>(1, part) : part;
  };
  std::string bar(cells, '.');
  const auto fill = [&](std::size_t from, std::size_t count, char with) {
    from = std::min(from, cells);
    std::fill_n(bar.begin() + static_cast<std::ptrdiff_t>(from), std::min(count, cells - from),
                with);
  };
  const std::size_t ring = one.elastic_capacity == 0 ? cells : cells_of(one.ring_size);
  const std::size_t held = std::min(ring, cells_of(one.in_use));
  fill(held, std::min(ring - held, cells_of(one.cached)), '+');
  fill(0, held, '#');
  fill(ring, cells_of(one.elastic_in_use), '%');
  const std::size_t peak = cells_of(one.peak_in_use);
  if (peak != 0 && peak <= cells && bar[peak - 1] == '.') {
    bar[peak - 1] = '|';
  }
  return bar;
}

struct class_row {
  const pool_stats* before;  // nullptr: there is none
  const pool_stats* now;
};

struct column {
  const char* name;
  int importance;  // the least are left out first
  std::string (*text)(const top_picture&, const class_row&, const palette&);
};

std::optional<double> class_rate(const top_picture& picture, const class_row& row,
                                 std::uint64_t pool_stats::*member) {
  return row.before == nullptr ? std::nullopt
                               : rate_between(picture, row.before->*member, row.now->*member);
}

std::string alarmed(const palette& colours, std::optional<double> rate, verdict_level level) {
  const std::string text = bare_rate(rate);
  return rate && *rate > 0 ? painted(colours, level, text) : text;
}

constexpr std::array<column, 11> class_columns{{
    {"held", 9,
     [](const top_picture&, const class_row& row, const palette&) {
       return format_count(row.now->in_use);
     }},
    {"of", 8,
     [](const top_picture&, const class_row& row, const palette&) {
       return format_count(row.now->ring_size);
     }},
    {"cached", 3,
     [](const top_picture&, const class_row& row, const palette&) {
       return format_count(row.now->cached);
     }},
    {"peak", 4,
     [](const top_picture&, const class_row& row, const palette&) {
       return format_count(row.now->peak_in_use);
     }},
    {"elastic", 1,
     [](const top_picture&, const class_row& row, const palette&) {
       return row.now->elastic_capacity == 0 ? std::string(dash)
                                             : format_count(row.now->elastic_in_use);
     }},
    {"allocs/s", 7,
     [](const top_picture& picture, const class_row& row, const palette&) {
       return bare_rate(class_rate(picture, row, &pool_stats::alloc_count));
     }},
    {"frees/s", 5,
     [](const top_picture& picture, const class_row& row, const palette&) {
       return bare_rate(class_rate(picture, row, &pool_stats::free_count));
     }},
    {"fallbacks/s", 6,
     [](const top_picture& picture, const class_row& row, const palette& colours) {
       return alarmed(colours, class_rate(picture, row, &pool_stats::fallback_count),
                      verdict_level::warn);
     }},
    {"refused/s", 9,
     [](const top_picture& picture, const class_row& row, const palette& colours) {
       return alarmed(colours, class_rate(picture, row, &pool_stats::refusal_count),
                      verdict_level::bad);
     }},
    {"raids/s", 2,
     [](const top_picture& picture, const class_row& row, const palette&) {
       return bare_rate(class_rate(picture, row, &pool_stats::raid_count));
     }},
    {"waiting", 5,
     [](const top_picture& picture, const class_row& row, const palette& colours) {
       const std::string text =
           picture.now->waits_known ? format_count(row.now->waiting) : std::string(dash);
       return row.now->waiting != 0 ? colours.warn(text) : text;
     }},
}};

std::vector<class_row> rows_of(const top_picture& picture) {
  std::vector<class_row> rows;
  for (const pool_stats& one : picture.now->stats.classes) {
    class_row& row = rows.emplace_back(class_row{nullptr, &one});
    if (picture.before) {
      for (const pool_stats& then : picture.before->stats.classes) {
        row.before = then.buffer_size == one.buffer_size ? &then : row.before;
      }
    }
  }
  return rows;
}

// Room for a column: its name, and figures that come to stand there later.
std::size_t room_of(const column& one) {
  return column_gap + std::max<std::size_t>(std::string_view(one.name).size(), 6);
}

// The columns that fit beside name and shortest bar.
std::vector<const column*> chosen_columns(std::size_t width) {
  std::vector<const column*> by_importance;
  for (const column& one : class_columns) {
    by_importance.push_back(&one);
  }
  std::stable_sort(by_importance.begin(), by_importance.end(),
                   [](const column* a, const column* b) { return a->importance > b->importance; });
  std::size_t used = 2 + 7 + column_gap + 2 + shortest_bar;
  std::vector<const column*> chosen;
  for (const column* one : by_importance) {
    if (used + room_of(*one) > width) {
      break;
    }
    used += room_of(*one);
    chosen.push_back(one);
  }
  std::sort(chosen.begin(), chosen.end());  // as they stand in the array
  return chosen;
}

std::string class_table(const top_picture& picture, std::size_t width, const palette& colours) {
  const std::vector<const column*> chosen = chosen_columns(width);
  std::size_t used = 2 + 7 + column_gap + 2;
  for (const column* one : chosen) {
    used += room_of(*one);
  }
  const std::size_t cells = std::clamp(width > used ? width - used : 0, shortest_bar, longest_bar);
  std::vector<std::string> header{"class", "occupancy" + std::string(cells - 7, ' ')};
  for (const column* one : chosen) {
    header.push_back(fmt::format("{:>6}", one->name));
  }
  text_table table(std::move(header));
  const verdict said = verdict_of(picture);
  for (const class_row& row : rows_of(picture)) {
    std::string name = fmt::format("{} B", row.now->buffer_size);
    for (auto one = said.findings.rbegin(); one != said.findings.rend(); ++one) {
      if (one->buffer_size == row.now->buffer_size) {
        name = painted(colours, one->level, fmt::format("{} B", row.now->buffer_size));
      }
    }
    std::vector<std::string> texts{std::move(name), fmt::format("[{}]", bar_of(*row.now, cells))};
    for (const column* one : chosen) {
      texts.push_back(one->text(picture, row, colours));
    }
    table.add_row(std::move(texts));
  }
  return table.render(colours, 2, column_gap) +
         colours.faint("  # held  + cached  . free  | peak  % elastic, beyond the ring") + '\n';
}

std::string cut_lines(std::string_view text, std::size_t width) {
  std::string result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    result += cut_line(text.substr(0, end), width) + '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

}  // namespace

verdict verdict_of(const top_picture& picture) {
  if (!picture.now) {
    return {};
  }
  if (picture.now->status) {
    return *picture.now->status;
  }
  const server_stats& now = picture.now->stats;
  return judge(picture.before ? picture.before->stats : now, now, picture.seconds);
}

std::string cut_line(std::string_view line, std::size_t width) {
  std::string result;
  std::size_t used = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {  // ESC [ ... m
      const std::size_t end = std::min(line.find('m', i), line.size() - 1);
      result += line.substr(i, end - i + 1);
      i = end;
      continue;
    }
    const bool starts = (static_cast<unsigned char>(line[i]) & 0xc0U) != 0x80U;
    used += starts ? 1U : 0U;
    if (used <= width) {
      result += line[i];
    }
  }
  return result;
}

std::string render(const top_picture& picture, const top_layout& layout, const palette& colours) {
  std::string result = colours.title("ringpool top") + "  ";
  if (!picture.now) {
    result += picture.address + '\n' + verdict_lines(picture, colours);
    return cut_lines(result, layout.width);
  }
  result += head_line(picture) + '\n' + verdict_lines(picture, colours) + '\n';
  result +=
      server_lines(picture, layout, colours) + closed_line(picture.now->stats, colours) + '\n';
  if (!picture.now->stats.classes.empty()) {
    result += class_table(picture, layout.width, colours);
  } else {
    result += "  no pool: this server takes its buffers from malloc\n";
  }
  return cut_lines(result, layout.width);
}

}  // namespace ringpool::tools
