// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "leave.hpp"

namespace ringpool::test {

/// How a child process ended, and all that it wrote to standard error.
struct child_result {
  int status = -1;
  std::string errors;

  [[nodiscard]] bool exited_with(int code) const {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
  }
  [[nodiscard]] bool killed_by(int signal) const {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
  }
};

/// Runs `body` in a forked child, for what would spoil this process: limits, lost privileges,
/// abort. The child exits with what `body` returns.
template <class Body>
[[nodiscard]] child_result run_in_child(Body body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return {};
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);
    int code = 125;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fputs(error.what(), stderr);
    }
    std::fflush(stderr);
    leave(code);
  }
  ::close(ends[1]);
  child_result result;
  char text[512];
  for (ssize_t length = 0; (length = ::read(ends[0], text, sizeof text)) > 0;) {
    result.errors.append(text, static_cast<std::size_t>(length));
  }
  ::close(ends[0]);
  if (child < 0 || ::waitpid(child, &result.status, 0) != child) {
    result.status = -1;
  }
  return result;
}

}  // namespace ringpool::test
