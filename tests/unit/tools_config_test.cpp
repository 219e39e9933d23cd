// SPDX-License-Identifier: MIT
// The keys of a configuration file: each option of `serve` has one, each is documented, what is
// written is read back, and what is wrong is all named.

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "config/config_keys.hpp"
#include "config/configure.hpp"
#include "config/presets.hpp"
#include "config/toml_config.hpp"
#include "serve.hpp"

namespace ringpool::tools {
namespace {

std::set<std::string> options_of_serve() {
  CLI::App app;
  serve_options options;
  add_serve_command(app, options);
  std::set<std::string> names;
  for (const CLI::Option* one : app.get_subcommand("serve")->get_options()) {
    names.insert("--" + one->get_lnames().front());
  }
  for (const char* about_files : {"--help", "--config", "--check-config", "--print-preset"}) {
    names.erase(about_files);
  }
  return names;
}

std::set<std::string> options_with_keys() {
  std::set<std::string> names;
  for (const config_key& key : config_keys()) {
    names.insert(std::string(key.option));
  }
  return names;
}

TEST(tools_config, every_option_of_serve_has_a_key_and_every_key_an_option) {
  EXPECT_EQ(options_with_keys(), options_of_serve());
  EXPECT_EQ(options_with_keys().size(), config_keys().size());
}

/// Lines of the table in docs/configuration.md: `| key | option | default | accepted | live |`.
std::vector<std::vector<std::string>> documented_rows() {
  std::ifstream file(RINGPOOL_TEST_SOURCE_DIR "/docs/configuration.md");
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| `", 0) != 0 || line.find("`--") == std::string::npos) {
      continue;
    }
    std::vector<std::string> cells;
    std::istringstream cut(line.substr(1));
    for (std::string cell; std::getline(cut, cell, '|');) {
      cells.push_back(cell.substr(1, cell.size() - 2));
    }
    rows.push_back(cells);
  }
  return rows;
}

TEST(tools_config, the_table_of_keys_in_the_documentation_is_the_one_in_the_code) {
  const serve_options standard;
  const auto rows = documented_rows();
  ASSERT_EQ(rows.size(), config_keys().size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const config_key& key = config_keys()[i];
    ASSERT_EQ(rows[i].size(), 5U) << key.name;
    EXPECT_EQ(rows[i][0], "`" + std::string(key.name) + "`");
    EXPECT_EQ(rows[i][1], "`" + std::string(key.option) + "`");
    EXPECT_EQ(rows[i][2], "`" + value_text(key, standard) + "`") << key.name;
    EXPECT_EQ(rows[i][3], describe_accepted(key)) << key.name;
    EXPECT_EQ(rows[i][4], key.live ? "yes" : "restart") << key.name;
  }
}

config_value any_value(const config_key& key, std::mt19937_64& random) {
  const std::uint64_t bits = random();
  switch (key.kind) {
    case key_kind::flag: return bits % 2 == 0;
    case key_kind::text: {
      std::string text;
      for (std::uint64_t left = bits % 9; left != 0; --left) {
        text += "a\"\\ \t\x01#é='\n"[random() % 13];
      }
      return text.find('\xc3') == text.npos && text.find('\xa9') == text.npos ? text : "é";
    }
    case key_kind::word: return std::string(key.words[bits % key.words.size()]);
    default: {
      const std::uint64_t width = static_cast<std::uint64_t>(key.most - key.least);
      const std::uint64_t part = bits % 4 == 0 ? width : random() % (width / 2 + 1);
      return key.least + static_cast<std::int64_t>(part);
    }
  }
}

serve_options any_good_options(std::mt19937_64& random) {
  serve_options options;
  for (const config_key& key : config_keys()) {
    if (key.set) {
      key.set(options, any_value(key, random));
    }
  }
  options.classes.clear();
  std::size_t size = 0;
  for (std::uint64_t left = random() % 6 + 1; left != 0; --left) {
    size += random() % 100'000 + 1;
    size_class one{size, std::size_t{1} << (random() % 31)};
    for (const class_key& key : class_keys()) {
      if (!key.needed && random() % 3 == 0) {
        key.set(one, key.kind == key_kind::flag ? config_value(random() % 2 == 0)
                                                : config_value(key.least + std::int64_t{7}));
      }
    }
    one.settings.elastic_floor.reset();
    options.classes.push_back(one);
  }
  options.listen = "127.0.0.1:0";  // the others may contradict: these cannot
  options.metrics_listen = "[::1]:9100";
  options.backend = backend_kind::epoll;
  options.mode = server_mode::echo;
  options.connection_budget_bytes = random() % 2 == 0 ? 0 : std::size_t{1} << 30;
  options.room_budget_bytes = 0;
  options.max_frame_bytes = static_cast<std::uint32_t>(size);
  options.elastic_floor = 0;
  options.spill.buffer_limit = 1;
  return options;
}

