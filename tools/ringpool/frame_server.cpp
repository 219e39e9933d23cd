// SPDX-License-Identifier: MIT
#include "frame_server.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "buffers.hpp"
#include "config/config_keys.hpp"
#include "event_loop.hpp"
#include "heap_count.hpp"
#include "listener.hpp"
#include "memory_use.hpp"
#include "record/recorder.hpp"
#include "rooms.hpp"
#include "shed_board.hpp"
#include "uring_backend.hpp"

namespace ringpool::tools {
namespace {

using std::chrono::milliseconds;

/// Descriptors are small numbers below the limit, so there are never more connections than this.
constexpr std::uint64_t most_connections = std::uint64_t{1} << 24;

template <class Duration>
std::int64_t in_milliseconds(Duration time) noexcept {
  return std::chrono::duration_cast<milliseconds>(time).count();
}

std::uint32_t raise_descriptor_limit() noexcept {
  ::rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(limit.rlim_cur, most_connections));
}

/// A sixteenth of the shortest limit: late by an eighth at most where it matters.
milliseconds tick_for(const serve_options& options) noexcept {
  milliseconds shortest{4000};
  for (const milliseconds limit :
       {options.send_timeout, options.frame_timeout, options.idle_timeout}) {
    if (limit.count() != 0) {
      shortest = std::min(shortest, limit);
    }
  }
  return std::max(shortest / 16, milliseconds{5});
}

std::uint32_t in_ticks(milliseconds limit, milliseconds tick) noexcept {
  return static_cast<std::uint32_t>((limit + tick - milliseconds{1}) / tick);
}

service_limits limits_for(const serve_options& options, milliseconds tick) noexcept {
  return {.max_connections = raise_descriptor_limit(),
          .max_frame_bytes = options.max_frame_bytes,
          .send_queue_bytes = options.send_queue_bytes,
          .connection_budget_bytes = options.connection_budget_bytes,
          .piece_bytes = piece_bytes_of(options),
          .shed_largest = options.shed == shed_policy::largest,
          .send_ticks = in_ticks(options.send_timeout, tick),
          .frame_ticks = in_ticks(options.frame_timeout, tick),
          .idle_ticks = in_ticks(options.idle_timeout, tick)};
}

loop_settings settings_for(const serve_options& options) noexcept {
  const milliseconds tick = tick_for(options);
  return {
      .limits = limits_for(options, tick), .tick = tick, .drain_timeout = options.drain_timeout};
}

/// True when the two need different sets of pools.
bool pools_differ(const serve_options& a, const serve_options& b) {
  const auto& keys = config_keys();
  return a.buffers == buffer_kind::pool &&
         std::any_of(keys.begin(), keys.end(), [&](const config_key& key) {
           return key.table() == "pool" && value_text(key, a) != value_text(key, b);
         });
}

unsigned loop_count(const serve_options& options) noexcept {
  return options.loops != 0 ? options.loops : std::max(1U, std::thread::hardware_concurrency());
}

endpoint parsed(const std::string& text) {
  endpoint result;
  if (!endpoint::parse(text, result)) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "not a numeric ADDR:PORT: " + text);
  }
  return result;
}

void add_loop(server_stats& sum, const server_loop& loop) {
  const loop_totals part = loop.totals();
  const service_counts& counts = *part.counts;
  sum.frames += counts.frames.get();
  sum.bytes += counts.bytes.get();
  sum.connections_open += part.open;
  sum.connections_idle += part.open - std::min(part.open, part.active);
  sum.connections_accepted += counts.accepted.get();
  sum.connections_turned_away += loop.turned_away();
  sum.connections_refused += counts.refused.get();
  for (std::size_t i = 0; i < sum.closed_by.size(); ++i) {
    sum.closed_by[i] += counts.closed[i].get();
  }
  const auto errors_of = [&](frame_errc code) {
    return counts.protocol_errors[static_cast<std::size_t>(code)].get();
  };
  sum.truncated_errors += counts.protocol_errors[0].get();
  sum.zero_length_errors += errors_of(frame_errc::zero_length);
  sum.negative_length_errors += errors_of(frame_errc::negative_length);
  sum.too_long_errors += errors_of(frame_errc::too_long);
  counts.sizes.add_to(sum.sizes);
  counts.service_time.add_to(sum.service_time);
  sum.slowed_count += counts.slowed.get();
  sum.starved_count += counts.starved.get();
  sum.over_limit_count += counts.over_limit.get();
  sum.charged_bytes += part.charged_bytes;
  sum.room_deliveries += counts.room_deliveries.get();
  sum.room_drops += counts.room_drops.get();
  sum.kernel_buffers += part.kernel_buffers;
  sum.rings += part.rings;
  sum.table_bytes += part.table_bytes;
  sum.heap_allocations_on_data_path += loop.heap_allocations();
}

