// SPDX-License-Identifier: MIT
#include "uring_backend.hpp"

#include <algorithm>
#include <ringpool/adapters/uring.hpp>
#include <system_error>

#include "uring_loop.hpp"

namespace ringpool::tools {
namespace {

/// More in one table would make its records' range longer, and nothing better.
constexpr std::uint32_t largest_table = 1U << 20;

}  // namespace

std::vector<std::unique_ptr<server_loop>> make_uring_loops(const uring_parts& parts,
                                                           unsigned count) {
  if (const std::string missing = uring::find_missing(); !missing.empty()) {
    throw std::system_error(std::make_error_code(std::errc::not_supported),
                            missing + "; --backend epoll works without");
  }
  std::vector<uring_loop*> everyone;
  std::vector<std::unique_ptr<server_loop>> loops;
  for (unsigned i = 0; i < count; ++i) {
    const uring_settings settings{
        .limits = parts.settings.limits,
        .table_size = std::min(parts.settings.limits.max_connections, largest_table),
        .receive_entries = parts.options.receive_buffers,
        .receive_bytes = receive_bytes_of(parts.options),
        .poll_idle = parts.options.idle == idle_mode::poll,
        .hall = parts.options.mode == server_mode::room ? &parts.hall : nullptr,
        .copy_to_members = parts.options.room_copies,
        .slow_members = parts.options.slow,
        .loop_number = i,
        .loop_count = count};
    auto one = std::make_unique<uring_loop>(parts.settings, settings, parts.pool, parts.source);
    everyone.push_back(one.get());
    parts.hall.connect(i, *one);
    loops.push_back(std::move(one));
  }
  for (uring_loop* one : everyone) {
    one->accept_with(everyone, one == everyone.front());
  }
  return loops;
}

}  // namespace ringpool::tools
