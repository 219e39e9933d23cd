// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ringpool/census.hpp>
#include <ringpool/config.hpp>

#include "metrics/verdict.hpp"
#include "serve.hpp"

namespace ringpool::tools {
namespace {

using json = nlohmann::ordered_json;

json to_object(const pool_stats& stats) {
  return {{"buffer_size", stats.buffer_size},
          {"ring_size", stats.ring_size},
          {"alloc_count", stats.alloc_count},
          {"free_count", stats.free_count},
          {"fallback_count", stats.fallback_count},
          {"in_use", stats.in_use},
          {"cached", stats.cached},
          {"available", stats.available},
          {"peak_in_use", stats.peak_in_use},
          {"elastic_capacity", stats.elastic_capacity},
          {"elastic_in_use", stats.elastic_in_use},
          {"elastic_committed_bytes", stats.elastic_committed_bytes},
          {"spill_count", stats.spill_count},
          {"spill_in_use", stats.spill_in_use},
          {"upstream_alloc_count", stats.upstream_alloc_count},
          {"upstream_in_use_bytes", stats.upstream_in_use_bytes},
          {"oversize_count", stats.oversize_count},
          {"raid_count", stats.raid_count},
          {"refusal_count", stats.refusal_count},
          {"injected_count", stats.injected_count},
          {"waiting", stats.waiting},
          {"wait_count", stats.wait_count},
          {"wait_timeout_count", stats.wait_timeout_count},
          {"wait_total_ns", stats.wait_total_ns},
          {"misuse_count", stats.misuse_count}};
}

/// ADDR:PORT; empty where it is unknown.
std::string text_of(const ::sockaddr_storage& peer) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (peer.ss_family == 0 ||
      ::getnameinfo(reinterpret_cast<const ::sockaddr*>(&peer), sizeof peer, host, sizeof host,
                    port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  return peer.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                    : fmt::format("{}:{}", host, port);
}

json connections_of(const server_stats& stats) {
  json closed_by = json::object();
  for (std::size_t i = 1; i < stats.closed_by.size(); ++i) {
    closed_by[to_string(static_cast<close_reason>(i))] = stats.closed_by[i];
  }
  return {{"open", stats.connections_open},
          {"idle", stats.connections_idle},
          {"accepted", stats.connections_accepted},
          {"closed", stats.connections_closed()},
          {"closed_by", closed_by},
          {"turned_away", stats.connections_turned_away},
          {"refused", stats.connections_refused},
          {"slowed", stats.slowed_count},
          {"starved", stats.starved_count}};
}

json budgets_of(const server_stats& stats) {
  json largest = json::array();
  for (const heavy_peer& one : stats.largest_holders) {
    const std::string peer = text_of(one.peer);
    largest.push_back({{"bytes", one.bytes}, {"peer", peer.empty() ? json() : json(peer)}});
  }
  return {{"connection_bytes", stats.charged_bytes},
          {"room_bytes", stats.room_charged_bytes},
          {"over_limit", stats.over_limit_count},
          {"shed", stats.closed_by[static_cast<std::size_t>(close_reason::shed)]},
          {"largest", largest}};
}

/// `upper_ns` of the buckets but the last, which has none.
json service_time_of(const service_time_counts& times) {
  json upper = json::array();
  for (std::size_t i = 0; i + 1 < times.counts.size(); ++i) {
    upper.push_back(service_time_counts::upper_ns(i));
  }
  return {{"total_ns", times.total_ns}, {"upper_ns", upper}, {"counts", times.counts}};
}

/// Buckets that have any.
json size_histogram_of(const frame_size_counts& sizes) {
  json buckets = json::array();
  for (std::size_t i = 0; i < sizes.counts.size(); ++i) {
    if (sizes.counts[i] != 0) {
      buckets.push_back({{"le", frame_size_counts::upper_bytes(i)}, {"count", sizes.counts[i]}});
    }
  }
  return buckets;
}

json to_object(const recording_stats& stats) {
  if (stats.one_in == 0) {
    return nullptr;
  }
  return {{"one_in", stats.one_in},
          {"samples", stats.samples},
          {"dropped", stats.dropped},
          {"bytes", stats.bytes},
          {"stopped", stats.stopped}};
}

json to_object(const holder& one) {
  json result{{"site", symbol_of(one.frames.front())}};
  if (one.frames.size() > 1) {
    json& callers = result["callers"] = json::array();
    for (std::size_t i = 1; i < one.frames.size(); ++i) {
      callers.push_back(symbol_of(one.frames[i]));
    }
  }
  if (one.owner != nullptr) {
    result["owner"] = one.owner;
    result["owner_id"] = one.owner_id;
  }
  result["count"] = one.held_count;
  result["oldest_ms"] = one.oldest_ms;
  return result;
}

json to_object(const census& of) {
  constexpr std::size_t most = 5;
  json largest = json::array();
  for (std::size_t i = 0; i < std::min(most, of.holders.size()); ++i) {
    largest.push_back(to_object(of.holders[i]));
  }
  return {{"buffer_size", of.buffer_size},
          {"held", of.held_count},
          {"sampled", of.sample_count},
          {"largest", largest}};
}

}  // namespace

std::string to_json(const server_stats& stats, const told_besides& besides) {
  json classes = json::array();
  for (const pool_stats& one : stats.classes) {
    classes.push_back(to_object(one));
  }
  json retired_classes = json::array();
  for (const pool_stats& one : stats.retired_classes) {
    retired_classes.push_back(to_object(one));
  }
  const json result{{"time_ms", stats.time_ms},
                    {"uptime_s", stats.uptime_s},
                    {"buffers", stats.buffers == buffer_kind::pool ? "pool" : "malloc"},
                    {"backend", stats.backend == backend_kind::uring ? "uring" : "epoll"},
                    {"loops", stats.loops},
                    {"rings", stats.rings},
                    {"rooms",
                     {{"count", stats.rooms},
                      {"deliveries", stats.room_deliveries},
                      {"drops", stats.room_drops}}},
                    {"frames", stats.frames},
                    {"bytes", stats.bytes},
                    {"connections", connections_of(stats)},
                    {"budgets", budgets_of(stats)},
                    {"protocol_errors",
                     {{"zero_length", stats.zero_length_errors},
                      {"negative_length", stats.negative_length_errors},
                      {"too_long", stats.too_long_errors},
                      {"truncated", stats.truncated_errors}}},
                    {"size_histogram", size_histogram_of(stats.sizes)},
                    {"service_time", service_time_of(stats.service_time)},
                    {"classes", classes},
                    {"configuration",
                     {{"reloads", stats.reloads},
                      {"refused_reloads", stats.refused_reloads},
                      {"retired_sets", stats.retired_sets}}},
                    {"retired_classes", retired_classes},
                    {"buffers_in_use", stats.buffers_in_use},
                    {"kernel_buffers", stats.kernel_buffers},
                    {"receive_bytes", stats.receive_bytes},
                    {"recording", to_object(stats.recording)},
                    {"heap_allocations_on_data_path", stats.heap_allocations_on_data_path},
                    {"heap_allocations_counted", stats.heap_allocations_counted},
                    {"table_bytes", stats.table_bytes},
                    {"resident_bytes", stats.resident_bytes},
                    {"private_dirty_bytes", stats.private_dirty_bytes},
                    {"bytes_per_connection", stats.bytes_per_connection()}};
  json whole{{"version", fmt::format("{}.{}.{}", RINGPOOL_VERSION_MAJOR, RINGPOOL_VERSION_MINOR,
                                     RINGPOOL_VERSION_PATCH)}};
  if (besides.status != nullptr) {
    whole["status"] = to_json(*besides.status);
  }
  whole.update(result);
  if (besides.holders != nullptr && !besides.holders->empty()) {
    json& holders = whole["holders"] = json::array();
    for (const census& one : *besides.holders) {
      holders.push_back(to_object(one));
    }
  }
  return whole.dump(2) + "\n";
}

}  // namespace ringpool::tools