std::string as_text(const serve_options& options) {
  std::string text;
  for (const config_key& key : config_keys()) {
    text += std::string(key.name) + " " + value_text(key, options) + "\n";
  }
  return text;
}

TEST(tools_config, what_is_written_is_read_back_the_same) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const serve_options options = any_good_options(random);
    const std::string written = to_toml(options);
    const toml_config read = read_toml(written, "f", {});
    ASSERT_EQ(join(read.faults), "") << written;
    ASSERT_EQ(as_text(read.options), as_text(options)) << written;
    ASSERT_EQ(to_toml(read.options), written);
  }
}

TEST(tools_config, every_fault_is_named_where_it_is_with_what_is_accepted) {
  const char* const text =
      "[server]\n"
      "max_frame_byte = 3\n"
      "loops = \"many\"\n"
      "send_queue_bytes = \"64kb\"\n"
      "hardened = true\n"
      "backend = \"kqueue\"\n"
      "idle_timeout_ms = -1\n"
      "[pool]\n"
      "zero_on_free = 1.5\n"
      "[[pool.class]]\n"
      "buffer_size = 512\n"
      "capacity = 1000\n"
      "[[pool.class]]\n"
      "buffer_size = 64\n"
      "capcity = 8\n"
      "[[pool.class]]\n"
      "buffer_size = \"512B\"\n"
      "capacity = 8\n"
      "[weather]\n";
  const std::vector<std::string> expected{
      "f:2:1: server.max_frame_byte: there is no such key; did you mean server.max_frame_bytes?",
      "f:3:1: server.loops: \"many\" is not accepted; accepted: 0 to 256",
      "f:4:1: server.send_queue_bytes: \"64kb\" is not accepted; accepted: 1 to 1073741824, or "
      "text "
      "such as \"64KiB\"",
      "f:5:1: server.hardened: there is no such key; did you mean pool.hardened?",
      "f:6:1: server.backend: \"kqueue\" is not accepted; accepted: \"epoll\" or \"uring\"",
      "f:7:1: server.idle_timeout_ms: -1 is not accepted; accepted: 0 to 86400000, or text such as "
      "\"10s\"",
      "f:9:1: pool.zero_on_free: a fraction is not accepted; accepted: \"none\", \"used\" or "
      "\"all\"",
      "f:12:1: pool.class.capacity: 1000 is not accepted; accepted: powers of two from 1 to "
      "1073741824",
      "f:13:1: pool.class.capacity: missing; accepted: powers of two from 1 to 1073741824",
      "f:14:1: pool.class.buffer_size: 64 comes after 512; accepted: classes by rising size",
      "f:15:1: pool.class.capcity: there is no such key; did you mean capacity?",
      "f:17:1: pool.class.buffer_size: 512 is given twice; accepted: every class with a size of "
      "its "
      "own",
      "f:19:2: weather: there is no such key; see docs/configuration.md for all keys"};
  EXPECT_EQ(read_toml(text, "f", {}).faults, expected);
}

TEST(tools_config, keys_that_contradict_are_named_as_keys_where_they_are_set) {
  const char* const text = "[server]\nbackend = \"uring\"\nmax_frame_bytes = \"64KiB\"\n";
  const auto faults = read_toml(text, "f", {}).faults;
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].rfind("f:3:1: server.max_frame_bytes: 65536 is above "
                            "the largest pool.class, 16384 bytes",
                            0),
            0U)
      << faults[0];
}

TEST(tools_config, classes_have_settings_of_their_own) {
  const char* const text =
      "[pool]\nspill_classes = 1\n[[pool.class]]\nbuffer_size = 20000\ncapacity = 8\n"
      "elastic_capacity = 5\nspill_limit = 3\nprefault = false\n";
  const toml_config read = read_toml(text, "f", {});
  ASSERT_EQ(join(read.faults), "");
  EXPECT_EQ(value_text(*find_config_key("pool.class"), read.options),
            "20000:8,elastic_capacity=5,spill_limit=3,prefault=false");
  const auto faults = read_toml(std::string(text) + "elastic_floor = 6\n", "f", {}).faults;
  EXPECT_EQ(join(faults),
            "f:3:8: pool.class: pool.elastic_floor 6 is above pool.elastic_capacity 5 "
            "of the pool.class of 20000 bytes");
}

