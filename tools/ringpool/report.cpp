// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

// Three significant digits: 1.23, 12.3, 123, and 1234 where there is no larger unit.
std::string three_digits(double value) {
  if (value < 9.995) {
    return fmt::format("{:.2f}", value);
  }
  if (value < 99.95) {
    return fmt::format("{:.1f}", value);
  }
  return fmt::format("{:.0f}", value);
}

template <std::size_t Count>
std::string scaled(double value, double step, const std::array<const char*, Count>& units) {
  std::size_t unit = 0;
  while (unit + 1 < Count && value >= step * 0.9995) {
    value /= step;
    ++unit;
  }
  if (unit == 0) {
    return fmt::format("{:.0f} {}", value, units[0]);
  }
  return fmt::format("{} {}", three_digits(value), units[unit]);
}

void pad(std::string& line, std::size_t count) { line.append(count, ' '); }

}  // namespace

std::string format_count(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) {
    digits.insert(at -= 3, 1, ',');
  }
  return digits;
}

std::string format_rate(double per_second) {
  constexpr std::array<const char*, 4> units{"/s", "k/s", "M/s", "G/s"};
  return scaled(per_second, 1000.0, units);
}

std::string format_bytes(double bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(bytes, 1024.0, units);
}

std::string format_nanoseconds(std::uint64_t duration) {
  constexpr std::array<const char*, 4> units{"ns", "us", "ms", "s"};
  return scaled(static_cast<double>(duration), 1000.0, units);
}

std::string format_seconds(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::max(0.0, seconds));
  if (whole < 3600) {
    return fmt::format("{}:{:02}", whole / 60, whole % 60);
  }
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {  // ESC [ ... m
      i = std::min(text.find('m', i), text.size());
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) {
      ++width;
    }
  }
  return width;
}

std::string wrap_text(std::string_view text, std::size_t width, std::size_t indent) {
  std::string result;
  std::string line;
  const auto end_line = [&] {
    if (line.empty()) {
      return;
    }
    result += std::string(indent, ' ') + line + '\n';
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (word.empty()) {
      continue;
    }
    if (!line.empty() && indent + display_width(line) + 1 + display_width(word) > width) {
      end_line();
    }
    if (!line.empty()) {
      line += ' ';
    }
    line += word;
  }
  end_line();
  return result;
}

std::string palette::paint(std::string_view code, std::string_view text) const {
  return enabled_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

bool wants_colour(int fd) noexcept {
  const char* const refused = std::getenv("NO_COLOR");
  if (refused != nullptr && *refused != '\0') {
    return false;
  }
  const char* const terminal = std::getenv("TERM");
  return ::isatty(fd) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

text_table::text_table(std::vector<std::string> header) : header_(std::move(header)) {}

void text_table::add_row(std::vector<std::string> cells) {
  cells.resize(header_.size());
  rows_.push_back(std::move(cells));
}

std::string text_table::render(const palette& colours, std::size_t indent, std::size_t gap) const {
  std::vector<std::size_t> widths;
  for (const std::string& cell : header_) {
    widths.push_back(display_width(cell));
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::size_t fill = widths[i] - display_width(row[i]);
      if (i > 0) {
        pad(line, gap + fill);
      }
      line += row[i];
      if (i == 0) {
        pad(line, fill);
      }
    }
    return line;
  };
  const std::string margin(indent, ' ');
  const std::string head = line_of(header_);
  std::string result = margin + colours.strong(head) + '\n';
  for (const auto& row : rows_) {
    result += margin +
              (row.empty() ? colours.faint(std::string(display_width(head), '-')) : line_of(row)) +
              '\n';
  }
  return result;
}

}  // namespace ringpool::tools
