// SPDX-License-Identifier: MIT
#include "toml_config.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <utility>

#include "config_keys.hpp"
#include "presets.hpp"

namespace ringpool::tools {
namespace {

using position = toml::source_position;

constexpr std::size_t most_faults = 20;
/// Of "a.b.c": three. toml++ makes tables inside of each other of them, and frees those by
/// recursion.
constexpr std::size_t most_key_parts = 16;

bool is_before(const position& a, const position& b) noexcept {
  return std::pair(a.line, a.column) < std::pair(b.line, b.column);
}

/// The tables, the keys, and where in the text each of them was set.
class reader {
 public:
  reader(std::string_view file, serve_options& options) : file_(file), options_(options) {}

  void read(const toml::table& root, const std::function<void(serve_options&)>& overlay) {
    for (const auto& [key, node] : root) {
      const std::string_view name = key.str();
      if (name == "server" || name == "budgets" || name == "pool") {
        read_table(name, node, key.source().begin);
      } else if (name == "preset") {
        set(*find_config_key(name), node, key.source().begin);
      } else {
        unknown("", name, key.source().begin);
      }
    }
    if (overlay) {
      overlay(options_);
    }
    if (faults_.empty()) {
      check_together();
    }
  }

  /// Fault texts in the order of the file.
  std::vector<std::string> take_faults() {
    std::stable_sort(faults_.begin(), faults_.end(),
                     [](const fault& a, const fault& b) { return is_before(a.where, b.where); });
    std::vector<std::string> result;
    for (const fault& one : faults_) {
      if (result.size() == most_faults) {
        result.push_back(fmt::format("{}: and {} more", file_, faults_.size() - most_faults));
        break;
      }
      result.push_back(
          fmt::format("{}:{}:{}: {}", file_, one.where.line, one.where.column, one.text));
    }
    return result;
  }

 private:
  struct fault {
    position where;
    std::string text;
  };

  void complain(const position& where, std::string_view key, std::string_view what) {
    faults_.push_back({where, fmt::format("{}: {}", key, what)});
  }

  void wrong(const position& where, std::string_view key, std::string_view what,
             std::string_view accepted) {
    complain(where, key, fmt::format("{}; accepted: {}", what, accepted));
  }

  void unknown(std::string_view table, std::string_view leaf, const position& where) {
    const std::string name = table.empty() ? std::string(leaf) : fmt::format("{}.{}", table, leaf);
    std::vector<std::string_view> leaves;  // of this table, and all names in full
    std::vector<std::string_view> names;
    for (const config_key& key : config_keys()) {
      names.push_back(key.name);
      if (key.table() == table) {
        leaves.push_back(key.leaf());
      }
    }
    if (table.empty()) {
      leaves.insert(leaves.end(), {"server", "budgets", "pool"});
    }
    std::string hint = "see docs/configuration.md for all keys";
    if (const auto near = nearest_name(leaf, leaves); !near.empty()) {
      hint = fmt::format("did you mean {}{}{}?", table, table.empty() ? "" : ".", near);
    } else if (const config_key* const other = elsewhere(leaf); other != nullptr) {
      hint = fmt::format("did you mean {}?", other->name);
    } else if (const auto full = nearest_name(name, names); !full.empty()) {
      hint = fmt::format("did you mean {}?", full);
    }
    complain(where, name, "there is no such key; " + hint);
  }

  /// A key of this name in any table.
  static const config_key* elsewhere(std::string_view leaf) {
    const auto& keys = config_keys();
    const auto found = std::find_if(keys.begin(), keys.end(),
                                    [&](const config_key& key) { return key.leaf() == leaf; });
    return found == keys.end() ? nullptr : &*found;
  }

