// SPDX-License-Identifier: MIT
//
// Where the kernel refuses membarrier(2) capacity is exact all the same: each test runs in a
// process of its own under a seccomp filter. The death tests are of the "threadsafe" style: the
// process is started anew, so that nothing has asked the kernel before the filter is there.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "../support/leave.hpp"
#include "exact_capacity.hpp"
#include "scale.hpp"
#include "traffic.hpp"

namespace ringpool::stress {
namespace {

/// Answers membarrier with `action` on all threads of the process, and lets everything else pass.
bool filter_membarrier(unsigned action) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

unsigned refuse_with(int error) { return SECCOMP_RET_ERRNO | static_cast<unsigned>(error); }

/// What membarrier does now, asked by a child: 0, an errno, or minus the signal that it died of.
int answer_of_kernel() {
  const pid_t child = ::fork();
  if (child == 0) {
    const long done = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0U, 0);
    ::_exit(done == 0 ? 0 : errno);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

[[noreturn]] void finish(const verdict& log) {
  std::fprintf(stderr, "%s", log.clean() ? "" : log.text().c_str());
  test::leave(log.clean() ? 0 : 1);
}

pool_options ring_alone() {
  pool_options options;
  options.upstream = nullptr;
  return options;
}

void use_pools(verdict& log) {
  for (const std::size_t capacity : {1U, 4U, 64U, 4096U}) {
    ring_buffer_pool pool(64, capacity, ring_alone());
    exact_capacity(pool, {.dead = 4, .idle = 4, .taking = 8, .at_once = false}, log);
  }
  ring_buffer_pool pool(64, 64, ring_alone());
  traffic(pool, {.threads = 4, .takes = scaled(20'000), .hold = 40, .refusals_allowed = true}, log)
      .run();
}

[[noreturn]] void run_under(unsigned action, int expected_answer) {
  verdict log;
  log.require(filter_membarrier(action), "the filter cannot be installed");
  log.require(answer_of_kernel() == expected_answer, "the filter does not do what it should");
  use_pools(log);
  finish(log);
}

class refused_membarrier : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(refused_membarrier, with_enosys_leaves_capacity_exact) {
  EXPECT_EXIT(run_under(refuse_with(ENOSYS), ENOSYS), testing::ExitedWithCode(0), "");
}
TEST_F(refused_membarrier, with_eperm_leaves_capacity_exact) {
  EXPECT_EXIT(run_under(refuse_with(EPERM), EPERM), testing::ExitedWithCode(0), "");
}
TEST_F(refused_membarrier, with_a_deadly_signal_leaves_capacity_exact) {
  EXPECT_EXIT(run_under(SECCOMP_RET_KILL_PROCESS, -SIGSYS), testing::ExitedWithCode(0), "");
}

/// Pools are in use, threads sit on full caches, and then the kernel changes its mind.
[[noreturn]] void refuse_after_construction() {
  verdict log;
  ring_buffer_pool pool(64, 1024, ring_alone());
  ring_buffer_pool small(64, 4, ring_alone());
  const auto fill = [&](unsigned number) {
    fill_cache(pool, 1 + number, log);
    fill_cache(small, 1 + number, log);
  };
  { const idle_crew dead(4, fill); }
  {
    const idle_crew idle(4, fill);
    log.require(pool.stats().cached != 0, "no cache is in use");
    log.require(filter_membarrier(refuse_with(EPERM)), "the filter cannot be installed");
    log.require(answer_of_kernel() == EPERM, "the filter does not do what it should");
    require_exactly(pool, 64, 1024, log);
    require_exactly(small, 64, 4, log);
    exact_capacity(pool, {.dead = 2, .idle = 2, .taking = 4}, log);
    exact_capacity(small, {.dead = 2, .idle = 2, .taking = 4}, log);
  }
  traffic(small, {.threads = 4, .takes = scaled(5'000), .hold = 4, .refusals_allowed = true}, log)
      .run();
  finish(log);
}

TEST_F(refused_membarrier, after_the_pool_was_built_leaves_capacity_exact) {
  EXPECT_EXIT(refuse_after_construction(), testing::ExitedWithCode(0), "");
}

TEST_F(refused_membarrier, twin_a_violation_under_a_filter_is_reported) {
  EXPECT_EXIT(
      {
        verdict log;
        log.require(filter_membarrier(refuse_with(EPERM)), "the filter cannot be installed");
        log.require(answer_of_kernel() == 0, "membarrier is not refused");
        finish(log);
      },
      testing::ExitedWithCode(1), "membarrier is not refused");
}

}  // namespace
}  // namespace ringpool::stress
