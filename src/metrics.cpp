// SPDX-License-Identifier: MIT
#include "ringpool/metrics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <utility>

#include "metrics_families.hpp"

namespace ringpool {
namespace {

template <class... Values>
[[noreturn]] void reject(const char* format, Values... values) {
  detail::throw_failure(detail::fail(errc::invalid_metric, format, values...));
}

// ---- What may be written ------------------------------------------------------------------------

constexpr int most_shown = 64;  // bytes of a text that an error quotes

int shown(std::string_view text) noexcept {
  return static_cast<int>(std::min<std::size_t>(text.size(), most_shown));
}

bool is_name(std::string_view text) noexcept {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && (text[0] < '0' || text[0] > '9') &&
         std::all_of(text.begin(), text.end(), fits);
}

/// Bytes of the UTF-8 sequence that text begins with; 0: none.
std::size_t sequence_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      return 0;
    }
  }
  // Overlong forms, surrogates, and what is above U+10FFFF (RFC 3629, section 4).
  const unsigned second = length > 2 ? byte(1) : 0x80;
  const bool wrong = (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
                     (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f);
  return wrong ? 0 : length;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

void check_label(const metric_label& label, std::initializer_list<std::string_view> taken) {
  if (!is_name(label.name) || label.name.starts_with("__")) {
    reject(
        "'%.*s' is no name of a label: accepted are letters, digits and _, not a digit first, "
        "and not two _ first",
        shown(label.name), label.name.data());
  }
  if (std::find(taken.begin(), taken.end(), label.name) != taken.end()) {
    reject("the label '%.*s' is set by the library: accepted is any other name", shown(label.name),
           label.name.data());
  }
  if (!is_utf8(label.value)) {
    reject("the value of the label '%.*s' is not UTF-8", shown(label.name), label.name.data());
  }
}

std::string_view suffix_of(metric_type type) noexcept {
  return type == metric_type::counter ? "_total" : type == metric_type::info ? "_info" : "";
}

void check_family(const metric_family& family) {
  const std::string_view name = family.name;
  if (!is_name(name)) {
    reject("'%.*s' is no name of a metric: accepted are letters, digits and _, not a digit first",
           shown(name), name.data());
  }
  const std::string_view suffix = suffix_of(family.type);
  if (!suffix.empty() && name.ends_with(suffix)) {
    reject("'%.*s': the suffix %s is added: accepted is the name without it", shown(name),
           name.data(), suffix.data());
  }
  if (const std::string_view unit = family.unit;
      !unit.empty() && !name.ends_with(std::string("_").append(unit))) {
    reject("'%.*s' has the unit '%.*s': accepted is a name that ends in _ and it", shown(name),
           name.data(), shown(unit), unit.data());
  }
  if (!is_utf8(family.help)) {
    reject("the help of '%.*s' is not UTF-8", shown(name), name.data());
  }
}

// ---- Text ---------------------------------------------------------------------------------------

void append_escaped(std::string& out, std::string_view text, bool quotes_too) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes_too) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

/// `,name="value"` of each.
std::string label_text(metric_labels labels, std::initializer_list<std::string_view> taken) {
  std::string out;
  const std::span<const metric_label> all = labels.all();
  for (std::size_t i = 0; i < all.size(); ++i) {
    check_label(all[i], taken);
    for (std::size_t before = 0; before < i; ++before) {
      if (all[before].name == all[i].name) {
        reject("the label '%.*s' is given twice", shown(all[i].name), all[i].name.data());
      }
    }
    out.append(",").append(all[i].name).append("=\"");
    append_escaped(out, all[i].value, true);
    out += '"';
  }
  return out;
}

void append_number(std::string& out, std::uint64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, std::end(digits), value).ptr);
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char digits[32];
    const std::string_view text(digits, std::to_chars(digits, std::end(digits), value).ptr);
    out += text;
    if (text.find_first_of(".e") == std::string_view::npos) {
      out += ".0";  // the canonical number of OpenMetrics: labels `le` compare as text
    }
  }
}

/// Exact: a sum of nanoseconds never seems to run backwards.
void append_seconds(std::string& out, std::uint64_t nanoseconds) {
  constexpr std::uint64_t second = 1'000'000'000;
  append_number(out, nanoseconds / second);
  char digits[16];
  const auto end = std::to_chars(digits, std::end(digits), second + nanoseconds % second).ptr;
  digits[0] = '.';  // the leading 1 kept the zeros
  out.append(digits, end);
}