TEST(tools_config, what_is_not_toml_is_one_fault_with_its_place) {
  const auto faults = read_toml("[server\n", "f", {}).faults;
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].rfind("f:1:8: not TOML: ", 0), 0U) << faults[0];
}

TEST(tools_config, characters_beyond_ascii_are_for_quotes_and_comments) {
  const char* const good =
      "# Größe\n[server]\nport_file = \"é\\\"é\"\nstats_file = \'\'\'ö\'\'\'\'\nlisten = "
      "\"[::1]:0\" # ü\n";
  EXPECT_EQ(join(read_toml(good, "f", {}).faults), "");
  for (const char* wrong : {"[s\u00e9]", "\u0476 = 1", "a = 1 \u00e9"}) {
    const std::string faults = join(read_toml(wrong, "f", {}).faults);
    EXPECT_NE(faults.find("not TOML: a character beyond ASCII"), std::string::npos) << faults;
  }
}

TEST(tools_config, a_file_stands_above_its_preset_and_the_command_line_above_both) {
  const char* const text = "preset = \"iot\"\n[server]\nidle_timeout_ms = \"2min\"\n";
  const toml_config read =
      read_toml(text, "f", {}, [](serve_options& options) { options.hardened = true; });
  EXPECT_EQ(join(read.faults), "");
  EXPECT_EQ(read.options.preset, "iot");
  EXPECT_EQ(read.options.classes.front().capacity, 32768U);
  EXPECT_EQ(read.options.idle_timeout, std::chrono::minutes(2));
  EXPECT_TRUE(read.options.hardened);
}

TEST(tools_config, every_preset_is_good_and_has_the_promised_sizes) {
  ASSERT_EQ(preset_names(), "gaming, iot, moba, streaming");
  for (const preset& one : presets()) {
    const toml_config read = read_toml(one.text, one.name, {});
    EXPECT_EQ(join(read.faults), "");
    std::vector<std::size_t> sizes;
    for (const size_class& each : read.options.classes) {
      sizes.push_back(each.buffer_size);
    }
    EXPECT_EQ(sizes, (std::vector<std::size_t>{64, 512, 1024, 4096})) << one.name;
  }
}

TEST(tools_config, quantities_have_binary_units_and_times) {
  std::int64_t got = 0;
  EXPECT_TRUE(parse_quantity(key_kind::bytes, "64KiB", got) && got == 65536);
  EXPECT_TRUE(parse_quantity(key_kind::bytes, "3GiB", got) && got == std::int64_t{3} << 30);
  EXPECT_TRUE(parse_quantity(key_kind::milliseconds, "250ms", got) && got == 250);
  EXPECT_TRUE(parse_quantity(key_kind::milliseconds, "5min", got) && got == 300'000);
  for (const char* wrong :
       {"", "5", "KiB", "-1KiB", "1.5KiB", "64 KiB", "64KB", "9223372036854775807GiB"}) {
    EXPECT_FALSE(parse_quantity(key_kind::bytes, wrong, got)) << wrong;
  }
}

TEST(tools_config, a_reload_says_what_changes_and_what_needs_a_restart) {
  serve_options running;
  serve_options wanted;
  running.backend = wanted.backend = backend_kind::uring;  // epoll keeps large frames in pieces
  wanted.loops = 7;
  wanted.max_frame_bytes = 100;
  wanted.idle_timeout = std::chrono::seconds(5);
  wanted.classes.back().capacity = 512;
  const reload_plan plan = plan_reload(running, wanted);
  EXPECT_EQ(plan.fault, "");
  EXPECT_EQ(
      join(plan.changed),
      "server.idle_timeout_ms 300000 -> 5000; pool.class 64:8192 256:4096 1024:2048 4096:1024 "
      "16384:256 -> 64:8192 256:4096 1024:2048 4096:1024 16384:512");
  EXPECT_EQ(
      join(plan.kept),
      "server.loops 0 -> 7 (needs a restart); server.max_frame_bytes 16384 -> 100 (lower needs "
      "a restart: frames of the old length may be under way)");
  EXPECT_EQ(plan.options.loops, running.loops);
  EXPECT_EQ(plan.options.max_frame_bytes, running.max_frame_bytes);

  wanted.classes.pop_back();  // frames of the old maximum would have nowhere to go
  EXPECT_NE(plan_reload(running, wanted).fault, "");
}

}  // namespace
}  // namespace ringpool::tools
