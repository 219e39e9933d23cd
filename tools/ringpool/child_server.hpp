// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>
#include <nlohmann/json_fwd.hpp>

namespace ringpool::tools {

/// What a server says of one size class.
struct class_snapshot {
  std::uint64_t buffer_size = 0;
  std::uint64_t ring_size = 0;
  std::uint64_t alloc_count = 0;
  std::uint64_t free_count = 0;
  std::uint64_t fallback_count = 0;
  std::uint64_t peak_in_use = 0;
  std::uint64_t in_use = 0;
};

/// What a server says of itself, and what the operating system says of it.
struct server_snapshot {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t buffers_in_use = 0;
  std::uint64_t heap_allocations = 0;  ///< on the data path
  std::uint64_t resident_bytes = 0;    ///< read by the caller from /proc, not taken from the server
  std::uint64_t private_dirty_bytes = 0;
  std::uint64_t connections_open = 0;
  std::uint64_t connections_idle = 0;
  std::uint64_t rings = 0;
  std::uint64_t kernel_buffers = 0;
  std::uint64_t starved = 0;
  std::vector<class_snapshot> classes;
};

/// Throws nlohmann::json::exception when a figure is missing or of another type.
server_snapshot parse_server_stats(const nlohmann::json& stats);

/// A directory for the files of one demo, removed with all that is in it.
class scratch_directory {
 public:
  scratch_directory();
  ~scratch_directory();
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// `ringpool serve` as a child process of its own process group: an interrupt from the terminal
/// reaches the parent alone, which then ends the child; and the child ends when the parent dies.
///
/// Invariant:     the child is running from the constructor to stop() or the destructor, whichever
/// comes first. Progress:      every call ends within its time-out. Thread-safety: none.
class child_server {
 public:
  /// `name` is for messages and files; `arguments` are those of `serve`, beyond where it listens.
  /// Throws load_error when the server does not start.
  child_server(std::string name, std::vector<std::string> arguments,
               const std::filesystem::path& directory);
  ~child_server();
  child_server(const child_server&) = delete;
  child_server& operator=(const child_server&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& address() const noexcept { return address_; }

  /// Asks for the statistics now (SIGUSR1) and waits for them. Throws load_error when none come.
  server_snapshot snapshot();
  [[nodiscard]] std::uint64_t resident_bytes() const;

  /// Throws load_error when the server has ended by itself.
  void check_running();

  [[nodiscard]] pid_t pid() const noexcept { return child_; }

  /// Ends the server (SIGTERM). Throws load_error when it does not end by itself with exit code 0.
  void stop();

 private:
  [[noreturn]] void exec_child(pid_t parent) const;
  void await_address();
  [[nodiscard]] bool ended(int& status) noexcept;
  [[noreturn]] void fail(const std::string& what) const;
  template <class Condition>
  bool await(std::chrono::milliseconds limit, Condition condition);

  std::string name_;
  std::vector<std::string> arguments_;
  std::filesystem::path port_file_;
  std::filesystem::path stats_file_;
  std::filesystem::path log_file_;
  std::string address_;
  pid_t child_ = -1;
};

}  // namespace ringpool::tools
