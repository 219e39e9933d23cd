// SPDX-License-Identifier: MIT
#include "metrics/verdict.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "report.hpp"

namespace ringpool::tools {
namespace {

constexpr double crowded_share = 0.9;  // share of a ring that is held
constexpr std::int64_t window_ns = 1'000'000'000;

// 0.25, 3.5, 120, 231 k: what stands before "refusals/s".
std::string amount(double per_second) {
  if (per_second >= 999.5) {
    const std::string rate = format_rate(per_second);  // "231 k/s"
    return rate.substr(0, rate.size() - 2);
  }
  return per_second < 10 ? fmt::format("{:.2g}", per_second) : fmt::format("{:.0f}", per_second);
}

// How fast a counter grew; 0 where it fell.
class pace {
 public:
  explicit pace(double seconds) : seconds_(seconds) {}

  double operator()(std::uint64_t before, std::uint64_t now) const {
    return now > before && seconds_ > 0 ? static_cast<double>(now - before) / seconds_ : 0.0;
  }

 private:
  double seconds_;
};

using findings = std::vector<finding>;

void judge_waits(const pool_stats& before, const pool_stats& now, const pace& rate,
                 findings& found) {
  const std::string name = fmt::format("class {}", now.buffer_size);
  const double timeouts = rate(before.wait_timeout_count, now.wait_timeout_count);
  if (timeouts > 0) {
    found.push_back({verdict_level::bad,
                     fmt::format("{}: {} waits/s end without a buffer", name, amount(timeouts)),
                     now.buffer_size});
  }
  if (now.waiting > 0) {
    const bool stuck = before.waiting > 0 && before.free_count == now.free_count;
    found.push_back({stuck ? verdict_level::bad : verdict_level::warn,
                     fmt::format("{}: {} wait for a buffer{}", name, format_count(now.waiting),
                                 stuck ? ", and none is given back" : ""),
                     now.buffer_size});
  }
}

void judge_class(const pool_stats& before, const pool_stats& now, const pace& rate,
                 findings& found) {
  const std::string name = fmt::format("class {}", now.buffer_size);
  const auto add = [&](verdict_level level, std::string text) {
    found.push_back({level, std::move(text), now.buffer_size});
  };
  const bool full = now.available == 0 && now.ring_size > 0;
  // What a fault_plan refuses was asked for.
  const double refused =
      rate(before.refusal_count - std::min(before.refusal_count, before.injected_count),
           now.refusal_count - std::min(now.refusal_count, now.injected_count));
  const double oversize = rate(before.oversize_count, now.oversize_count);
  const double beyond = rate(before.fallback_count, now.fallback_count) - oversize;
  if (now.misuse_count > 0) {
    add(verdict_level::bad,
        fmt::format("{}: {} misused since the start: freed twice, or not its own", name,
                    format_count(now.misuse_count)));
  }
  if (refused > 0) {
    add(verdict_level::bad, fmt::format("{} {}: {} refusals/s", name,
                                        full ? "is exhausted" : "had no buffer", amount(refused)));
  }
  judge_waits(before, now, rate, found);
  const double spilt = rate(before.spill_count, now.spill_count);
  if (spilt > 0) {
    add(verdict_level::warn, fmt::format("{} {}: {} allocations/s from larger classes", name,
                                         full ? "is full" : "was full", amount(spilt)));
  }
  if (beyond > 0) {
    add(verdict_level::warn, fmt::format("{} {}: {} allocations/s from elastic memory or upstream",
                                         name, full ? "is full" : "was full", amount(beyond)));
  } else if (refused > 0 || spilt > 0) {
    // Told above.
  } else if (full) {
    add(verdict_level::warn, fmt::format("{} has no free buffer", name));
  } else if (now.utilization() >= crowded_share) {
    add(verdict_level::warn, fmt::format("{} is {:.0f} % held", name, now.utilization() * 100));
  }
  if (oversize > 0) {
    add(verdict_level::warn,
        fmt::format("{} requests/s are larger than class {}", amount(oversize), now.buffer_size));
  }
}

std::uint64_t protocol_errors(const server_stats& stats) noexcept {
  return stats.zero_length_errors + stats.negative_length_errors + stats.too_long_errors +
         stats.truncated_errors;
}

void judge_server(const server_stats& before, const server_stats& now, const pace& rate,
                  findings& found) {
  const auto add = [&](verdict_level level, double per_second, const char* what) {
    if (per_second > 0) {
      found.push_back({level, fmt::format("{} {}", amount(per_second), what), 0});
    }
  };
  add(verdict_level::bad, rate(before.connections_turned_away, now.connections_turned_away),
      "connections/s turned away: no file descriptor is left");
  add(verdict_level::bad, rate(before.connections_refused, now.connections_refused),
      "connections/s refused: no memory is left for them");
  add(verdict_level::warn, rate(before.starved_count, now.starved_count),
      "times/s a connection found no buffer, retries included");
  add(verdict_level::warn, rate(before.room_drops, now.room_drops),
      "frames/s not delivered to members of rooms");
  add(verdict_level::warn, rate(protocol_errors(before), protocol_errors(now)), "broken frames/s");
}

const pool_stats& class_before(const server_stats& before, const pool_stats& now) noexcept {
  const auto found =
      std::find_if(before.classes.begin(), before.classes.end(),
                   [&](const pool_stats& one) { return one.buffer_size == now.buffer_size; });
  return found == before.classes.end() ? now : *found;
}

verdict_level parse_level(const std::string& name) noexcept {
  return name == "ok"    ? verdict_level::ok
         : name == "bad" ? verdict_level::bad
                         : verdict_level::warn;
}

}  // namespace

const char* to_string(verdict_level level) noexcept {
  switch (level) {
    case verdict_level::ok: return "ok";
    case verdict_level::warn: return "warn";
    case verdict_level::bad: break;
  }
  return "bad";
}

bool restarted(const server_stats& before, const server_stats& now) noexcept {
  return now.frames < before.frames || now.connections_accepted < before.connections_accepted;
}

verdict judge(const server_stats& before, const server_stats& now, double seconds) {
  const server_stats& from = restarted(before, now) ? now : before;
  const pace rate(seconds);
  verdict result;
  for (const pool_stats& one : now.classes) {
    judge_class(class_before(from, one), one, rate, result.findings);
  }
  judge_server(from, now, rate, result.findings);
  std::stable_sort(result.findings.begin(), result.findings.end(),
                   [](const finding& a, const finding& b) { return a.level > b.level; });
  if (!result.findings.empty()) {
    result.level = result.findings.front().level;
    result.text = result.findings.front().text;
  } else {
    result.text =
        now.buffers == buffer_kind::malloc ? "all well: buffers come from malloc" : "all well";
  }
  return result;
}

nlohmann::ordered_json to_json(const verdict& said) {
  nlohmann::ordered_json found = nlohmann::ordered_json::array();
  for (const finding& one : said.findings) {
    nlohmann::ordered_json& row = found.emplace_back(
        nlohmann::ordered_json{{"level", to_string(one.level)}, {"text", one.text}});
    if (one.buffer_size != 0) {
      row["class"] = one.buffer_size;
    }
  }
  return {{"level", to_string(said.level)}, {"text", said.text}, {"findings", std::move(found)}};
}

verdict parse_verdict(const nlohmann::json& said) {
  verdict result;
  result.level = parse_level(said.at("level").get<std::string>());
  said.at("text").get_to(result.text);
  for (const nlohmann::json& one : said.value("findings", nlohmann::json::array())) {
    result.findings.push_back({parse_level(one.at("level").get<std::string>()),
                               one.at("text").get<std::string>(),
                               one.value("class", std::size_t{0})});
  }
  return result;
}

verdict verdict_keeper::judge_now(const server_stats& now, std::int64_t now_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (newer_ && restarted(newer_->stats, now)) {
    older_.reset();
    newer_.reset();
  }
  if (!newer_ || now_ns - newer_->at_ns >= window_ns) {
    older_ = std::move(newer_);
    newer_ = sample{now, now_ns};
  }
  if (!older_) {
    return judge(now, now, 0.0);
  }
  return judge(older_->stats, now, static_cast<double>(now_ns - older_->at_ns) / 1e9);
}

}  // namespace ringpool::tools