std::string_view type_name(metric_type type, metrics_format format) noexcept {
  switch (type) {
    case metric_type::counter: return "counter";
    case metric_type::histogram: return "histogram";
    case metric_type::info: return format == metrics_format::openmetrics ? "info" : "gauge";
    case metric_type::gauge: break;
  }
  return "gauge";
}

void append_comment(std::string& out, std::string_view word, std::string_view name) {
  out.append("# ").append(word).append(" ").append(name).append(" ");
}

std::string comments_of(const metric_family& family, std::string_view sample_name,
                        metrics_format format) {
  const bool open = format == metrics_format::openmetrics;
  const std::string_view name = open ? family.name : sample_name;
  std::string out;
  append_comment(out, "HELP", name);
  append_escaped(out, family.help, open);
  out += '\n';
  append_comment(out, "TYPE", name);
  out.append(type_name(family.type, format)).append("\n");
  if (open && !family.unit.empty()) {
    append_comment(out, "UNIT", name);
    out.append(family.unit).append("\n");
  }
  return out;
}

bool same(const metric_family& a, const metric_family& b) noexcept {
  return a.type == b.type && a.unit == b.unit && a.help == b.help;
}

void check_buckets(const metric_histogram& values) {
  const std::span<const double> bounds = values.upper_bounds;
  if (values.counts.size() != bounds.size() + 1) {
    reject("a histogram of %zu upper bounds has %zu counts: accepted is one more than bounds",
           bounds.size(), values.counts.size());
  }
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) || (i != 0 && bounds[i] <= bounds[i - 1])) {
      reject("upper bound %zu of a histogram is %g: accepted are finite numbers that rise", i,
             bounds[i]);
    }
  }
}

}  // namespace

