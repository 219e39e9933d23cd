// SPDX-License-Identifier: MIT
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "../support/leave.hpp"
#include "verdict.hpp"

namespace ringpool::stress {

/// How a body went in a process of its own.
enum class ending {
  sound,      ///< it returned, and found nothing
  violation,  ///< it found something; what, is in the text
  stuck,      ///< no worker got on for a while: a call does not return
  timeout,    ///< it was still at work when time was up
  crashed,    ///< a signal ended it
};

struct outcome {
  ending how = ending::crashed;
  std::string text;
  std::chrono::milliseconds took{};
};

namespace detail_of_child {

/// Knows for how long each worker has been silent.
class silence_watch {
 public:
  using clock = std::chrono::steady_clock;
  [[nodiscard]] clock::duration longest(const verdict& log, clock::time_point now) {
    clock::duration most{};
    for (unsigned worker = 0; worker < verdict::max_workers; ++worker) {
      one& last = last_[worker];
      const std::uint64_t beats = log.beats(worker);
      if (beats != last.beats || beats == verdict::not_at_work) {
        last = {beats, now};
      }
      most = std::max(most, now - last.when);
    }
    return most;
  }

 private:
  struct one {
    std::uint64_t beats = 0;
    clock::time_point when;
  };
  std::array<one, verdict::max_workers> last_{};
};

/// Runs `body` on a thread and judges from outside: what is broken may never return.
inline ending watch(const std::function<void(verdict&)>& body, verdict& log,
                    std::chrono::milliseconds limit) {
  std::atomic<bool> returned{false};
  std::thread([&] {
    body(log);
    returned.store(true, std::memory_order_release);
  }).detach();
  const auto start = silence_watch::clock::now();
  silence_watch silence;
  while (log.clean()) {
    const auto now = silence_watch::clock::now();
    if (returned.load(std::memory_order_acquire)) {
      return log.clean() ? ending::sound : ending::violation;
    }
    if (now - start > limit) {
      return ending::timeout;
    }
    if (silence.longest(log, now) > limit / 4) {
      log.violation("a call does not return");
      return ending::stuck;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return ending::violation;
}

inline std::string read_all(int file) {
  std::string text;
  char part[512];
  for (ssize_t count = 0; (count = ::read(file, part, sizeof part)) > 0;) {
    text.append(part, static_cast<std::size_t>(count));
  }
  return text;
}

}  // namespace detail_of_child

/// Runs `body` in a forked child, for at most `limit`. What is broken may hang or crash there
/// without harm. The calling process must have one thread.
inline outcome run_in_child(const std::function<void(verdict&)>& body,
                            std::chrono::milliseconds limit) {
  const auto start = std::chrono::steady_clock::now();
  int channel[2];
  if (::pipe(channel) != 0) {
    return {};
  }
  const pid_t child = ::fork();
  if (child == 0) {
    verdict log;
    const ending how = detail_of_child::watch(body, log, limit);
    const std::string text = log.text();
    const bool told = ::write(channel[1], text.data(), text.size()) >= 0;
    test::leave(told ? static_cast<int>(how) : 99);
  }
  ::close(channel[1]);
  outcome result;
  result.text = detail_of_child::read_all(channel[0]);
  ::close(channel[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) < static_cast<int>(ending::crashed)) {
    result.how = static_cast<ending>(WEXITSTATUS(status));
  }
  result.took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  return result;
}

}  // namespace ringpool::stress
