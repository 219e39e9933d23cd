// SPDX-License-Identifier: MIT
#include "configure.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "config_keys.hpp"
#include "descriptor.hpp"
#include "load.hpp"
#include "machine_memory.hpp"
#include "presets.hpp"
#include "serve.hpp"
#include "toml_config.hpp"

namespace ringpool::tools {
namespace {

constexpr std::size_t largest_file_bytes = std::size_t{1} << 20;

/// What is wrong with it; empty: `text` is the file.
std::string read_file(const std::string& path, std::string& text) {
  // Not of a pipe: who opens one waits for its writer, and SIGHUP reads the file again.
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct ::stat about {};
  if (file && ::fstat(file.get(), &about) == 0 && !S_ISREG(about.st_mode) &&
      !S_ISDIR(about.st_mode)) {
    return fmt::format("{}: cannot be read: it is a pipe or device; accepted: a file", path);
  }
  std::array<char, 65536> part;
  ::ssize_t got = file ? 1 : -1;
  while (got > 0 && text.size() <= largest_file_bytes) {
    got = ::read(file.get(), part.data(), part.size());
    text.append(part.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  if (got < 0) {
    return fmt::format("{}: cannot be read: {}", path, std::strerror(errno));
  }
  return text.size() > largest_file_bytes
             ? fmt::format("{}: larger than {} bytes", path, largest_file_bytes)
             : std::string();
}

std::string no_such_preset(std::string_view name) {
  return fmt::format("there is no preset '{}'; accepted: {}", name, preset_names());
}

std::string change(const config_key& key, const serve_options& from, const serve_options& to) {
  return fmt::format("{} {} -> {}", key.name, value_text(key, from), value_text(key, to));
}

}  // namespace

configuration configure(const serve_options& asked, const std::vector<std::string>& arguments) {
  const std::string& path = asked.check_config.empty() ? asked.config : asked.check_config;
  configuration result;
  result.options.preset = asked.preset;
  if (!asked.preset.empty()) {
    const preset* const found = find_preset(asked.preset);
    if (found == nullptr) {
      return {asked, {no_such_preset(asked.preset)}};
    }
    result.options = read_toml(found->text, found->name, result.options).options;
  }
  if (!path.empty()) {
    std::string text;
    if (std::string fault = read_file(path, text); !fault.empty()) {
      return {asked, {std::move(fault)}};
    }
    toml_config file = read_toml(text, path, result.options, [&](serve_options& options) {
      apply_arguments(arguments, options);
    });
    return {std::move(file.options), std::move(file.faults)};
  }
  apply_arguments(arguments, result.options);
  if (std::string fault = find_fault(result.options); !fault.empty()) {
    result.faults.push_back(std::move(fault));
  }
  return result;
}

std::string find_memory_fault(const serve_options& options) {
  const std::uint64_t available = machine_memory_now().available;
  if (options.buffers == buffer_kind::malloc || available == 0) {
    return {};
  }
  double wanted = 0;
  for (const size_class& one : options.classes) {
    if (one.settings.prefault.value_or(options.memory.prefault)) {
      wanted += static_cast<double>(one.buffer_size) * static_cast<double>(one.capacity);
    }
  }
  constexpr double mib = 1 << 20;
  return wanted <= static_cast<double>(available)
             ? std::string()
             : fmt::format(
                   "the --class buffers take {:.0f} MiB from the start, and {:.0f} MiB of memory "
                   "are available; accepted: less, or --no-prefault",
                   wanted / mib, static_cast<double>(available) / mib);
}

bool only_prints(const serve_options& asked) noexcept {
  return !asked.print_preset.empty() || !asked.check_config.empty();
}

int print_configuration(const serve_options& asked, const std::vector<std::string>& arguments) {
  if (!asked.print_preset.empty()) {
    const preset* const found = find_preset(asked.print_preset);
    if (found == nullptr) {
      fmt::print(stderr, "ringpool serve: {}\n", no_such_preset(asked.print_preset));
      return exit_arguments;
    }
    fmt::print("{}", found->text);
    return 0;
  }
  const configuration found = configure(asked, arguments);
  for (const std::string& fault : found.faults) {
    fmt::print(stderr, "{}\n", fault);
  }
  if (!found.faults.empty()) {
    return exit_arguments;
  }
  fmt::print("{}", to_toml(found.options));
  return 0;
}

reload_plan plan_reload(const serve_options& running, const serve_options& wanted) {
  reload_plan plan{wanted, {}, {}, {}};
  const auto keep = [&](const config_key& key, const char* why) {
    plan.kept.push_back(change(key, running, wanted) + why);
    key.set(plan.options, key.get(running));
  };
  for (const config_key& key : config_keys()) {
    if (key.kind == key_kind::preset || value_text(key, running) == value_text(key, wanted)) {
      continue;
    }
    if (!key.live) {
      keep(key, " (needs a restart)");
    } else if (key.name == "server.max_frame_bytes" &&
               wanted.max_frame_bytes < running.max_frame_bytes) {
      keep(key, " (lower needs a restart: frames of the old length may be under way)");
    } else {
      plan.changed.push_back(change(key, running, wanted));
    }
  }
  plan.fault = find_fault(plan.options);
  if (plan.fault.empty() && plan.options.backend == backend_kind::uring &&
      receive_bytes_of(plan.options) != receive_bytes_of(running)) {
    plan.fault = fmt::format(
        "buffers of {} bytes are offered to the kernel: the largest class "
        "must have that, and less needs a restart",
        receive_bytes_of(running));
  }
  return plan;
}

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += text.empty() ? "" : "; ";
    text += line;
  }
  return text;
}

}  // namespace ringpool::tools