std::string_view content_type(metrics_format format) noexcept {
  return format == metrics_format::openmetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

// ---- Families -----------------------------------------------------------------------------------

metrics_writer::metrics_writer(metrics_format format) : format_(format) {
  families_.reserve(pool_metric_families().size());
  for (const metric_family& family : pool_metric_families()) {
    append_family(family, nullptr);
  }
}

void metrics_writer::append_family(const metric_family& family,
                                   std::unique_ptr<std::string> owned) {
  std::string sample_name(family.name);
  sample_name += suffix_of(family.type);
  std::string comments = comments_of(family, sample_name, format_);
  families_.push_back({family, std::move(sample_name), std::move(comments), {}, std::move(owned)});
  places_.emplace(family.name, families_.size() - 1);
}

auto metrics_writer::own_family(const metric_family& family) -> family_text& {
  if (const auto known = places_.find(family.name); known != places_.end()) {
    if (known->second < pool_metric_families().size()) {
      reject("'%.*s' is a metric of pools: accepted is any other name", shown(family.name),
             family.name.data());
    }
    family_text& found = families_[known->second];
    if (!same(found.family, family)) {
      reject("'%.*s' has another type, unit or help than before", shown(family.name),
             family.name.data());
    }
    return found;
  }
  check_family(family);
  auto owned = std::make_unique<std::string>();
  owned->append(family.name).append(family.unit).append(family.help);
  const std::string_view all = *owned;
  const std::size_t unit = family.name.size();
  const std::size_t help = unit + family.unit.size();
  append_family(
      {all.substr(0, unit), family.type, all.substr(unit, family.unit.size()), all.substr(help)},
      std::move(owned));
  return families_.back();
}

void metrics_writer::claim(std::string series) {
  const auto [place, is_new] = claimed_.insert(std::move(series));
  if (!is_new) {
    reject("%.*s is there already: accepted is each name once with the same labels", shown(*place),
           place->data());
  }
}

// ---- Pools --------------------------------------------------------------------------------------

/// Returns the labels that come before `class`, with their brace; `further` gets the caller's.
std::string metrics_writer::open_pool(std::string_view pool_name, metric_labels labels,
                                      std::string& further) {
  check_label({"pool", pool_name}, {});
  further = label_text(labels, {"pool", "class", "origin"});
  std::string first = "{pool=\"";
  append_escaped(first, pool_name, true);
  first += '"';
  claim("a pool with " + first + further + "}");
  return first;
}

void metrics_writer::add_class(std::string_view labels, std::string_view further,
                               const pool_stats& stats) {
  std::string common(labels);
  common += ",class=\"";
  append_number(common, std::uint64_t{stats.buffer_size});
  common.append("\"").append(further);
  for (const detail::class_series& one : detail::all_class_series()) {
    family_text& family = families_[one.family];
    std::string& out = family.samples;
    out.append(family.sample_name).append(common);
    if (!one.part.empty()) {
      out.append(",").append(one.part);
    }
    out += "} ";
    const std::uint64_t value = one.value(stats);
    one.scale == detail::metric_scale::one ? append_number(out, value) : append_seconds(out, value);
    out += '\n';
  }
}

void metrics_writer::add_set(std::string_view labels, std::string_view further,
                             std::uint64_t upstream_bytes) {
  family_text& family = families_[detail::set_family()];
  family.samples.append(family.sample_name).append(labels).append(further).append("} ");
  append_number(family.samples, upstream_bytes);
  family.samples += '\n';
}

void metrics_writer::add(std::string_view pool_name, const pool_stats& stats,
                         metric_labels labels) {
  std::string further;
  const std::string first = open_pool(pool_name, labels, further);
  add_class(first, further, stats);
  add_set(first, further, stats.upstream_in_use_bytes);
}

void metrics_writer::add(std::string_view pool_name, const multi_size_stats& stats,
                         metric_labels labels) {
  std::string further;
  const std::string first = open_pool(pool_name, labels, further);
  for (const pool_stats& one : stats.classes) {
    add_class(first, further, one);
  }
  add_set(first, further, stats.upstream_in_use_bytes);
}

void metrics_writer::add(std::string_view pool_name, const ring_buffer_pool& pool,
                         metric_labels labels) {
  add(pool_name, pool.stats(), labels);
}

void metrics_writer::add(std::string_view pool_name, const multi_size_ring_pool& pool,
                         metric_labels labels) {
  add(pool_name, pool.stats(), labels);
}

// ---- The program's own --------------------------------------------------------------------------

namespace {

/// `{a="b",c="d"}` of `,a="b",c="d"`; nothing of nothing.
std::string in_braces(std::string_view labels) {
  return labels.empty() ? std::string() : std::string("{").append(labels.substr(1)).append("}");
}

}  // namespace

void metrics_writer::add_sample(const metric_family& family, std::uint64_t value,
                                metric_labels labels) {
  const std::string text = in_braces(label_text(labels, {}));
  family_text& found = own_family(family);
  claim(found.sample_name + text);
  found.samples.append(found.sample_name).append(text).append(" ");
  append_number(found.samples, value);
  found.samples += '\n';
}

void metrics_writer::add_sample(const metric_family& family, double value, metric_labels labels) {
  const std::string text = in_braces(label_text(labels, {}));
  if (family.type == metric_type::counter && !(value >= 0)) {
    reject("'%.*s' is a counter of %g: accepted are 0 and more", shown(family.name),
           family.name.data(), value);
  }
  family_text& found = own_family(family);
  claim(found.sample_name + text);
  found.samples.append(found.sample_name).append(text).append(" ");
  append_number(found.samples, value);
  found.samples += '\n';
}

void metrics_writer::add_histogram(const metric_family& family, const metric_histogram& values,
                                   metric_labels labels) {
  const std::string further = label_text(labels, {"le"});
  check_buckets(values);
  family_text& found = own_family(family);
  claim(found.sample_name + in_braces(further));
  std::string& out = found.samples;
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < values.counts.size(); ++i) {
    below += values.counts[i];
    const bool last = i == values.upper_bounds.size();
    out.append(found.sample_name).append("_bucket{le=\"");
    append_number(out, last ? std::numeric_limits<double>::infinity() : values.upper_bounds[i]);
    out.append("\"").append(further).append("} ");
    append_number(out, below);
    out += '\n';
  }
  const std::string text = in_braces(further);
  out.append(found.sample_name).append("_sum").append(text).append(" ");
  append_number(out, values.sum);
  out.append("\n").append(found.sample_name).append("_count").append(text).append(" ");
  append_number(out, below);
  out += '\n';
}

// ---- The whole ----------------------------------------------------------------------------------

void metrics_writer::write_to(std::string& out) const {
  std::size_t bytes = 16;
  for (const family_text& one : families_) {
    bytes += one.comments.size() + one.samples.size();
  }
  out.reserve(out.size() + bytes);
  for (const family_text& one : families_) {
    if (!one.samples.empty()) {
      out.append(one.comments).append(one.samples);
    }
  }
  if (format_ == metrics_format::openmetrics) {
    out += "# EOF\n";
  }
}

std::string metrics_writer::text() const {
  std::string out;
  write_to(out);
  return out;
}

std::string metrics_text(std::string_view pool_name, const ring_buffer_pool& pool,
                         metrics_format format) {
  metrics_writer writer(format);
  writer.add(pool_name, pool);
  return writer.text();
}

std::string metrics_text(std::string_view pool_name, const multi_size_ring_pool& pool,
                         metrics_format format) {
  metrics_writer writer(format);
  writer.add(pool_name, pool);
  return writer.text();
}

}  // namespace ringpool
