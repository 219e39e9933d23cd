// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "readers.hpp"
#include "traffic.hpp"

namespace ringpool::tools {

enum class input_kind : std::uint8_t {
  capture,    ///< pcap or pcapng, by the first four bytes
  recording,  ///< of `serve --record`, likewise
  table,      ///< any other file
  live,       ///< ADDR:PORT, where no such file is
  mix,        ///< mix:NAME: a size_mix
};

/// What `input` is. Throws read_error where it is nothing of that kind.
[[nodiscard]] input_kind kind_of(const std::string& input);

/// Reads it by its kind. `options.path` is the input. Throws read_error.
[[nodiscard]] traffic read_traffic(const read_options& options);

}  // namespace ringpool::tools
