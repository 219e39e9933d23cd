// SPDX-License-Identifier: MIT
#include "shed_board.hpp"

#include <algorithm>

#include "server_loop.hpp"

namespace ringpool::tools {

void shed_board::ask() noexcept {
  for (place& one : places_) {
    one.asked.store(true, std::memory_order_relaxed);  // the message makes the loop look
    if (one.whom != nullptr) {
      one.whom->wake();
    }
  }
}

auto shed_board::publish(unsigned loop, const figures& own) noexcept -> figures {
  // relaxed, all: a snapshot is enough to tell a hog by
  places_[loop].bytes.store(own.bytes, std::memory_order_relaxed);
  places_[loop].active.store(own.active, std::memory_order_relaxed);
  figures sum;
  for (const place& one : places_) {
    sum.bytes += one.bytes.load(std::memory_order_relaxed);
    sum.active += one.active.load(std::memory_order_relaxed);
  }
  return sum;
}

bool shed_board::is_hog(std::uint64_t bytes, const figures& all,
                        std::uint64_t fair_bytes) noexcept {
  constexpr std::uint64_t factor = 4;
  const std::uint64_t others = all.active > 1 ? all.active - 1 : 1;
  const std::uint64_t others_bytes = all.bytes - std::min(all.bytes, bytes);
  return bytes > fair_bytes && bytes > factor * (others_bytes / others);
}

}  // namespace ringpool::tools
