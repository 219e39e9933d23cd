// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "serve_options.hpp"

namespace ringpool::tools {

/// What a key of a configuration file is set to.
using config_value = std::variant<bool, std::int64_t, std::string>;

enum class key_kind : std::uint8_t {
  flag,
  integer,
  bytes,         ///< an integer, or text such as "64KiB"
  milliseconds,  ///< an integer, or text such as "10s"
  text,
  word,     ///< one of a few
  classes,  ///< the size classes: an array of tables, without get and set
  preset,   ///< another configuration to begin with, without get and set
};

/// One option of `serve` as a file names it. `get` and `set` agree on the alternative of the value:
/// bool for flags, text for texts and words, else an integer within [least, most].
struct config_key {
  std::string_view name;    ///< "server.max_frame_bytes"
  std::string_view option;  ///< "--max-frame"
  key_kind kind;
  bool live;  ///< a running server takes it up
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::vector<std::string_view> words;
  std::function<config_value(const serve_options&)> get;
  std::function<void(serve_options&, const config_value&)> set;

  /// "server" of the above; empty for a key outside of every table.
  [[nodiscard]] std::string_view table() const noexcept;
  /// "max_frame_bytes" of the above.
  [[nodiscard]] std::string_view leaf() const noexcept;
};

/// All of them, those of a table together.
[[nodiscard]] const std::vector<config_key>& config_keys();
/// nullptr: there is none.
[[nodiscard]] const config_key* find_config_key(std::string_view name);

/// The keys of one entry of [[pool.class]].
struct class_key {
  std::string_view leaf;
  key_kind kind;
  std::int64_t least;
  std::int64_t most;
  bool needed;
  std::function<std::optional<config_value>(const size_class&)> get;  ///< nothing: as the pool's
  std::function<void(size_class&, const config_value&)> set;
};
[[nodiscard]] const std::vector<class_key>& class_keys();

/// What a key accepts, for a person: `1 to 67108864, or text such as "64KiB"`.
[[nodiscard]] std::string describe_accepted(const config_key& key);
[[nodiscard]] std::string describe_accepted(const class_key& key);

/// "64KiB" is 65536, "10s" is 10000; false where the text is no such thing.
[[nodiscard]] bool parse_quantity(key_kind kind, std::string_view text, std::int64_t& out);

/// The one of `names` that was probably meant; empty: none is near.
[[nodiscard]] std::string_view nearest_name(std::string_view wrong,
                                            const std::vector<std::string_view>& names);

/// The value as TOML writes it; of the classes "64:8192 256:4096".
[[nodiscard]] std::string to_text(const config_value& value);
[[nodiscard]] std::string value_text(const config_key& key, const serve_options& options);

/// All options of a server as a file that says the same. What is from the command line alone
/// (--config and the like) is not in it.
[[nodiscard]] std::string to_toml(const serve_options& options);

}  // namespace ringpool::tools
