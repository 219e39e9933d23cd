// SPDX-License-Identifier: MIT
#include "ringpool/detail/asymmetric_fence.hpp"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ringpool::detail {
namespace {

enum class support : int { unknown, yes, no };
std::atomic<support> known{support::unknown};

long membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0U, 0); }

bool register_process() noexcept {
  return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

/// True when a seccomp filter is installed: an innocent-looking call may then kill.
bool seccomp_filter_installed() noexcept {
  const int file = ::open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return true;
  }
  char text[8192];
  const ssize_t length = ::read(file, text, sizeof text - 1);
  ::close(file);
  text[length > 0 ? length : 0] = '\0';
  const char* line = std::strstr(text, "Seccomp:\t");
  return line == nullptr || line[9] != '0';
}

/// Lets a child process ask first. A bare clone without a signal at exit: no SIGCHLD, no atfork
/// handlers; the child calls nothing but the kernel.
bool child_survives_registration() noexcept {
  const long child = ::syscall(SYS_clone, 0L, nullptr, nullptr, nullptr, 0L);
  if (child == 0) {
    ::syscall(SYS_exit_group, register_process() ? 0 : 1);
  }
  int status = 0;
  while (child > 0 && ::waitpid(static_cast<pid_t>(child), &status, __WALL) < 0) {
    if (errno != EINTR) {
      return false;
    }
  }
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool ask_kernel() noexcept {
  if (const char* wish = ::getenv("RINGPOOL_MEMBARRIER"); wish != nullptr && wish[0] == '0') {
    return false;
  }
  if (seccomp_filter_installed() && !child_survives_registration()) {
    return false;
  }
  return register_process();
}

/// sched_setaffinity(2) to each processor in turn. EINVAL: no thread of this process can be there.
bool visit_every_processor() noexcept {
  cpu_set_t home;
  if (::sched_getaffinity(0, sizeof home, &home) != 0) {
    return false;
  }
  bool refused = false;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    cpu_set_t there;
    CPU_ZERO(&there);
    CPU_SET(static_cast<unsigned>(processor), &there);
    refused = refused || (::sched_setaffinity(0, sizeof there, &there) != 0 && errno != EINVAL);
  }
  ::sched_setaffinity(0, sizeof home, &home);
  return !refused;
}

}  // namespace

bool membarrier_available() noexcept {
  // relaxed: the answer is the same for every thread that asks
  support answer = known.load(relaxed);
  if (answer == support::unknown) {
    const int error = errno;
    answer = ask_kernel() ? support::yes : support::no;
    errno = error;
    known.store(answer, relaxed);
  }
  return answer == support::yes;
}

void membarrier_after_fork() noexcept {
  // relaxed: a child starts with one thread
  if (known.load(relaxed) == support::yes && !register_process()) {
    known.store(support::no, relaxed);
  }
}

heavy_result membarrier_heavy() noexcept {
  const int error = errno;
  heavy_result result = heavy_result::made;
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) {
    known.store(support::no, relaxed);
    std::atomic_thread_fence(seq_cst);
    result = visit_every_processor() ? heavy_result::made_once : heavy_result::refused;
  }
  errno = error;
  return result;
}

}  // namespace ringpool::detail
