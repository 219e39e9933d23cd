// SPDX-License-Identifier: MIT
#pragma once

// What a contender is, and how it joins: see docs/benchmarks.md. A contender is one file in
// bench/contenders/, a class and one line:
//
//   class mine {
//    public:
//     static constexpr bench::about about{.name = "mine"};
//     explicit mine(const bench::demand& wanted);
//     void* take(std::size_t bytes);             nullptr: none left
//     void give(void* buffer, std::size_t bytes);   bytes: as asked for
//   };
//   const bool added = bench::add<mine>();
//
// The workloads are templates over that class, so that what a library offers inline is inlined, and
// what it offers as a function is called.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bench {

/// What a workload will ask for: `count` buffers at once, none above `bytes`, by `threads` threads.
struct demand {
  std::size_t bytes;
  std::size_t count;
  std::size_t threads = 1;
};

/// What a contender can do; the workloads that it cannot do leave it out.
struct about {
  const char* name;
  bool ours = false;
  bool any_size = false;        ///< else the mixed sizes get one instance for each size class
  bool crosses_threads = true;  ///< a buffer may be given back by another thread
  bool exact = false;           ///< refuses once `count` buffers are out, and not before
  bool one_thread = false;      ///< no synchronisation at all
};

enum class workload : std::uint8_t {
  hot_pair,
  held_fifo,
  held_random,
  mixed_sizes,
  bulk_32,
  hand_off,
  hand_off_touched,
  threads_2,
  threads_16,
  threads_64,
  tail_64,
  refusal,
  at_limit,
  elastic,
  upstream,
  raid,
  births,
  memory,
};
inline constexpr std::size_t workload_count = 18;

/// How long one measurement takes.
struct effort {
  double scale = 1;  ///< of each workload's own duration
  std::size_t births = 10'000;
  unsigned first_cpu = 0;
  unsigned second_cpu = 0;  ///< the same where the process may use one processor
};

/// One measurement: a value for each column of its workload; none: it came to no end.
using sample = std::vector<double>;
using measurement = sample (*)(const effort&);

struct contender {
  std::string name;
  about what;
  std::array<measurement, workload_count> measure{};  ///< nullptr: not for this one

  [[nodiscard]] measurement find(workload which) const {
    return measure[static_cast<std::size_t>(which)];
  }
  [[nodiscard]] measurement& operator[](workload which) {
    return measure[static_cast<std::size_t>(which)];
  }
};

/// All that joined, in the order of their names. Contenders of one name share a row.
std::vector<contender>& contenders();

/// The row of a name, made where there is none.
contender& row(const about& what);

/// A contender that cannot run here says why, once, instead of joining.
void leave_out(const char* name, const std::string& why);
[[nodiscard]] const std::vector<std::string>& left_out();

}  // namespace bench
