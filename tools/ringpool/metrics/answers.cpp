// SPDX-License-Identifier: MIT
#include "answers.hpp"

#include <algorithm>
#include <charconv>
#include <ringpool/census.hpp>
#include <utility>

#include "page/page.hpp"
#include "serve.hpp"
#include "server_metrics.hpp"

namespace ringpool::tools {
namespace {

constexpr const char* plain_text = "text/plain; charset=utf-8";
constexpr const char* nothing_sampled =
    "who holds buffers is known where allocations are sampled: --sample-interval 128, or\n"
    "sample_interval = 128 in [pool] of the configuration file\n";

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// What is before the first `mark`; `text` keeps what is behind it.
std::string_view take_part(std::string_view& text, char mark) noexcept {
  const std::size_t end = std::min(text.find(mark), text.size());
  const std::string_view part = trimmed(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

/// RFC 9110, section 12.4.2: `q=0.5` of `;q=0.5`; 1 where it is missing, 0 where it is none.
double weight_of(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    std::string_view one = take_part(parameters, ';');
    if (one.starts_with("q=")) {
      one.remove_prefix(2);
      double weight = 0;
      std::from_chars(one.data(), one.data() + one.size(), weight);
      return weight >= 0 && weight <= 1 ? weight : 0;
    }
  }
  return 1;
}

}  // namespace

metrics_format preferred_format(std::string_view accept) {
  double open = 0;
  double plain = 0;
  while (!accept.empty()) {
    std::string_view range = take_part(accept, ',');
    const std::string_view type = take_part(range, ';');
    if (type == "application/openmetrics-text") {
      open = std::max(open, weight_of(range));
    } else if (type == "text/plain") {
      plain = std::max(plain, weight_of(range));
    }
  }
  return open > 0 && open >= plain ? metrics_format::openmetrics : metrics_format::prometheus;
}

http_answer answers::answer(std::string_view method, std::string_view path,
                            std::string_view accept) {
  if (method != "GET" && method != "HEAD") {
    return {405, plain_text, "GET and HEAD are accepted\n"};
  }
  if (path == "/metrics") {
    const metrics_format format = preferred_format(accept);
    return {200, std::string(content_type(format)), metrics_of(last_sight()->stats, format)};
  }
  if (path == "/stats.json") {
    const std::shared_ptr<const sight> seen = last_sight();
    return {200, "application/json", to_json(seen->stats, {.status = &seen->status})};
  }
  if (path == "/outstanding") {
    const std::shared_ptr<const std::string> text = last_outstanding();
    return text->empty() ? http_answer{404, plain_text, nothing_sampled}
                         : http_answer{200, plain_text, *text};
  }
  if (path == "/healthz") {
    return {200, plain_text, "ok\n"};
  }
  if (path == "/") {
    return {200, "text/html; charset=utf-8", std::string(page_html())};
  }
  return {404, plain_text, "there are /, /metrics, /stats.json, /outstanding and /healthz\n"};
}

std::shared_ptr<const answers::sight> answers::last_sight() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (last_ == nullptr || now - looked_ >= freshness) {
    sight seen{.stats = from_.stats(), .status = {}};
    seen.status =
        keeper_.judge_now(seen.stats, std::chrono::nanoseconds(now.time_since_epoch()).count());
    last_ = std::make_shared<const sight>(std::move(seen));
    looked_ = now;
  }
  return last_;
}

std::shared_ptr<const std::string> answers::last_outstanding() {
  const std::lock_guard lock(outstanding_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (outstanding_ == nullptr || now - counted_ >= freshness) {
    std::string text;
    for (const census& one : from_.holders()) {
      text += to_text(one);
    }
    outstanding_ = std::make_shared<const std::string>(std::move(text));
    counted_ = now;
  }
  return outstanding_;
}

}  // namespace ringpool::tools
