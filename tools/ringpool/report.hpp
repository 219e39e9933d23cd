// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringpool::tools {

// --- figures as a person reads them ---

std::string format_count(std::uint64_t value);           ///< 2,312,311
std::string format_rate(double per_second);              ///< 231 k/s; three digits
std::string format_bytes(double bytes);                  ///< 4.10 MiB; three digits
std::string format_nanoseconds(std::uint64_t duration);  ///< 8.12 ms; three digits
std::string format_seconds(double seconds);              ///< 0:07, 12:34, 1:02:03

// --- layout ---

/// Columns that a text takes on a terminal: code points of its UTF-8, escape sequences not counted.
std::size_t display_width(std::string_view text) noexcept;

/// `text` in lines of at most `width` columns, each after `indent` spaces and ended by a newline.
/// A word that is longer than a line is left whole.
std::string wrap_text(std::string_view text, std::size_t width, std::size_t indent);

/// Escape sequences, or nothing at all when `enabled` is false.
class palette {
 public:
  explicit palette(bool enabled) noexcept : enabled_(enabled) {}

  [[nodiscard]] std::string title(std::string_view text) const { return paint("1;36", text); }
  [[nodiscard]] std::string strong(std::string_view text) const { return paint("1", text); }
  [[nodiscard]] std::string faint(std::string_view text) const { return paint("2", text); }
  [[nodiscard]] std::string good(std::string_view text) const { return paint("32", text); }
  [[nodiscard]] std::string warn(std::string_view text) const { return paint("1;33", text); }
  [[nodiscard]] std::string bad(std::string_view text) const { return paint("1;31", text); }

 private:
  [[nodiscard]] std::string paint(std::string_view code, std::string_view text) const;

  bool enabled_;
};

/// Whether `fd` is a terminal that shows colours and the user has not asked for none (NO_COLOR, see
/// no-color.org).
bool wants_colour(int fd) noexcept;

/// Rows of cells; the first column is flush left, all others flush right.
///
/// Invariant:     every row is as wide as every other one.
/// Thread-safety: none.
class text_table {
 public:
  explicit text_table(std::vector<std::string> header);

  void add_row(std::vector<std::string> cells);  ///< missing cells are empty, surplus ones dropped
  void add_rule() { rows_.push_back({}); }

  /// Each line starts with `indent` spaces; columns are `gap` apart; the header is painted by
  /// `colours`.
  [[nodiscard]] std::string render(const palette& colours, std::size_t indent = 2,
                                   std::size_t gap = 2) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;  // an empty one is a rule
};

}  // namespace ringpool::tools
