// SPDX-License-Identifier: MIT
#include "child_server.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "load_socket.hpp"

namespace ringpool::tools {
namespace {

constexpr std::chrono::milliseconds poll_interval{2};
constexpr std::chrono::milliseconds start_limit{10'000};
constexpr std::chrono::milliseconds stats_limit{5'000};
constexpr std::chrono::milliseconds stop_limit{10'000};

std::string read_whole(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream content;
  content << in.rdbuf();
  return content.str();
}

}  // namespace

server_snapshot parse_server_stats(const nlohmann::json& stats) {
  server_snapshot result;
  stats.at("frames").get_to(result.frames);
  stats.at("bytes").get_to(result.bytes);
  stats.at("buffers_in_use").get_to(result.buffers_in_use);
  stats.at("heap_allocations_on_data_path").get_to(result.heap_allocations);
  stats.at("private_dirty_bytes").get_to(result.private_dirty_bytes);
  stats.at("rings").get_to(result.rings);
  stats.at("kernel_buffers").get_to(result.kernel_buffers);
  const nlohmann::json& connections = stats.at("connections");
  connections.at("open").get_to(result.connections_open);
  connections.at("idle").get_to(result.connections_idle);
  connections.at("starved").get_to(result.starved);
  for (const nlohmann::json& row : stats.at("classes")) {
    class_snapshot& one = result.classes.emplace_back();
    row.at("buffer_size").get_to(one.buffer_size);
    row.at("ring_size").get_to(one.ring_size);
    row.at("alloc_count").get_to(one.alloc_count);
    row.at("free_count").get_to(one.free_count);
    row.at("fallback_count").get_to(one.fallback_count);
    row.at("peak_in_use").get_to(one.peak_in_use);
    row.at("in_use").get_to(one.in_use);
  }
  return result;
}

scratch_directory::scratch_directory() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    throw load_error("there is no directory for temporary files; TMPDIR, when set, must name one");
  }
  std::string pattern = (parent / "ringpool-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw load_error(
        fmt::format("cannot make a directory like {}: {}", pattern, std::strerror(errno)));
  }
  path_ = pattern;
}

scratch_directory::~scratch_directory() {
  std::error_code ignored;  // what cannot be removed stays in the directory for temporary files
  std::filesystem::remove_all(path_, ignored);
}

child_server::child_server(std::string name, std::vector<std::string> arguments,
                           const std::filesystem::path& directory)
    : name_(std::move(name)),
      arguments_(std::move(arguments)),
      port_file_(directory / (name_ + ".port")),
      stats_file_(directory / (name_ + ".json")),
      log_file_(directory / (name_ + ".log")) {
  const pid_t parent = ::getpid();
  child_ = ::fork();
  if (child_ < 0) {
    throw load_error(fmt::format("cannot start the server: fork: {}", std::strerror(errno)));
  }
  if (child_ == 0) {
    exec_child(parent);
  }
  try {
    await_address();
  } catch (...) {  // no destructor runs for a constructor that throws
    int status = 0;
    if (!ended(status)) {
      static_cast<void>(::kill(child_, SIGKILL));
      static_cast<void>(::waitpid(child_, nullptr, 0));
    }
    throw;
  }
}

child_server::~child_server() {
  if (child_ < 0) {
    return;
  }
  static_cast<void>(::kill(child_, SIGKILL));
  static_cast<void>(::waitpid(child_, nullptr, 0));
}

// Runs in the child. The parent has one thread at this point, so that everything may be called.
void child_server::exec_child(pid_t parent) const {
  static_cast<void>(::setpgid(0, 0));
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGTERM));
  if (::getppid() != parent) {
    ::_exit(127);  // the parent died before the line above
  }
  const int log = ::open(log_file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  static_cast<void>(::dup2(nothing, STDIN_FILENO));
  static_cast<void>(::dup2(log, STDOUT_FILENO));
  static_cast<void>(::dup2(log, STDERR_FILENO));
  std::vector<const char*> arguments{
      "ringpool",         "serve",        "--listen",         "127.0.0.1:0", "--port-file",
      port_file_.c_str(), "--stats-file", stats_file_.c_str()};
  for (const std::string& one : arguments_) {
    arguments.push_back(one.c_str());
  }
  arguments.push_back(nullptr);
  ::execv("/proc/self/exe", const_cast<char* const*>(arguments.data()));
  fmt::print(stderr, "execv: {}\n", std::strerror(errno));
  std::fflush(stderr);
  ::_exit(127);
}

void child_server::await_address() {
  const bool ready = await(start_limit, [this] {
    address_ = read_whole(port_file_);
    return address_.find('\n') != std::string::npos;
  });
  if (!ready) {
    fail("did not start");
  }
  address_.erase(address_.find_last_not_of(" \r\n") + 1);
}

server_snapshot child_server::snapshot() {
  // Removed first and renamed into place by the server: when it is there again, it is whole and
  // new.
  std::filesystem::remove(stats_file_);
  if (::kill(child_, SIGUSR1) != 0) {
    fail("is gone");
  }
  if (!await(stats_limit, [this] { return std::filesystem::exists(stats_file_); })) {
    fail("gave no statistics");
  }
  try {
    server_snapshot result = parse_server_stats(nlohmann::json::parse(read_whole(stats_file_)));
    result.resident_bytes = resident_bytes();
    return result;
  } catch (const nlohmann::json::exception& error) {
    fail(fmt::format("gave statistics that cannot be read ({})", error.what()));
  }
}

std::uint64_t child_server::resident_bytes() const {
  std::ifstream status(fmt::format("/proc/{}/status", child_));
  for (std::string word; status >> word;) {
    std::uint64_t kibibytes = 0;
    if (word == "VmRSS:" && status >> kibibytes) {
      return kibibytes * 1024;
    }
  }
  return 0;
}

void child_server::check_running() {
  int status = 0;
  if (ended(status)) {
    fail("ended while it was driven");
  }
}

void child_server::stop() {
  static_cast<void>(::kill(child_, SIGTERM));
  int status = 0;
  if (!await(stop_limit, [&] { return ended(status); })) {
    fail("does not end");
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fail("ended with an error");
  }
}

// Reaps the child when it has ended.
bool child_server::ended(int& status) noexcept {
  if (child_ < 0) {
    return true;
  }
  if (::waitpid(child_, &status, WNOHANG) != child_) {
    return false;
  }
  child_ = -1;
  return true;
}

void child_server::fail(const std::string& what) const {
  std::string log = read_whole(log_file_);
  while (!log.empty() && log.back() == '\n') {
    log.pop_back();
  }
  throw load_error(
      fmt::format("the server ({}) {}{}{}", name_, what, log.empty() ? "" : "; it said:\n", log));
}

// Whether `condition` became true in time, while the child was running.
template <class Condition>
bool child_server::await(std::chrono::milliseconds limit, Condition condition) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    siginfo_t info{};
    const bool running =
        child_ >= 0 &&
        ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == 0;
    if (!running) {
      return condition();
    }
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::sleep_for(poll_interval);
  }
  return true;
}

}  // namespace ringpool::tools