/// With io_uring buffers have no one loop: all that are out but those the kernel may fill.
std::uint64_t held_buffers(const server_stats& stats) noexcept {
  std::uint64_t out = 0;
  for (const auto* const some : {&stats.classes, &stats.retired_classes}) {
    for (const pool_stats& one : *some) {
      out += one.alloc_count - std::min(one.alloc_count, one.free_count);
    }
  }
  return out - std::min(out, stats.kernel_buffers);
}

/// The i-th of the processors that this thread may run on, from then on the only one.
void pin_to_processor(std::size_t number) noexcept {
  ::cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return;
  }
  std::size_t left = number % static_cast<std::size_t>(CPU_COUNT(&allowed));
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && left-- == 0) {
      ::cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ::sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
}

}  // namespace

std::uint64_t server_stats::connections_closed() const noexcept {
  return std::accumulate(closed_by.begin(), closed_by.end(), std::uint64_t{0});
}

double server_stats::bytes_per_connection() const noexcept {
  return connections_open == 0
             ? 0.0
             : static_cast<double>(table_bytes) / static_cast<double>(connections_open);
}

const char* to_string(close_reason reason) noexcept {
  constexpr std::array<const char*, static_cast<std::size_t>(close_reason::count)> names{
      "none",         "peer",    "reset", "protocol",      "idle_timeout", "frame_timeout",
      "send_timeout", "drained", "slow",  "drain_timeout", "shed"};
  return names[static_cast<std::size_t>(reason)];
}

struct frame_server::parts {
  explicit parts(serve_options chosen)
      : options(std::move(chosen)),
        buffers(options.buffers),
        backend(options.backend),
        source(parsed(options.listen)),
        banks(std::make_unique<buffer_bank>(options, loop_count(options))) {
    const unsigned count = loop_count(options);
    tick = tick_for(options);
    receive_bytes = receive_bytes_of(options);
    hall = std::make_unique<rooms>(count, options.room_budget_bytes);
    board = std::make_unique<shed_board>(count);
    if (options.backend == backend_kind::uring) {
      loops = make_uring_loops(
          {options, settings_for(options), *banks.current().pool(), source, *hall}, count);
    } else {
      make_event_loops(count);
    }
    for (unsigned number = 0; number < count; ++number) {
      board->connect(number, *loops[number]);
      loops[number]->shed_with(*board, number);
    }
    if (!options.record_file.empty()) {
      begin_to_record();
    }
  }

  void begin_to_record() {
    recording = std::make_unique<traffic_recording>(traffic_recording::settings{
        options.record_file, options.record_limit_bytes, options.record_one_in});
    for (const auto& loop : loops) {
      loop->record_with(recording->add_loop());
    }
  }

  void make_event_loops(unsigned count) {
    const loop_settings settings = settings_for(options);
    std::vector<event_loop*> everyone;
    for (unsigned number = 0; number < count; ++number) {
      auto one = std::make_unique<event_loop>(settings, banks.current(), number);
      everyone.push_back(one.get());
      loops.push_back(std::move(one));
    }
    everyone.front()->accept_from(source, everyone);
  }

  const std::chrono::system_clock::time_point began_at = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  /// The last round that every loop has answered.
  [[nodiscard]] std::uint64_t answered() const noexcept {
    std::uint64_t least = round;
    for (const auto& loop : loops) {
      least = std::min(least, loop->answered());
    }
    return least;
  }

  void ask_all() noexcept {
    for (const auto& loop : loops) {
      loop->ask(round, orders.empty() ? nullptr : orders.back().get());
    }
  }

  serve_options options;  // in force; read by the thread alone that reconfigures
  const buffer_kind buffers;
  const backend_kind backend;
  listener source;
  buffer_banks banks;
  milliseconds tick{};
  std::size_t receive_bytes = 0;
  std::uint64_t round = 0;                                      // the last one asked for
  std::vector<std::unique_ptr<const running_settings>> orders;  // the last is in force
  tally reloads;
  tally refused_reloads;
  std::unique_ptr<rooms> hall;
  std::unique_ptr<shed_board> board;
  std::uint64_t holders_round = 0;
  std::unique_ptr<traffic_recording> recording;
  std::vector<std::unique_ptr<server_loop>> loops;
  std::vector<std::thread> threads;
};

frame_server::frame_server(serve_options options)
    : parts_(std::make_unique<parts>(std::move(options))) {}

frame_server::~frame_server() {
  if (!parts_->threads.empty()) {
    request_stop();
    request_stop();
    join();
  }
}

std::uint16_t frame_server::start() {
  if (parts_->recording != nullptr) {
    parts_->recording->start();
  }
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the threads that were there
  try {
    for (std::size_t i = 0; i < parts_->loops.size(); ++i) {
      parts_->threads.emplace_back([this, i, pin = parts_->options.pin] {
        if (pin) {
          pin_to_processor(i);
        }
        parts_->loops[i]->run();
      });
    }
  } catch (const std::system_error& error) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw std::system_error(error.code(), "cannot start the thread of an event loop");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return parts_->source.bound().port;
}

