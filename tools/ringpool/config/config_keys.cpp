// SPDX-License-Identifier: MIT
#include "config_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <limits>
#include <numeric>
#include <type_traits>

namespace ringpool::tools {
namespace {

using std::chrono::milliseconds;

constexpr bool live = true;
constexpr bool at_start = false;

constexpr std::int64_t any_size = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t longest_ms = 86'400'000;

template <class Enum>
using choice_words = std::vector<std::pair<std::string_view, Enum>>;

template <class Access>
config_key number(std::string_view name, std::string_view option, key_kind kind, bool when,
                  std::int64_t least, std::int64_t most, Access access) {
  config_key key{name, option, kind, when, least, most, {}, {}, {}};
  key.get = [access](const serve_options& options) -> config_value {
    return static_cast<std::int64_t>(access(options));
  };
  key.set = [access](serve_options& options, const config_value& value) {
    auto& member = access(options);
    member = static_cast<std::remove_reference_t<decltype(member)>>(std::get<std::int64_t>(value));
  };
  return key;
}

template <class Access>
config_key time(std::string_view name, std::string_view option, Access access) {
  config_key key{name, option, key_kind::milliseconds, live, 0, longest_ms, {}, {}, {}};
  key.get = [access](const serve_options& options) -> config_value {
    return std::int64_t{access(options).count()};
  };
  key.set = [access](serve_options& options, const config_value& value) {
    access(options) = milliseconds(std::get<std::int64_t>(value));
  };
  return key;
}

/// A flag or a text.
template <class Access>
config_key plain(std::string_view name, std::string_view option, key_kind kind, bool when,
                 Access access) {
  config_key key{name, option, kind, when, 0, 0, {}, {}, {}};
  key.get = [access](const serve_options& options) -> config_value { return access(options); };
  key.set = [access](serve_options& options, const config_value& value) {
    auto& member = access(options);
    member = std::get<std::remove_reference_t<decltype(member)>>(value);
  };
  return key;
}

template <class Enum, class Access>
config_key choice(std::string_view name, std::string_view option, bool when,
                  const choice_words<Enum>& words, Access access) {
  config_key key{name, option, key_kind::word, when, 0, 0, {}, {}, {}};
  for (const auto& [word, value] : words) {
    key.words.push_back(word);
  }
  key.get = [access, words](const serve_options& options) -> config_value {
    const auto found = std::find_if(words.begin(), words.end(),
                                    [&](const auto& one) { return one.second == access(options); });
    return std::string(found->first);
  };
  key.set = [access, words](serve_options& options, const config_value& value) {
    const auto found = std::find_if(words.begin(), words.end(), [&](const auto& one) {
      return one.first == std::get<std::string>(value);
    });
    access(options) = found->second;
  };
  return key;
}

// A member of serve_options, const or not.
#define MEMBER(which) \
  [](auto& options) -> auto& { return options.which; }

std::vector<config_key> pool_keys() {
  return {
      {"pool.class", "--class", key_kind::classes, live, 0, 0, {}, {}, {}},
      choice<zeroing>("pool.zero_on_free", "--zero-on-free", live,
                      {{"none", zeroing::none}, {"used", zeroing::used}, {"all", zeroing::all}},
                      MEMBER(zero_on_free)),
      plain("pool.hardened", "--hardened", key_kind::flag, live, MEMBER(hardened)),
      number("pool.elastic_capacity", "--elastic", key_kind::integer, live, 0, max_capacity,
             MEMBER(elastic_count)),
      number("pool.elastic_floor", "--elastic-floor", key_kind::integer, live, 0, max_capacity,
             MEMBER(elastic_floor)),
      time("pool.elastic_decay_ms", "--elastic-decay", MEMBER(elastic_decay)),
      number("pool.spill_classes", "--spill-classes", key_kind::integer, live, 0,
             max_class_count - 1, MEMBER(spill.class_count)),
      number("pool.spill_limit", "--spill-limit", key_kind::integer, live, 0, max_capacity,
             MEMBER(spill.buffer_limit)),
      number("pool.upstream_budget_bytes", "--upstream-budget", key_kind::bytes, live, 0, any_size,
             MEMBER(upstream_budget_bytes)),
      number("pool.cache_limit", "--cache-limit", key_kind::integer, live, 0,
             index_cache::max_items, MEMBER(cache_limit)),
      number("pool.sample_interval", "--sample-interval", key_kind::integer, live, 0,
             max_sample_interval, MEMBER(sampling.interval)),
      number("pool.sample_depth", "--sample-depth", key_kind::integer, live, 1, max_sample_depth,
             MEMBER(sampling.depth)),
      plain("pool.prefault", "--prefault", key_kind::flag, live, MEMBER(memory.prefault)),
      choice<huge_pages>("pool.huge_pages", "--huge-pages", live,
                         {{"none", huge_pages::none},
                          {"transparent", huge_pages::transparent},
                          {"reserved", huge_pages::reserved}},
                         MEMBER(memory.pages)),
      number("pool.numa_node", "--numa-node", key_kind::integer, live, -1, 1023,
             MEMBER(memory.numa_node)),
      plain("pool.lock", "--lock-memory", key_kind::flag, live, MEMBER(memory.lock)),
  };
}

std::vector<config_key> server_keys() {
  return {
      plain("server.listen", "--listen", key_kind::text, at_start, MEMBER(listen)),
      plain("server.port_file", "--port-file", key_kind::text, at_start, MEMBER(port_file)),
      plain("server.stats_file", "--stats-file", key_kind::text, live, MEMBER(stats_file)),
      plain("server.metrics", "--metrics", key_kind::text, at_start, MEMBER(metrics_listen)),
      plain("server.metrics_port_file", "--metrics-port-file", key_kind::text, at_start,
            MEMBER(metrics_port_file)),
      plain("server.record", "--record", key_kind::text, at_start, MEMBER(record_file)),
      number("server.record_limit_bytes", "--record-limit", key_kind::bytes, at_start, 4096,
             std::int64_t{1} << 40, MEMBER(record_limit_bytes)),
      number("server.record_one_in", "--record-one-in", key_kind::integer, at_start, 1, 1'000'000,
             MEMBER(record_one_in)),
      choice<backend_kind>("server.backend", "--backend", at_start,
                           {{"epoll", backend_kind::epoll}, {"uring", backend_kind::uring}},
                           MEMBER(backend)),
      choice<buffer_kind>("server.buffers", "--buffers", at_start,
                          {{"pool", buffer_kind::pool}, {"malloc", buffer_kind::malloc}},
                          MEMBER(buffers)),
      choice<server_mode>("server.mode", "--mode", at_start,
                          {{"echo", server_mode::echo}, {"room", server_mode::room}}, MEMBER(mode)),
      number("server.loops", "--loops", key_kind::integer, at_start, 0, 256, MEMBER(loops)),
      plain("server.pin", "--pin", key_kind::flag, at_start, MEMBER(pin)),
      number("server.max_frame_bytes", "--max-frame", key_kind::bytes, live, 1,
             max_frame_limit_bytes, MEMBER(max_frame_bytes)),
      number("server.send_queue_bytes", "--send-queue-bytes", key_kind::bytes, live, 1,
             std::int64_t{1} << 30, MEMBER(send_queue_bytes)),
      choice<slow_policy>("server.slow_member", "--slow-member", live,
                          {{"close", slow_policy::close}, {"skip", slow_policy::skip}},
                          MEMBER(slow)),
      plain("server.room_copies", "--room-copies", key_kind::flag, live, MEMBER(room_copies)),
      number("server.receive_bytes", "--receive-bytes", key_kind::bytes, at_start, 0, 1 << 20,
             MEMBER(receive_bytes)),
      number("server.receive_buffers", "--receive-buffers", key_kind::integer, at_start, 1, 32768,
             MEMBER(receive_buffers)),
      choice<idle_mode>("server.idle_mode", "--idle-mode", at_start,
                        {{"receive", idle_mode::receive}, {"poll", idle_mode::poll}}, MEMBER(idle)),
      time("server.send_timeout_ms", "--send-timeout", MEMBER(send_timeout)),
      time("server.frame_timeout_ms", "--frame-timeout", MEMBER(frame_timeout)),
      time("server.idle_timeout_ms", "--idle-timeout", MEMBER(idle_timeout)),
      time("server.drain_timeout_ms", "--drain-timeout", MEMBER(drain_timeout)),
  };
}

std::vector<config_key> budget_keys() {
  return {
      number("budgets.connection_bytes", "--connection-budget", key_kind::bytes, live, 0,
             std::int64_t{1} << 40, MEMBER(connection_budget_bytes)),
      number("budgets.room_bytes", "--room-budget", key_kind::bytes, at_start, 0,
             std::int64_t{1} << 40, MEMBER(room_budget_bytes)),
      choice<shed_policy>("budgets.shed", "--shed", live,
                          {{"off", shed_policy::off}, {"largest", shed_policy::largest}},
                          MEMBER(shed)),
  };
}

#undef MEMBER

std::vector<config_key> all_keys() {
  std::vector<config_key> keys{
      {"preset", "--preset", key_kind::preset, at_start, 0, 0, {}, {}, {}}};
  for (std::vector<config_key>& some : std::array{server_keys(), budget_keys(), pool_keys()}) {
    std::move(some.begin(), some.end(), std::back_inserter(keys));
  }
  return keys;
}

template <class Access>
class_key class_number(std::string_view leaf, key_kind kind, std::int64_t least, std::int64_t most,
                       bool needed, Access access) {
  class_key key{leaf, kind, least, most, needed, {}, {}};
  key.get = [access](const size_class& one) -> std::optional<config_value> {
    return static_cast<std::int64_t>(access(one));
  };
  key.set = [access](size_class& one, const config_value& value) {
    access(one) = static_cast<std::size_t>(std::get<std::int64_t>(value));
  };
  return key;
}

/// A setting of a class that is as the pool's where it is not given.
template <class Value>
class_key class_setting(std::string_view leaf, std::int64_t most,
                        std::optional<Value> class_settings::*member) {
  using stored = std::conditional_t<std::is_same_v<Value, bool>, bool, std::int64_t>;
  const auto kind = std::is_same_v<Value, bool> ? key_kind::flag : key_kind::integer;
  class_key key{leaf, kind, 0, most, false, {}, {}};
  key.get = [member](const size_class& one) -> std::optional<config_value> {
    const auto& value = one.settings.*member;
    return value ? std::optional<config_value>(static_cast<stored>(*value)) : std::nullopt;
  };
  key.set = [member](size_class& one, const config_value& value) {
    one.settings.*member = static_cast<Value>(std::get<stored>(value));
  };
  return key;
}

std::string describe(key_kind kind, std::int64_t least, std::int64_t most) {
  const std::string range =
      most == any_size ? fmt::format("{} and more", least) : fmt::format("{} to {}", least, most);
  switch (kind) {
    case key_kind::flag: return "true or false";
    case key_kind::text: return "text in quotes";
    case key_kind::bytes: return range + ", or text such as \"64KiB\"";
    case key_kind::milliseconds: return range + ", or text such as \"10s\"";
    case key_kind::classes: return "[[pool.class]] tables with buffer_size and capacity";
    case key_kind::preset: return "the name of a preset in quotes";
    default: return range;
  }
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char one : text) {
    const auto code = static_cast<unsigned char>(one);
    if (one == '"' || one == '\\') {
      result += '\\';
      result += one;
    } else if (code < 0x20 || code == 0x7f) {
      result += fmt::format("\\u{:04X}", code);
    } else {
      result += one;
    }
  }
  return result + '"';
}

}  // namespace

