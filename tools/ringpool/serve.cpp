// SPDX-License-Identifier: MIT
#include "serve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <ringpool/error.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "config/configure.hpp"
#include "config/reload.hpp"
#include "descriptor.hpp"
#include "metrics/http_server.hpp"

namespace ringpool::tools {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_bad_options = 2;

void complain(std::string_view text) { fmt::print(stderr, "ringpool serve: {}\n", text); }

bool write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ::ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(written > 0 ? written : 0));
  }
  return true;
}

/// A reader sees the whole text or none of it.
bool replace_file(const std::string& path, std::string_view text) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  bool done = false;
  {
    const descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    done = file && write_all(file.get(), text);
  }
  if (!done || ::rename(temporary.c_str(), path.c_str()) != 0) {
    complain(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
    ::unlink(temporary.c_str());
    return false;
  }
  return true;
}

/// Blocked for all threads from here on, so that sigwaitinfo(2) gets them. SIGHUP ends a server
/// that has no file to read again, as it does any program.
::sigset_t block_signals(bool with_file) noexcept {
  ::sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
    ::sigaddset(&signals, number);
  }
  if (with_file) {
    ::sigaddset(&signals, SIGHUP);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void write_stats(frame_server& server, const serve_options& options) {
  if (options.stats_file.empty()) {
    return;
  }
  try {
    const std::vector<census> holders = server.holders();
    server_stats stats = server.snapshot();
    stats.largest_holders = server.largest_holders();
    replace_file(options.stats_file, to_json(stats, {.holders = &holders}));
  } catch (const std::exception& error) {  // a server goes on without
    complain(fmt::format("cannot write {}: {}", options.stats_file, error.what()));
  }
}

/// The next signal; 0 or less: none yet, and memory of an earlier configuration waits for its end.
int next_signal(const ::sigset_t& signals, const frame_server& server) noexcept {
  constexpr ::timespec look_again{0, 20'000'000};
  return server.retired_count() != 0 ? ::sigtimedwait(&signals, nullptr, &look_again)
                                     : ::sigwaitinfo(&signals, nullptr);
}

/// Until the first SIGINT or SIGTERM.
void serve_signals(const ::sigset_t& signals, frame_server& server, reloader& configured) {
  for (;;) {
    const int number = next_signal(signals, server);
    server.free_retired();
    if (number == SIGUSR1) {
      write_stats(server, configured.options());
    } else if (number == SIGHUP) {
      complain(configured.reload(server));
    } else if (number > 0) {
      return;
    }
  }
}

/// Waits for the loops; a further SIGINT or SIGTERM makes them end at once.
void drain(const ::sigset_t& signals, frame_server& server, const serve_options& options) {
  server.request_stop();
  constexpr ::timespec look_again{0, 20'000'000};
  while (server.running()) {
    const int number = ::sigtimedwait(&signals, nullptr, &look_again);
    if (number == SIGUSR1) {
      write_stats(server, options);
    } else if (number > 0 && number != SIGHUP) {
      server.request_stop();
    }
  }
  server.join();
}

std::string describe_buffers(const serve_options& options) {
  if (options.buffers == buffer_kind::malloc) {
    return "malloc";
  }
  std::string text = "pool";
  for (const size_class& one : options.classes) {
    text += fmt::format(" {}:{}", one.buffer_size, one.capacity);
  }
  return text;
}

void print_recording(const recording_stats& stats, const std::string& path) {
  if (stats.one_in != 0) {
    fmt::print("ringpool: recorded {} samples, {} bytes in {}{}{}\n", stats.samples, stats.bytes,
               path, stats.stopped.empty() ? "" : "; stopped early: ", stats.stopped);
  }
}

void print_summary(const server_stats& stats) {
  const std::uint64_t errors = stats.zero_length_errors + stats.negative_length_errors +
                               stats.too_long_errors + stats.truncated_errors;
  fmt::print(
      "ringpool: served {} frames, {} bytes on {} connections; {} protocol errors; "
      "{} buffers in use; {} heap allocations on the data path\n",
      stats.frames, stats.bytes, stats.connections_accepted, errors, stats.buffers_in_use,
      stats.heap_allocations_on_data_path);
  std::fflush(stdout);
}

/// nullptr without --metrics.
std::unique_ptr<http_server> serve_metrics(const frame_server& server,
                                           const serve_options& options) {
  endpoint where;
  if (!endpoint::parse(options.metrics_listen, where)) {
    return nullptr;
  }
  return std::make_unique<http_server>(where,
                                       sources{.stats = [&server] { return server.snapshot(); },
                                               .holders = [&server] { return server.holders(); }});
}

/// True where no file is wanted, too.
bool write_port_file(const std::string& path, const std::string& address) {
  return path.empty() || replace_file(path, address + "\n");
}

int serve_until_signal(reloader& configured, const ::sigset_t& signals) {
  const serve_options& options = configured.options();
  frame_server server(options);
  server.start();
  const std::unique_ptr<http_server> metrics = serve_metrics(server, options);
  fmt::print("ringpool: listening on {} with {} loops, buffers: {}\n", server.address(),
             server.snapshot().loops, describe_buffers(options));
  if (metrics != nullptr) {
    fmt::print("ringpool: metrics on http://{}/\n", metrics->address());
  }
  std::fflush(stdout);
  if ((metrics != nullptr && !write_port_file(options.metrics_port_file, metrics->address())) ||
      !write_port_file(options.port_file, server.address())) {
    return exit_failure;
  }
  serve_signals(signals, server, configured);
  drain(signals, server, options);
  write_stats(server, options);
  print_recording(server.snapshot().recording, options.record_file);
  print_summary(server.snapshot());
  return 0;
}

}  // namespace

int run_serve(const serve_options& asked, const std::vector<std::string>& arguments) {
  if (only_prints(asked)) {
    return print_configuration(asked, arguments);
  }
  configuration found = configure(asked, arguments);
  for (const std::string& fault : found.faults) {
    complain(fault);
  }
  if (!found.faults.empty()) {
    return exit_bad_options;
  }
  if (const std::string fault = find_memory_fault(found.options); !fault.empty()) {
    complain(fault);
    return exit_bad_options;
  }
  const ::sigset_t signals = block_signals(!asked.config.empty());
  try {
    reloader configured(asked, arguments, std::move(found.options));
    return serve_until_signal(configured, signals);
  } catch (const std::system_error& error) {
    complain(error.what());
    return error.code().category() == error_category() ? exit_bad_options : exit_failure;
  }
}

}  // namespace ringpool::tools