  void read_table(std::string_view table, const toml::node& node, const position& where) {
    const toml::table* const entries = node.as_table();
    if (entries == nullptr) {
      wrong(where, table, "not a table", fmt::format("[{}] with keys below it", table));
      return;
    }
    for (const auto& [key, value] : *entries) {
      const config_key* const known = find_config_key(fmt::format("{}.{}", table, key.str()));
      if (known == nullptr) {
        unknown(table, key.str(), key.source().begin);
      } else if (known->kind == key_kind::classes) {
        places_.emplace_back(known->option, std::pair(known->name, key.source().begin));
        read_classes(value, key.source().begin);
      } else {
        set(*known, value, key.source().begin);
      }
    }
  }

  void set(const config_key& key, const toml::node& node, const position& where) {
    places_.emplace_back(key.option, std::pair(key.name, where));
    if (key.kind == key_kind::preset) {
      const auto name = node.value_exact<std::string>();
      if (!name || find_preset(*name) == nullptr) {
        wrong(where, key.name, "no such preset", preset_names());
      }
      return;  // it was read before all others
    }
    if (const auto value = value_of(key, node, where); value) {
      key.set(options_, *value);
    }
  }

  std::optional<config_value> value_of(const config_key& key, const toml::node& node,
                                       const position& where) {
    switch (key.kind) {
      case key_kind::flag:
        if (const auto flag = node.value_exact<bool>(); flag) {
          return *flag;
        }
        break;
      case key_kind::text:
        if (auto text = node.value_exact<std::string>(); text) {
          return std::move(*text);
        }
        break;
      case key_kind::word:
        if (auto word = node.value_exact<std::string>();
            word && std::find(key.words.begin(), key.words.end(), *word) != key.words.end()) {
          return std::move(*word);
        }
        break;
      default:
        if (const auto number = number_of(key.kind, node, key.least, key.most); number) {
          return *number;
        }
    }
    wrong(where, key.name, shown(node) + " is not accepted", describe_accepted(key));
    return std::nullopt;
  }

  static std::optional<std::int64_t> number_of(key_kind kind, const toml::node& node,
                                               std::int64_t least, std::int64_t most) {
    std::int64_t number = 0;
    if (const auto plain = node.value_exact<std::int64_t>(); plain) {
      number = *plain;
    } else if (const auto text = node.value_exact<std::string>();
               !text || kind == key_kind::integer || !parse_quantity(kind, *text, number)) {
      return std::nullopt;
    }
    return number < least || number > most ? std::nullopt : std::optional(number);
  }

  /// What was given, shortly.
  static std::string shown(const toml::node& node) {
    if (const auto number = node.value_exact<std::int64_t>(); number) {
      return std::to_string(*number);
    }
    if (const auto flag = node.value_exact<bool>(); flag) {
      return *flag ? "true" : "false";
    }
    if (const auto text = node.value_exact<std::string>(); text) {
      constexpr std::size_t longest = 40;
      return to_text(text->size() > longest ? text->substr(0, longest) + "..." : *text);
    }
    return node.is_floating_point() ? "a fraction"
           : node.is_array()        ? "an array"
           : node.is_table()        ? "a table"
                                    : "a date or time";
  }

  // --- classes ---

  void read_classes(const toml::node& node, const position& where) {
    const toml::array* const entries = node.as_array();
    const std::string accepted =
        fmt::format("1 to {} tables [[pool.class]] with buffer_size and capacity", max_class_count);
    if (entries == nullptr || entries->empty() || entries->size() > max_class_count) {
      wrong(where, "pool.class",
            entries == nullptr ? "not an array of tables"
                               : fmt::format("{} classes", entries->size()),
            accepted);
      return;
    }
    options_.classes.clear();
    for (const toml::node& entry : *entries) {
      if (const toml::table* const one = entry.as_table(); one != nullptr) {
        read_class(*one);
      } else {
        wrong(entry.source().begin, "pool.class", shown(entry) + " is not a table", accepted);
      }
    }
  }

