// SPDX-License-Identifier: MIT
#include "top/live_stats.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ringpool::tools {
namespace {

pool_stats parse_class(const nlohmann::json& row) {
  pool_stats one;
  row.at("buffer_size").get_to(one.buffer_size);
  row.at("ring_size").get_to(one.ring_size);
  row.at("alloc_count").get_to(one.alloc_count);
  row.at("free_count").get_to(one.free_count);
  row.at("fallback_count").get_to(one.fallback_count);
  row.at("in_use").get_to(one.in_use);
  row.at("cached").get_to(one.cached);
  row.at("available").get_to(one.available);
  row.at("peak_in_use").get_to(one.peak_in_use);
  row.at("elastic_capacity").get_to(one.elastic_capacity);
  row.at("elastic_in_use").get_to(one.elastic_in_use);
  row.at("upstream_in_use_bytes").get_to(one.upstream_in_use_bytes);
  row.at("oversize_count").get_to(one.oversize_count);
  row.at("raid_count").get_to(one.raid_count);
  row.at("refusal_count").get_to(one.refusal_count);
  row.at("misuse_count").get_to(one.misuse_count);
  one.injected_count = row.value("injected_count", one.injected_count);
  one.spill_count = row.value("spill_count", one.spill_count);
  one.waiting = row.value("waiting", one.waiting);
  one.wait_count = row.value("wait_count", one.wait_count);
  one.wait_timeout_count = row.value("wait_timeout_count", one.wait_timeout_count);
  return one;
}

void parse_connections(const nlohmann::json& said, server_stats& stats) {
  said.at("open").get_to(stats.connections_open);
  said.at("idle").get_to(stats.connections_idle);
  said.at("accepted").get_to(stats.connections_accepted);
  said.at("turned_away").get_to(stats.connections_turned_away);
  said.at("refused").get_to(stats.connections_refused);
  said.at("slowed").get_to(stats.slowed_count);
  said.at("starved").get_to(stats.starved_count);
  const nlohmann::json& closed = said.at("closed_by");
  for (std::size_t i = 1; i < stats.closed_by.size(); ++i) {
    stats.closed_by[i] = closed.value(to_string(static_cast<close_reason>(i)), std::uint64_t{0});
  }
}

void parse_optional(const nlohmann::json& said, live_stats& result) {
  result.version = said.value("version", std::string());
  if (said.contains("time_ms")) {
    result.time_ms = said.at("time_ms").get<std::int64_t>();
  }
  if (said.contains("uptime_s")) {
    result.uptime_seconds = said.at("uptime_s").get<double>();
  }
  if (said.contains("status")) {
    result.status = parse_verdict(said.at("status"));
  }
  if (said.contains("service_time_us") && said.at("service_time_us").is_object()) {
    const nlohmann::json& times = said.at("service_time_us");
    result.service = service_times{.p50_us = times.at("p50").get<double>(),
                                   .p99_us = times.at("p99").get<double>(),
                                   .p999_us = times.at("p999").get<double>(),
                                   .max_us = times.at("max").get<double>()};
  }
  if (said.contains("service_time")) {
    said.at("service_time").at("upper_ns").get_to(result.service_upper_ns);
    said.at("service_time").at("counts").get_to(result.service_counts);
  }
}

// Within the bucket in which it is, as if that were filled evenly.
double quantile_us(const std::vector<double>& upper_ns, const std::vector<double>& counts,
                   double rank) {
  double from = 0;
  for (std::size_t i = 0; i < upper_ns.size(); ++i) {
    if (rank <= counts[i]) {
      return (from + (upper_ns[i] - from) * rank / counts[i]) / 1000;
    }
    rank -= counts[i];
    from = upper_ns[i];
  }
  return from / 1000;
}

live_stats parse_whole(const nlohmann::json& said) {
  live_stats result;
  server_stats& stats = result.stats;
  stats.buffers =
      said.at("buffers").get<std::string>() == "malloc" ? buffer_kind::malloc : buffer_kind::pool;
  stats.backend =
      said.at("backend").get<std::string>() == "uring" ? backend_kind::uring : backend_kind::epoll;
  said.at("loops").get_to(stats.loops);
  said.at("frames").get_to(stats.frames);
  said.at("bytes").get_to(stats.bytes);
  said.at("rooms").at("drops").get_to(stats.room_drops);
  parse_connections(said.at("connections"), stats);
  const nlohmann::json& errors = said.at("protocol_errors");
  errors.at("zero_length").get_to(stats.zero_length_errors);
  errors.at("negative_length").get_to(stats.negative_length_errors);
  errors.at("too_long").get_to(stats.too_long_errors);
  errors.at("truncated").get_to(stats.truncated_errors);
  for (const nlohmann::json& row : said.at("classes")) {
    stats.classes.push_back(parse_class(row));
    result.waits_known = row.contains("waiting");
  }
  said.at("table_bytes").get_to(stats.table_bytes);
  said.at("resident_bytes").get_to(stats.resident_bytes);
  parse_optional(said, result);
  return result;
}

}  // namespace

live_stats parse_live_stats(std::string_view text) {
  const nlohmann::json said = nlohmann::json::parse(text, nullptr, false);
  if (!said.is_object()) {
    throw std::invalid_argument("what it says is not a JSON object");
  }
  try {
    return parse_whole(said);
  } catch (const nlohmann::json::exception& error) {
    // "[json.exception.out_of_range.403] key 'frames' not found"
    const std::string_view what = error.what();
    const std::size_t end = what.find("] ");
    throw std::invalid_argument(
        fmt::format("its statistics are not those of ringpool: {}",
                    end == std::string_view::npos ? what : what.substr(end + 2)));
  }
}

std::optional<service_times> service_between(const live_stats& before, const live_stats& now) {
  const std::size_t buckets = now.service_counts.size();
  if (now.service || buckets == 0 || before.service_counts.size() != buckets ||
      now.service_upper_ns.size() + 1 != buckets) {
    return now.service;
  }
  std::vector<double> grown(buckets);
  double all = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    const std::uint64_t then = std::min(before.service_counts[i], now.service_counts[i]);
    grown[i] = static_cast<double>(now.service_counts[i] - then);
    all += grown[i];
  }
  if (all <= 0) {
    return std::nullopt;
  }
  return service_times{.p50_us = quantile_us(now.service_upper_ns, grown, 0.5 * all),
                       .p99_us = quantile_us(now.service_upper_ns, grown, 0.99 * all),
                       .p999_us = quantile_us(now.service_upper_ns, grown, 0.999 * all),
                       .max_us = std::nullopt};
}

}  // namespace ringpool::tools
