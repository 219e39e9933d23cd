// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <ringpool/multi_size_ring_pool.hpp>
#include <vector>

#include "listener.hpp"
#include "rooms.hpp"
#include "serve_options.hpp"
#include "server_loop.hpp"

namespace ringpool::tools {

/// What all loops of a server share.
struct uring_parts {
  const serve_options& options;
  loop_settings settings;
  multi_size_ring_pool& pool;
  listener& source;
  rooms& hall;
};

/// Throws std::system_error: what this kernel, or this build, lacks.
[[nodiscard]] std::vector<std::unique_ptr<server_loop>> make_uring_loops(const uring_parts& parts,
                                                                         unsigned count);

}  // namespace ringpool::tools
