// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "../report.hpp"
#include "input_file.hpp"
#include "readers.hpp"
#include "sample_sink.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t longest_line = 65536;
constexpr std::uint64_t most_count = 1'000'000'000'000;
constexpr std::uint64_t most_weight = std::numeric_limits<std::uint32_t>::max();

constexpr const char* accepted_headers =
    "a header line of the columns size,count or at_ns,held_ns,size[,weight]";

struct cell {
  std::string text;
  std::size_t column;  // of its first character, from 1
};

bool is_blank(char letter) noexcept { return letter == ' ' || letter == '\t'; }

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

/// Printable, and short enough for a message.
std::string quoted_text(std::string_view text) {
  std::string result(text.substr(0, 32));
  std::replace_if(
      result.begin(), result.end(), [](char letter) { return letter < ' ' || letter > '~'; }, '?');
  return "'" + result + (text.size() > 32 ? "...'" : "'");
}

class table_reader {
 public:
  explicit table_reader(const read_options& options)
      : options_(options),
        input_(open_input(options.path)),
        progress_(options, input_.total_bytes) {}

  traffic read() {
    read_header();
    const bool timed = has("at_ns");
    while (next_row()) {
      timed ? add_event() : add_count();
      progress_.at(offset_);
    }
    progress_.end();
    for (const auto& [size, count] : sizes_) {
      for (std::uint64_t left = count; left != 0;) {
        const std::uint64_t weight = std::min(left, most_weight);
        sink_.add({.bytes = size, .weight = static_cast<std::uint32_t>(weight)});
        left -= weight;
      }
    }
    if (sink_.empty()) {
      throw read_error(
          fmt::format("{}: no rows below its header; accepted: one or more, with a "
                      "size of 1 to {} bytes",
                      options_.path, most_sample_bytes));
    }
    traffic result = sink_.finish(timed);
    result.source = fmt::format("{}: {} rows, {} allocations", options_.path,
                                format_count(row_count_), format_count(allocation_count_));
    return result;
  }

 private:
  [[noreturn]] void fail(std::size_t column, std::string_view what, std::string_view accepted) {
    throw read_error(fmt::format("{}, line {}, column {}: {}; accepted: {}", options_.path, line_,
                                 column, what, accepted));
  }

  /// Without its end; nothing at the end of the file.
  [[nodiscard]] bool next_line() {
    text_.clear();
    int letter = 0;
    while ((letter = ::getc_unlocked(input_.file.get())) != EOF) {
      ++offset_;
      if (letter == '\n') {
        break;
      }
      if (text_.size() == longest_line) {
        ++line_;
        fail(text_.size(), "the line is too long",
             fmt::format("lines of up to {} characters", longest_line));
      }
      text_.push_back(static_cast<char>(letter));
    }
    if (letter == EOF && text_.empty()) {
      return false;
    }
    ++line_;
    if (!text_.empty() && text_.back() == '\r') {
      text_.pop_back();
    }
    if (line_ == 1 && text_.starts_with("\xef\xbb\xbf")) {
      text_.erase(0, 3);  // a byte order mark, as spreadsheets write it
    }
    return true;
  }

  /// The next line with something in it that is no comment, in cells.
  [[nodiscard]] bool next_row() {
    while (next_line()) {
      const std::string_view content = trimmed(text_);
      if (!content.empty() && content.front() != '#') {
        split();
        return true;
      }
    }
    return false;
  }

  void split() {
    cells_.clear();
    std::size_t at = 0;
    do {
      while (at < text_.size() && is_blank(text_[at])) {
        ++at;
      }
      if (at < text_.size() && text_[at] == '"') {
        at = take_quoted(at);
      } else {
        const std::size_t end = std::min(text_.find(',', at), text_.size());
        cells_.push_back({std::string(trimmed({text_.data() + at, end - at})), at + 1});
        at = end;
      }
    } while (at++ < text_.size());
  }