  void read_class(const toml::table& entry) {
    size_class one{};
    const position where = entry.source().begin;
    std::map<std::string_view, position> places;
    for (const auto& [key, node] : entry) {
      const auto& keys = class_keys();
      const auto known = std::find_if(keys.begin(), keys.end(), [&, name = key.str()](auto& each) {
        return each.leaf == name;
      });
      if (known == keys.end()) {
        unknown_in_class(key.str(), key.source().begin);
        continue;
      }
      places[known->leaf] = key.source().begin;
      if (const auto value = value_in_class(*known, node); value) {
        known->set(one, *value);
      } else {
        wrong(key.source().begin, fmt::format("pool.class.{}", known->leaf),
              shown(node) + " is not accepted", describe_accepted(*known));
      }
    }
    for (const class_key& key : class_keys()) {
      if (key.needed && places.count(key.leaf) == 0) {
        wrong(where, fmt::format("pool.class.{}", key.leaf), "missing", describe_accepted(key));
      }
    }
    if (one.buffer_size != 0) {
      check_order(one, places["buffer_size"]);
      options_.classes.push_back(one);
    }
  }

  static std::optional<config_value> value_in_class(const class_key& key, const toml::node& node) {
    if (key.kind == key_kind::flag) {
      const auto flag = node.value_exact<bool>();
      return flag ? std::optional<config_value>(*flag) : std::nullopt;
    }
    const auto number = number_of(key.kind, node, key.least, key.most);
    const bool good = number && (key.leaf != "capacity" ||
                                 std::has_single_bit(static_cast<std::uint64_t>(*number)));
    return good ? std::optional<config_value>(*number) : std::nullopt;
  }

  void unknown_in_class(std::string_view leaf, const position& where) {
    std::vector<std::string_view> leaves;
    for (const class_key& key : class_keys()) {
      leaves.push_back(key.leaf);
    }
    const std::string_view near = nearest_name(leaf, leaves);
    complain(where, fmt::format("pool.class.{}", leaf),
             "there is no such key; " + (near.empty() ? "see docs/configuration.md for all keys"
                                                      : fmt::format("did you mean {}?", near)));
  }

  void check_order(const size_class& one, const position& where) {
    if (options_.classes.empty()) {
      return;
    }
    const bool twice =
        std::any_of(options_.classes.begin(), options_.classes.end(),
                    [&](const size_class& other) { return other.buffer_size == one.buffer_size; });
    const std::size_t before = options_.classes.back().buffer_size;
    if (twice) {
      wrong(where, "pool.class.buffer_size", fmt::format("{} is given twice", one.buffer_size),
            "every class with a size of its own");
    } else if (one.buffer_size < before) {
      wrong(where, "pool.class.buffer_size",
            fmt::format("{} comes after {}", one.buffer_size, before), "classes by rising size");
    }
  }

  // --- what contradicts ---

  /// find_fault() speaks of options: here of the keys that set them, where they were set.
  void check_together() {
    std::string text = find_fault(options_);
    if (text.empty()) {
      return;
    }
    std::optional<std::pair<std::string_view, position>> first;
    std::string said;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end =
          std::min(text.find_first_not_of("-abcdefghijklmnopqrstuvwxyz", at), text.size());
      const std::string_view word = std::string_view(text).substr(at, end - at);
      const auto& keys = config_keys();
      const auto named = std::find_if(keys.begin(), keys.end(),
                                      [&](const config_key& key) { return key.option == word; });
      if (named == keys.end()) {
        said += text.substr(at, std::max<std::size_t>(end - at, 1));
        at = std::max(end, at + 1);
        continue;
      }
      said += named->name;
      at = end;
      const auto place = std::find_if(places_.begin(), places_.end(),
                                      [&](const auto& one) { return one.first == word; });
      if (!first && place != places_.end()) {
        first = place->second;
      }
    }
    const auto [key, where] = first.value_or(std::pair(std::string_view("server"), position{1, 1}));
    if (const std::size_t same =
            std::string_view(said).substr(0, key.size()) == key ? key.size() : 0;
        same != 0 && said.size() > same && said[same] == ' ') {
      said.erase(0, same + 1);  // complain() says it
    }
    complain(where, key, said);
  }

