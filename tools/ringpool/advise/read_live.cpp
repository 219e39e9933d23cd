// SPDX-License-Identifier: MIT
#include "read_live.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "../report.hpp"
#include "../stats_client.hpp"
#include "input_file.hpp"

namespace ringpool::tools {
namespace {

using json = nlohmann::json;

constexpr const char* accepted_address =
    "ADDR:PORT of `ringpool serve --metrics`, such as 127.0.0.1:9464";

std::string fetch_statistics(const std::string& address) {
  try {
    return stats_client(address).fetch();
  } catch (const std::invalid_argument& error) {  // it says what is accepted
    throw read_error(error.what());
  } catch (const stats_error& error) {
    throw read_error(fmt::format("{}; accepted: {}", error.what(), accepted_address));
  }
}

/// A number of at most `most`; 0 where there is none of that name.
std::uint64_t number(const json& object, const char* name, std::uint64_t most) {
  const auto found = object.find(name);
  const bool good = found != object.end() && found->is_number_unsigned();
  return good ? std::min(found->get<std::uint64_t>(), most) : 0;
}

/// `count` allocations of one size, all held as long.
void add_samples(traffic& to, std::uint64_t size, std::uint64_t count, double held_ns) {
  const bool known = held_ns > 0 && held_ns < static_cast<double>(longest_time_ns);
  constexpr std::uint64_t most_weight = std::numeric_limits<std::uint32_t>::max();
  for (std::uint64_t left = count; left != 0; left -= std::min(left, most_weight)) {
    to.samples.push_back({.held_ns = known ? static_cast<std::int64_t>(held_ns) : -1,
                          .bytes = static_cast<std::uint32_t>(size),
                          .weight = static_cast<std::uint32_t>(std::min(left, most_weight))});
  }
}

/// Sizes of frames, where the server counts them: by whole cache lines up to a page.
std::vector<std::pair<std::uint64_t, std::uint64_t>> frame_sizes_of(const json& stats) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> sizes;
  const auto buckets = stats.find("size_histogram");
  if (buckets != stats.end() && buckets->is_array()) {
    for (const json& one : *buckets) {
      const std::uint64_t upper = one.is_object() ? number(one, "le", most_sample_bytes) : 0;
      const std::uint64_t count =
          one.is_object() ? number(one, "count", std::uint64_t{1} << 42) : 0;
      if (upper != 0 && count != 0) {
        sizes.emplace_back(upper, count);
      }
    }
  }
  return sizes;
}

}  // namespace

traffic traffic_of_statistics(const std::string& address, std::string_view text) {
  const json stats = json::parse(text, nullptr, false);
  const auto classes = stats.is_object() ? stats.find("classes") : stats.end();
  if (!stats.is_object() || classes == stats.end() || !classes->is_array()) {
    throw read_error(
        fmt::format("{}: its /stats.json is not that of a ringpool server; accepted: {}", address,
                    accepted_address));
  }
  const auto uptime = stats.find("uptime_s");
  const double uptime_ns =
      uptime != stats.end() && uptime->is_number() ? uptime->get<double>() * 1e9 : 0;
  traffic result;
  const auto sizes = frame_sizes_of(stats);
  std::uint64_t total = 0;
  std::uint64_t held = 0;
  for (const json& one : *classes) {
    if (!one.is_object()) {
      continue;
    }
    const std::uint64_t size = number(one, "buffer_size", most_sample_bytes);
    const std::uint64_t count = number(one, "alloc_count", std::uint64_t{1} << 42);
    const std::uint64_t in_use = number(one, "in_use", std::uint64_t{1} << 32);
    if (size == 0 || count == 0) {
      continue;
    }
    // Little's law: what is held = how often it is taken * how long it is held
    if (sizes.empty()) {
      add_samples(result, size, count,
                  uptime_ns * static_cast<double>(in_use) / static_cast<double>(count));
    }
    total += count;
    held += in_use;
    result.remarks.push_back(
        fmt::format("buffers of {} bytes: {} in use, {} at most so far", size, format_count(in_use),
                    format_count(number(one, "peak_in_use", ~std::uint64_t{0}))));
  }
  for (const auto& [upper, count] : sizes) {
    const auto all = static_cast<double>(std::max<std::uint64_t>(total, 1));
    add_samples(result, upper, count, uptime_ns * static_cast<double>(held) / all);
  }
  if (result.samples.empty() || total == 0) {
    throw read_error(fmt::format(
        "{}: its pool has given no buffer yet; accepted: a server with --buffers pool and traffic",
        address));
  }
  result.source =
      fmt::format("{}: a server with {} allocations so far", address, format_count(total));
  result.remarks.emplace_back(
      sizes.empty()
          ? "a server tells which class a buffer was of, not the size asked for: today's classes "
            "look as if they were full; `ringpool serve --record FILE` has the sizes"
          : "a server counts sizes by whole cache lines up to 4096 bytes, then by powers of two; "
            "`ringpool serve --record FILE` has them exactly, and when each was held");
  return result;
}

traffic read_live(const std::string& address) {
  return traffic_of_statistics(address, fetch_statistics(address));
}

}  // namespace ringpool::tools
