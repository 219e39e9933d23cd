// SPDX-License-Identifier: MIT
#include "server_metrics.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <ringpool/config.hpp>

namespace ringpool::tools {
namespace {

using enum metric_type;

constexpr std::string_view name_of_pool = "serve";

/// Families with one sample and no labels.
struct plain_row {
  metric_family family;
  std::uint64_t server_stats::*member;
};

constexpr plain_row plain_rows[] = {
    {{"ringpool_server_loops", gauge, "", "Event loops, one thread each."}, &server_stats::loops},
    {{"ringpool_server_frames", counter, "", "Frames received whole."}, &server_stats::frames},
    {{"ringpool_server_payload_bytes", counter, "bytes", "Payload of the frames."},
     &server_stats::bytes},
    {{"ringpool_server_connections_accepted", counter, "", "Connections that were served."},
     &server_stats::connections_accepted},
    {{"ringpool_server_connections_turned_away", counter, "",
      "Connections closed at once, as no descriptor was left."},
     &server_stats::connections_turned_away},
    {{"ringpool_server_connections_refused", counter, "",
      "Connections closed at once, as no record or kernel memory was left."},
     &server_stats::connections_refused},
    {{"ringpool_server_slowed", counter, "",
      "Times a connection was not read since its peer did not read."},
     &server_stats::slowed_count},
    {{"ringpool_server_starved", counter, "",
      "Times a connection found no buffer, retries included."},
     &server_stats::starved_count},
    {{"ringpool_server_rooms", gauge, "", "Rooms with members."}, &server_stats::rooms},
    {{"ringpool_server_room_deliveries", counter, "", "Frames queued for members of rooms."},
     &server_stats::room_deliveries},
    {{"ringpool_server_room_drops", counter, "",
      "Frames not queued for a member: it was slow, or there was no buffer."},
     &server_stats::room_drops},
    {{"ringpool_server_held_buffers", gauge, "buffers", "Buffers that connections hold."},
     &server_stats::buffers_in_use},
    {{"ringpool_server_kernel_buffers", gauge, "buffers",
      "Buffers offered to the kernel for receives to come; io_uring alone."},
     &server_stats::kernel_buffers},
    {{"ringpool_server_table_bytes", gauge, "bytes",
      "Memory committed for connections, sessions and queues."},
     &server_stats::table_bytes},
    {{"ringpool_server_heap_allocations", counter, "", "Heap allocations on the data path."},
     &server_stats::heap_allocations_on_data_path},
    {{"process_resident_memory_bytes", gauge, "bytes", "Resident memory of the process."},
     &server_stats::resident_bytes},
    {{"ringpool_server_private_dirty_bytes", gauge, "bytes",
      "Resident memory that the process alone has, and has written to."},
     &server_stats::private_dirty_bytes},
};

constexpr metric_family build_family{"ringpool_build", info, "",
                                     "Version, and how the server was started."};
constexpr metric_family start_time_family{"process_start_time_seconds", gauge, "seconds",
                                          "When the server began, in seconds since 1970."};
constexpr metric_family connections_family{"ringpool_server_connections", gauge, "",
                                           "Open connections; active: with something in flight."};
constexpr metric_family closed_family{"ringpool_server_connections_closed", counter, "",
                                      "Connections that ended, by why."};
constexpr metric_family protocol_errors_family{"ringpool_server_protocol_errors", counter, "",
                                               "Connections that sent what is no frame, by what."};
constexpr metric_family service_time_family{
    "ringpool_server_service_time_seconds", histogram, "seconds",
    "From the wake-up that brought a frame to its answer written or queued; one in 64 or more."};
constexpr metric_family frame_size_family{"ringpool_server_frame_size_bytes", histogram, "bytes",
                                          "Payloads of frames, by powers of two."};

void add_pool(metrics_writer& writer, const server_stats& stats) {
  if (!stats.classes.empty()) {
    writer.add(name_of_pool,
               multi_size_stats{stats.classes, 0, stats.classes.front().upstream_in_use_bytes});
  }
}

void add_connections(metrics_writer& writer, const server_stats& stats) {
  const std::uint64_t active = stats.connections_open - stats.connections_idle;
  writer.add_sample(connections_family, active, {{"state", "active"}});
  writer.add_sample(connections_family, stats.connections_idle, {{"state", "idle"}});
  for (std::size_t i = 1; i < stats.closed_by.size(); ++i) {
    writer.add_sample(closed_family, stats.closed_by[i],
                      {{"reason", to_string(static_cast<close_reason>(i))}});
  }
  writer.add_sample(protocol_errors_family, stats.zero_length_errors, {{"kind", "zero_length"}});
  writer.add_sample(protocol_errors_family, stats.negative_length_errors,
                    {{"kind", "negative_length"}});
  writer.add_sample(protocol_errors_family, stats.too_long_errors, {{"kind", "too_long"}});
  writer.add_sample(protocol_errors_family, stats.truncated_errors, {{"kind", "truncated"}});
}

void add_service_time(metrics_writer& writer, const service_time_counts& times) {
  std::array<double, service_time_counts::bucket_count - 1> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = static_cast<double>(service_time_counts::upper_ns(i)) / 1e9;
  }
  writer.add_histogram(service_time_family,
                       {bounds, times.counts, static_cast<double>(times.total_ns) / 1e9});
}

void add_frame_sizes(metrics_writer& writer, const server_stats& stats) {
  constexpr std::size_t bound_count = 26;  // 64 bytes to 2^31
  std::array<double, bound_count> bounds{};
  std::array<std::uint64_t, bound_count + 1> counts{};
  for (std::size_t i = 0; i < bound_count; ++i) {
    bounds[i] = static_cast<double>(std::uint64_t{64} << i);
  }
  for (std::size_t i = 0; i < stats.sizes.counts.size(); ++i) {
    const std::uint32_t upper = frame_size_counts::upper_bytes(i);
    counts[static_cast<std::size_t>(std::bit_width((upper - 1) / 64))] += stats.sizes.counts[i];
  }
  writer.add_histogram(frame_size_family, {bounds, counts, static_cast<double>(stats.bytes)});
}

void add_process(metrics_writer& writer, const server_stats& stats) {
  const std::string version = fmt::format("{}.{}.{}", RINGPOOL_VERSION_MAJOR,
                                          RINGPOOL_VERSION_MINOR, RINGPOOL_VERSION_PATCH);
  writer.add_sample(build_family, std::uint64_t{1},
                    {{"version", version},
                     {"backend", stats.backend == backend_kind::uring ? "uring" : "epoll"},
                     {"buffers", stats.buffers == buffer_kind::pool ? "pool" : "malloc"}});
  writer.add_sample(start_time_family, static_cast<double>(stats.start_time_ms) / 1e3);
}

}  // namespace

std::string metrics_of(const server_stats& stats, metrics_format format) {
  metrics_writer writer(format);
  add_pool(writer, stats);
  for (const plain_row& row : plain_rows) {
    writer.add_sample(row.family, stats.*row.member);
  }
  add_connections(writer, stats);
  add_service_time(writer, stats.service_time);
  add_frame_sizes(writer, stats);
  add_process(writer, stats);
  return writer.text();
}

}  // namespace ringpool::tools