std::string_view config_key::table() const noexcept {
  const std::size_t dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
}

std::string_view config_key::leaf() const noexcept {
  const std::size_t dot = name.find('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

const std::vector<config_key>& config_keys() {
  static const std::vector<config_key> keys = all_keys();
  return keys;
}

const config_key* find_config_key(std::string_view name) {
  const auto& keys = config_keys();
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const config_key& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

const std::vector<class_key>& class_keys() {
  static const std::vector<class_key> keys{
      class_number(
          "buffer_size", key_kind::bytes, 1, max_buffer_size, true,
          [](auto& one) -> auto& { return one.buffer_size; }),
      class_number(
          "capacity", key_kind::integer, 1, max_capacity, true,
          [](auto& one) -> auto& { return one.capacity; }),
      class_setting("elastic_capacity", max_capacity, &class_settings::elastic_capacity),
      class_setting("elastic_floor", max_capacity, &class_settings::elastic_floor),
      class_setting("cache_limit", index_cache::max_items, &class_settings::cache_limit),
      class_setting("spill_limit", max_capacity, &class_settings::spill_limit),
      class_setting("prefault", 0, &class_settings::prefault),
  };
  return keys;
}

std::string describe_accepted(const config_key& key) {
  if (key.kind != key_kind::word) {
    return describe(key.kind, key.least, key.most);
  }
  std::string result;
  for (std::size_t i = 0; i < key.words.size(); ++i) {
    result += i == 0 ? "" : i + 1 == key.words.size() ? " or " : ", ";
    result += in_quotes(key.words[i]);
  }
  return result;
}

std::string describe_accepted(const class_key& key) {
  const std::string range = describe(key.kind, key.least, key.most);
  return key.leaf == "capacity" ? "powers of two from " + range : range;
}

bool parse_quantity(key_kind kind, std::string_view text, std::int64_t& out) {
  using units = std::vector<std::pair<std::string_view, std::int64_t>>;
  static const units of_bytes{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}};
  static const units of_time{{"ms", 1}, {"min", 60'000}, {"s", 1000}, {"h", 3'600'000}};
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) {
    return false;
  }
  const std::string_view unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  for (const auto& [name, factor] : kind == key_kind::bytes ? of_bytes : of_time) {
    if (unit == name && number <= std::numeric_limits<std::int64_t>::max() / factor) {
      out = number * factor;
      return true;
    }
  }
  return false;
}

std::string_view nearest_name(std::string_view wrong, const std::vector<std::string_view>& names) {
  std::string_view best;
  constexpr std::size_t longest = 64;
  if (wrong.size() > longest) {
    return best;
  }
  std::size_t best_distance = std::max<std::size_t>(2, wrong.size() / 3);
  std::vector<std::size_t> row;
  for (const std::string_view name : names) {
    row.resize(name.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < wrong.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < name.size(); ++j) {
        const std::size_t changed = diagonal + (wrong[i] == name[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() <= best_distance && (best.empty() || row.back() < best_distance)) {
      best = name;
      best_distance = row.back();
    }
  }
  return best;
}

std::string to_text(const config_value& value) {
  if (const auto* const flag = std::get_if<bool>(&value)) {
    return *flag ? "true" : "false";
  }
  if (const auto* const number = std::get_if<std::int64_t>(&value)) {
    return std::to_string(*number);
  }
  return in_quotes(std::get<std::string>(value));
}

std::string value_text(const config_key& key, const serve_options& options) {
  if (key.kind == key_kind::preset) {
    return in_quotes(options.preset);
  }
  if (key.kind != key_kind::classes) {
    return to_text(key.get(options));
  }
  std::string result;
  for (const size_class& one : options.classes) {
    result += fmt::format("{}{}:{}", result.empty() ? "" : " ", one.buffer_size, one.capacity);
    for (const class_key& each : class_keys()) {
      if (const auto value = each.get(one); value && !each.needed) {
        result += fmt::format(",{}={}", each.leaf, to_text(*value));
      }
    }
  }
  return result;
}

std::string to_toml(const serve_options& options) {
  std::string result;
  std::string_view table;
  for (const config_key& key : config_keys()) {
    if (!key.get) {
      continue;
    }
    if (key.table() != table) {
      table = key.table();
      result += fmt::format("{}[{}]\n", result.empty() ? "" : "\n", table);
    }
    result += fmt::format("{} = {}\n", key.leaf(), to_text(key.get(options)));
  }
  for (const size_class& one : options.classes) {
    result += "\n[[pool.class]]\n";
    for (const class_key& key : class_keys()) {
      if (const auto value = key.get(one); value) {
        result += fmt::format("{} = {}\n", key.leaf, to_text(*value));
      }
    }
  }
  return result;
}

}  // namespace ringpool::tools