std::string frame_server::address() const { return parts_->source.bound().to_string(); }

void frame_server::request_stop() noexcept {
  for (const auto& loop : parts_->loops) {
    loop->stop();
  }
}

bool frame_server::running() const noexcept {
  return std::any_of(parts_->loops.begin(), parts_->loops.end(),
                     [](const auto& loop) { return !loop->ended(); });
}

void frame_server::join() {
  for (std::thread& thread : parts_->threads) {
    thread.join();
  }
  parts_->threads.clear();
  parts_->hall->forget_mail();
  if (parts_->recording != nullptr) {
    parts_->recording->finish();
  }
}

server_stats frame_server::snapshot() const {
  using std::chrono::system_clock;
  const auto now = std::chrono::steady_clock::now();
  server_stats sum;
  sum.time_ms = in_milliseconds(system_clock::now().time_since_epoch());
  sum.start_time_ms = in_milliseconds(parts_->began_at.time_since_epoch());
  sum.uptime_s = std::chrono::duration<double>(now - parts_->began).count();
  sum.buffers = parts_->buffers;
  sum.loops = parts_->loops.size();
  sum.backend = parts_->backend;
  for (const auto& loop : parts_->loops) {
    add_loop(sum, *loop);
  }
  buffer_banks::sums buffers = parts_->banks.stats();
  sum.buffers_in_use = buffers.held;
  if (sum.buffers == buffer_kind::malloc) {
    sum.heap_allocations_on_data_path += buffers.taken;
  }
  sum.classes = std::move(buffers.classes);
  sum.retired_classes = std::move(buffers.retired);
  sum.retired_sets = buffers.retired_sets;
  sum.reloads = parts_->reloads.get();
  sum.refused_reloads = parts_->refused_reloads.get();
  sum.rooms = parts_->hall->count();
  sum.room_charged_bytes = parts_->hall->charged_bytes();
  if (parts_->recording != nullptr) {
    sum.recording = parts_->recording->stats();
  }
  sum.heap_allocations_counted = heap_allocations_are_counted();
  if (sum.backend == backend_kind::uring) {
    sum.buffers_in_use = held_buffers(sum);
    sum.receive_bytes = parts_->receive_bytes;
  }
  const memory_use memory = memory_use_of_this_process();
  sum.resident_bytes = memory.resident_bytes;
  sum.private_dirty_bytes = memory.private_dirty_bytes;
  return sum;
}

std::vector<census> frame_server::holders() const { return parts_->banks.holders(); }

std::vector<heavy_peer> frame_server::largest_holders() {
  constexpr milliseconds longest_wait{200};  // a loop that is late is left out
  const std::uint64_t round = ++parts_->holders_round;
  for (const auto& loop : parts_->loops) {
    loop->ask_holders(round);
  }
  const auto end = std::chrono::steady_clock::now() + longest_wait;
  std::vector<heavy_peer> all;
  for (const auto& loop : parts_->loops) {
    while (!loop->holders(round, all) && !loop->ended() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  std::sort(all.begin(), all.end(),
            [](const heavy_peer& a, const heavy_peer& b) { return a.bytes > b.bytes; });
  all.resize(std::min(all.size(), holder_list::most));
  return all;
}

// --- other options while it runs ---

void frame_server::reconfigure(const serve_options& options) {
  parts& all = *parts_;
  std::unique_ptr<buffer_bank> fresh;
  if (pools_differ(all.options, options)) {
    fresh = std::make_unique<buffer_bank>(options, static_cast<unsigned>(all.loops.size()));
  }
  buffer_bank& bank = fresh != nullptr ? *fresh : all.banks.current();
  all.orders.push_back(
      std::make_unique<running_settings>(running_settings{.number = all.round + 1,
                                                          .limits = limits_for(options, all.tick),
                                                          .drain_timeout = options.drain_timeout,
                                                          .slow_members = options.slow,
                                                          .copy_to_members = options.room_copies,
                                                          .bank = &bank}));
  ++all.round;
  if (fresh != nullptr) {
    all.banks.replace(std::move(fresh), all.round);
  }
  all.options = options;
  all.reloads.add();
  all.ask_all();
}

void frame_server::count_refused_reload() noexcept { parts_->refused_reloads.add(); }

std::size_t frame_server::retired_count() const noexcept { return parts_->banks.retired_count(); }

void frame_server::free_retired() {
  parts& all = *parts_;
  const std::uint64_t answered = all.answered();
  if (answered == all.round && all.orders.size() > 1) {  // every loop has taken up the last ones
    all.orders.erase(all.orders.begin(), all.orders.end() - 1);
  }
  if (all.banks.free_retired(answered, all.round + 1)) {
    ++all.round;
    all.ask_all();
  }
}

}  // namespace ringpool::tools
