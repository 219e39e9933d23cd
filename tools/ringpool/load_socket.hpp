// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "descriptor.hpp"
#include "load_options.hpp"

namespace ringpool::tools {

/// The load cannot be run: no connection, no descriptors. what() is a whole sentence for the user.
class load_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A non-blocking socket on its way to `target`. An error is in `error` (an errno), with no
/// descriptor.
struct started_connection {
  descriptor fd;
  int error = 0;
};
started_connection start_connect(const load_target& target) noexcept;

/// The outcome of a connection attempt that has finished: 0 or an errno.
int finished_connect_error(int fd) noexcept;

/// Lets this process have `count` descriptors beyond the usual few, by raising the soft limit where
/// that is needed. Throws load_error when the hard limit is lower.
void reserve_descriptors(std::uint64_t count);

/// How many connections fit under the hard limit with `spare` descriptors left for the rest.
std::uint64_t descriptors_available(std::uint64_t spare) noexcept;

}  // namespace ringpool::tools