  /// From a quote to the comma behind the closing one, or to the end; "" inside is a quote.
  [[nodiscard]] std::size_t take_quoted(std::size_t begin) {
    std::string content;
    std::size_t at = begin + 1;
    for (; at < text_.size(); ++at) {
      if (text_[at] == '"') {
        if (at + 1 == text_.size() || text_[at + 1] != '"') {
          break;
        }
        ++at;
      }
      content.push_back(text_[at]);
    }
    if (at >= text_.size()) {
      fail(begin + 1, "a quote that is not closed in its line", "\"1024\"");
    }
    ++at;
    while (at < text_.size() && is_blank(text_[at])) {
      ++at;
    }
    if (at < text_.size() && text_[at] != ',') {
      fail(at + 1, "text behind a closed quote", "a comma or the end of the line");
    }
    cells_.push_back({std::string(trimmed(content)), begin + 1});
    return at;
  }

  void read_header() {
    if (!next_row()) {
      throw read_error(
          fmt::format("{}: an empty table; accepted: {}", options_.path, accepted_headers));
    }
    for (const cell& one : cells_) {
      const bool known = one.text == "size" || one.text == "count" || one.text == "at_ns" ||
                         one.text == "held_ns" || one.text == "weight";
      if (!known) {
        fail(one.column, quoted_text(one.text) + " is no column's name", accepted_headers);
      }
      if (!columns_.emplace(one.text, columns_.size()).second) {
        fail(one.column, "the column " + one.text + " is there twice", accepted_headers);
      }
    }
    const bool counts = has("size") && has("count") && columns_.size() == 2;
    const bool events = has("at_ns") && has("held_ns") && has("size") && !has("count");
    if (!counts && !events) {
      fail(1, "these columns do not make a table", accepted_headers);
    }
  }

  [[nodiscard]] bool has(std::string_view name) const { return columns_.contains(name); }

  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t least,
                                     std::uint64_t most) {
    const cell& one = cells_[columns_.find(name)->second];
    std::uint64_t value = 0;
    const char* const end = one.text.data() + one.text.size();
    const auto [stop, error] = std::from_chars(one.text.data(), end, value);
    if (one.text.empty() || stop != end || error != std::errc{} || value < least || value > most) {
      fail(one.column,
           one.text.empty() ? fmt::format("{} is missing", name)
                            : fmt::format("{} is no {}", quoted_text(one.text), name),
           fmt::format("a whole number from {} to {}", least, most));
    }
    return value;
  }

  void check_width() {
    ++row_count_;
    if (cells_.size() != columns_.size()) {
      const std::size_t column =
          cells_.size() > columns_.size() ? cells_[columns_.size()].column : text_.size() + 1;
      fail(column, fmt::format("{} cells", cells_.size()),
           fmt::format("{}, as in the header", columns_.size()));
    }
  }

  void add_count() {
    check_width();
    const auto size = static_cast<std::uint32_t>(number("size", 1, most_sample_bytes));
    const std::uint64_t count = number("count", 0, most_count);
    std::uint64_t& sum = sizes_[size];
    if (count > most_count - sum) {
      fail(cells_[columns_.find("count")->second].column,
           fmt::format("too many of size {} in all", size), fmt::format("up to {}", most_count));
    }
    sum += count;
    allocation_count_ += count;
  }

  void add_event() {
    check_width();
    traffic_sample sample;
    sample.at_ns = static_cast<std::int64_t>(number("at_ns", 0, longest_time_ns));
    const cell& held = cells_[columns_.find("held_ns")->second];
    const bool known = !held.text.empty() && held.text != "-1";
    sample.held_ns = known ? static_cast<std::int64_t>(number("held_ns", 0, longest_time_ns)) : -1;
    sample.bytes = static_cast<std::uint32_t>(number("size", 1, most_sample_bytes));
    if (has("weight")) {
      sample.weight = static_cast<std::uint32_t>(number("weight", 1, most_weight));
    }
    allocation_count_ += sample.weight;
    sink_.add(sample);
  }

  const read_options& options_;
  input_file input_;
  input_progress progress_;
  sample_sink sink_;
  std::map<std::string, std::size_t, std::less<>> columns_;
  std::map<std::uint32_t, std::uint64_t> sizes_;
  std::vector<cell> cells_;
  std::string text_;
  std::uint64_t line_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t row_count_ = 0;
  std::uint64_t allocation_count_ = 0;
};

}  // namespace

traffic read_table(const read_options& options) { return table_reader(options).read(); }

}  // namespace ringpool::tools