  std::string_view file_;
  serve_options& options_;
  std::vector<fault> faults_;
  std::vector<std::pair<std::string_view, std::pair<std::string_view, position>>> places_;
};

/// What the file begins with. A preset that does not exist is reported where it is read.
serve_options options_below(const toml::table& root, const serve_options& base) {
  const auto named = root["preset"].value_exact<std::string>();
  const preset* const found = named && base.preset.empty() ? find_preset(*named) : nullptr;
  if (found == nullptr) {
    return base;
  }
  serve_options options = read_toml(found->text, found->name, base).options;
  options.preset = found->name;
  return options;
}

struct text_fault {
  std::size_t at = std::string_view::npos;  ///< npos: there is none
  std::string_view what;
};

/// What toml++ 3.3.0 is not given: a character beyond ASCII that is neither in quotes nor in a
/// comment, where TOML has none (of some it is not defined what it makes of them:
/// unicode_autogenerated.h), and a key of very many parts.
text_fault find_text_fault(std::string_view text) {
  std::string_view closing;  // of the string or comment at `at`; empty: it is in neither
  std::size_t at = text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0;
  std::size_t parts = 1;  // of the key at `at`
  const auto begins = [&](std::string_view with) { return text.substr(at, with.size()) == with; };
  while (at < text.size()) {
    if (!closing.empty()) {
      if (begins(closing)) {
        parts = closing == "\n" ? 1 : parts;
        at += closing.size();
        for (int more = 2; closing.size() == 3 && more != 0 && begins(closing.substr(0, 1));
             --more) {
          ++at;  // quotes that are the string's last characters
        }
        closing = {};
      } else {
        at += std::size_t{closing.front() == '"' && text[at] == '\\' ? 2U : 1U};
      }
      continue;
    }
    if (static_cast<unsigned char>(text[at]) >= 0x80) {
      return {at, "a character beyond ASCII; accepted in quotes and comments"};
    }
    if (text[at] == '.' && ++parts > most_key_parts) {
      return {at, "a key of more than 16 parts; accepted: table.key"};
    }
    parts = std::string_view("\n=,[]{}").find(text[at]) != text.npos ? 1 : parts;
    std::size_t skipped = 1;
    // In the middle of something else a quote begins nothing.
    const bool may_begin =
        at == 0 || std::string_view(" \t\r\n,[{=.").find(text[at - 1]) != text.npos;
    for (const std::string_view quotes : {"'", "\"", "'''", "\"\"\""}) {
      if (may_begin && begins(quotes)) {
        closing = quotes;
        skipped = quotes.size();
      }
    }
    closing = text[at] == '#' ? "\n" : closing;
    at += skipped;
  }
  return {};
}

std::string describe(const text_fault& fault, std::string_view text, std::string_view file) {
  const std::string_view before = text.substr(0, fault.at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::string_view in_line = before.substr(before.find_last_of('\n') + 1);
  const auto column =
      std::count_if(in_line.begin(), in_line.end(),
                    [](char one) { return (static_cast<unsigned char>(one) & 0xc0) != 0x80; }) +
      1;
  return fmt::format("{}:{}:{}: not TOML: {}", file, line, column, fault.what);
}

}  // namespace

toml_config read_toml(std::string_view text, std::string_view file, const serve_options& base,
                      const std::function<void(serve_options&)>& overlay) {
  toml_config result;
  if (const text_fault fault = find_text_fault(text); fault.at != std::string_view::npos) {
    result.faults.push_back(describe(fault, text, file));
    return result;
  }
  try {
    const toml::table root = toml::parse(text, file);
    result.options = options_below(root, base);
    reader tables(file, result.options);
    tables.read(root, overlay);
    result.faults = tables.take_faults();
  } catch (const toml::parse_error& error) {
    const position where = error.source().begin;
    result.faults.push_back(
        fmt::format("{}:{}:{}: not TOML: {}", file, where.line, where.column, error.description()));
  }
  return result;
}

}  // namespace ringpool::tools
