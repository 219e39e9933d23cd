// SPDX-License-Identifier: MIT
#pragma once

// A child process with two threads: the victim, which makes the calls under test and is moved by
// the parent one machine instruction at a time, and the bystander, which runs free and shows at
// every stop that it can go on.
//
//   parent    wait ----- step, step, ... step --- ask ------- step ...      ptrace(2), SINGLESTEP
//   victim    trap | prepare | inside = 1 | the call | inside = 0 | trap
//   bystander                                     32 operations, answer
//
// Both sides talk through one page of shared memory.

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <thread>

namespace ringpool::instruction {

/// What parent and child share.
struct board {
  std::atomic<bool> seized;          ///< by the parent
  std::atomic<bool> inside;          ///< the victim is in a call under test
  std::atomic<std::uint32_t> asked;  ///< rounds of the bystander that were asked for
  std::atomic<std::uint32_t> answered;
  std::atomic<std::uint32_t> refused;  ///< fewer buffers than the stopped call left
  std::atomic<std::uint32_t> faults;   ///< of stamps, books or capacity
  std::atomic<bool> over;
};

/// What stepping through calls came to.
struct verdict {
  std::string problem;  ///< of the means: no ptrace, a child that died
  std::uint64_t calls = 0;
  std::uint64_t stops = 0;
  std::uint64_t blocked = 0;
  std::uint64_t refused = 0;
  std::uint64_t faults = 0;
  std::uint64_t longest = 0;  ///< instructions in a call
};

/// How the parent moves the victim through one call.
struct stepping {
  std::uint64_t first_stop = 0;   ///< after so many instructions; 0: at each instruction
  std::uint64_t second_stop = 0;  ///< so many later; 0: none
  std::uint64_t stride = 1;       ///< of a call that is stopped at each instruction
  /// Of such a call: without an end to them, a call that is lock-free, and not wait-free, could be
  /// overtaken for ever.
  std::uint64_t most_stops = 2000;
  int signal = 0;  ///< delivered at the first stop, in place of asking
};

class stepper {
 public:
  /// `child(board)` runs in the child and traps (raise(SIGTRAP)) before each call. It is killed
  /// when the stepper dies.
  template <class Child>
  explicit stepper(Child child)
      : board_(new (::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0)) board{}) {
    victim_ = ::fork();
    if (victim_ == 0) {
      while (!board_->seized) {
        std::this_thread::yield();
      }
      child(*board_);
      ::_exit(0);
    }
    if (victim_ < 0 || ::ptrace(PTRACE_SEIZE, victim_, nullptr, PTRACE_O_EXITKILL) != 0) {
      result_.problem = std::string("ptrace: ") + std::strerror(errno);
      return;
    }
    board_->seized = true;
  }
  ~stepper() {
    board_->over = true;
    ::kill(victim_, SIGKILL);
    ::waitpid(victim_, nullptr, __WALL);
    ::munmap(board_, sizeof(board));
  }
  stepper(const stepper&) = delete;
  stepper& operator=(const stepper&) = delete;

  /// Moves the victim through its next call; instructions in it, 0: something is wrong, or the
  /// bystander was blocked.
  std::uint64_t step_through(const stepping& how) {
    if (!run_to_trap()) {
      return 0;
    }
    while (!board_->inside) {
      if (!step()) {
        return 0;
      }
    }
    ++result_.calls;
    std::uint64_t done = 0;
    while (board_->inside) {
      if (is_stop(how, done) && !stop(how)) {
        return done;  // the victim goes on by itself
      }
      if (result_.blocked != 0) {
        return 0;
      }
      if (!step()) {
        return 0;
      }
      ++done;
    }
    result_.longest = std::max(result_.longest, done);
    return done;
  }

  [[nodiscard]] verdict result() const {
    verdict now = result_;
    now.refused = board_->refused;
    now.faults = board_->faults;
    return now;
  }

 private:
  static bool is_stop(const stepping& how, std::uint64_t done) {
    if (how.first_stop == 0) {
      return done % how.stride == 0 && done / how.stride < how.most_stops;
    }
    return done == how.first_stop ||
           (how.second_stop != 0 && done == how.first_stop + how.second_stop);
  }

  /// False: the rest of the call runs without steps.
  bool stop(const stepping& how) {
    ++result_.stops;
    if (how.signal != 0) {
      resume(PTRACE_CONT, how.signal);
      running_ = true;
      return false;
    }
    const std::uint32_t round = board_->asked.fetch_add(1) + 1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (board_->answered != round) {
      if (std::chrono::steady_clock::now() > end) {
        ++result_.blocked;
        return true;  // it answers once the victim has gone on
      }
      std::this_thread::yield();
    }
    return true;
  }

  bool run_to_trap() {
    for (;;) {
      if (!running_) {
        resume(PTRACE_CONT, 0);
      }
      running_ = false;
      const int signal = wait_for_stop();
      if (signal == SIGTRAP) {
        return true;
      }
      if (signal < 0) {
        return false;
      }
    }
  }
  bool step() {
    resume(PTRACE_SINGLESTEP, 0);
    return wait_for_stop() >= 0;
  }
  void resume(__ptrace_request how, int signal) { ::ptrace(how, victim_, nullptr, signal); }

  /// The signal that stopped the victim; -1: it is no more.
  int wait_for_stop() {
    int status = 0;
    if (::waitpid(victim_, &status, __WALL) != victim_ || !WIFSTOPPED(status)) {
      result_.problem = "the child ended: status " + std::to_string(status);
      return -1;
    }
    return WSTOPSIG(status);
  }

  board* board_;
  pid_t victim_ = -1;
  bool running_ = true;  ///< after the fork, and after a signal was delivered
  verdict result_;
};

}  // namespace ringpool::instruction
