// SPDX-License-Identifier: MIT
#include "traffic_input.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "../listener.hpp"
#include "../load_frame.hpp"
#include "../size_mix.hpp"

namespace ringpool::tools {
namespace {

constexpr std::string_view mix_prefix = "mix:";
constexpr std::uint64_t mix_picks = 1'000'000;
constexpr std::uint32_t largest_mix_bytes = std::uint32_t{1} << 30;
constexpr std::string_view accepted_inputs =
    "a file (pcap, pcapng, CSV, or a recording of `ringpool serve --record`), ADDR:PORT of a "
    "server's metrics, or mix:NAME";

using file_start = std::array<unsigned char, 4>;

bool starts_capture(const file_start& bytes) noexcept {
  constexpr std::array<file_start, 5> magics{{
      {0xd4, 0xc3, 0xb2, 0xa1},  // pcap, microseconds, little-endian
      {0xa1, 0xb2, 0xc3, 0xd4},  // big-endian
      {0x4d, 0x3c, 0xb2, 0xa1},  // nanoseconds
      {0xa1, 0xb2, 0x3c, 0x4d},
      {0x0a, 0x0d, 0x0d, 0x0a},  // pcapng: a section header block
  }};
  return std::find(magics.begin(), magics.end(), bytes) != magics.end();
}

bool starts_recording(const file_start& bytes) noexcept {
  constexpr file_start magic{'R', 'P', 'R', 'E'};
  return bytes == magic;
}

traffic mix_traffic(const std::string& name) {
  try {
    const size_mix mix = size_mix::parse(name, 1, largest_mix_bytes);
    std::map<std::uint32_t, std::uint32_t> counts;
    for (std::uint64_t i = 0; i < mix_picks; ++i) {
      ++counts[mix.pick(mix_bits(i * 0x9e3779b97f4a7c15U))];
    }
    traffic result;
    for (const auto& [bytes, count] : counts) {
      result.samples.push_back({.bytes = bytes, .weight = count});
    }
    result.source = fmt::format("the mix {}, mean {:.0f} bytes", mix.name(), mix.mean_size());
    return result;
  } catch (const std::invalid_argument& error) {
    throw read_error(error.what());
  }
}

}  // namespace

input_kind kind_of(const std::string& input) {
  if (input.starts_with(mix_prefix)) {
    return input_kind::mix;
  }
  std::error_code error;
  if (std::filesystem::is_directory(input, error)) {
    throw read_error(fmt::format("'{}' is a directory; accepted: {}", input, accepted_inputs));
  }
  if (!std::filesystem::exists(input, error)) {
    endpoint where;
    if (endpoint::parse(input, where)) {
      return input_kind::live;
    }
    throw read_error(
        fmt::format("'{}': no such file, and no ADDR:PORT; accepted: {}", input, accepted_inputs));
  }
  if (!std::filesystem::is_regular_file(input,
                                        error)) {  // a pipe can be read once, and this is twice
    throw read_error(fmt::format("'{}' is a pipe or device; accepted: {}", input, accepted_inputs));
  }
  std::ifstream file(input, std::ios::binary);
  if (!file) {
    throw read_error(fmt::format("'{}' cannot be read: {}", input, std::strerror(errno)));
  }
  file_start bytes{};
  file.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
  if (starts_capture(bytes)) {
    return input_kind::capture;
  }
  return starts_recording(bytes) ? input_kind::recording : input_kind::table;
}

traffic read_traffic(const read_options& options) {
  switch (kind_of(options.path)) {
    case input_kind::capture: return read_capture(options);
    case input_kind::recording: return read_recording(options);
    case input_kind::live: return read_live(options.path);
    case input_kind::mix: return mix_traffic(options.path.substr(mix_prefix.size()));
    case input_kind::table: break;
  }
  return read_table(options);
}

}  // namespace ringpool::tools
