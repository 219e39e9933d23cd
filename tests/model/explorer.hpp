// SPDX-License-Identifier: MIT
#pragma once

// Runs a small concurrent program in all ways that a bound allows: every interleaving with at most
// so many preemptions, every value that C++ memory orders let a load return, and every point at
// which one thread may stop for ever.
//
// Memory by views (J. Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", POPL
// 2017, without promises): a location is the sequence of its stores; a thread's view says how old a
// store it may still read of each location; a release store carries its thread's view, an acquire
// load takes it over; a read-modify-write reads the last store and passes on what that one carried.
// seq_cst operations and fences also go through one common view. membarrier is such a fence on
// every thread. Stores enter a location's sequence in the order in which they are made.
//
// Not covered: stores ordered before earlier ones of other threads, loads of stores yet to come.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "fiber.hpp"

namespace ringpool::model {

inline constexpr unsigned max_threads = 4;

/// What an exploration may do.
struct bounds {
  unsigned preemptions = 3;  ///< switches away from a thread that could go on
  unsigned stale_loads = 2;  ///< loads that return another store than the last
  bool park = false;         ///< one thread may stop for ever, anywhere
  std::uint64_t executions = 2'000'000;
  std::uint64_t random = 0;  ///< 0: depth first; else that many random executions
  /// Random ones: 0: each choice by itself. Else threads have priorities, of which this many change
  /// at random steps: PCT, S. Burckhardt et al., ASPLOS 2010, which finds a bug that takes d
  /// ordered events of n threads and k steps with a chance of at least 1 / (n k^(d-1)).
  unsigned priority_changes = 0;
  std::uint64_t seed = 1;
  unsigned steps = 4000;  ///< of one execution; more is a thread that is blocked
};

/// A source line whose memory order is to be taken as relaxed: a seeded bug.
struct weakened_site {
  std::string file;
  std::uint32_t line = 0;
};

struct outcome {
  std::uint64_t executions = 0;
  bool complete = false;  ///< every execution within the bounds was made
  std::string violation;  ///< empty: none
  std::string choices;    ///< replays the violation: see replay()
  std::vector<std::pair<std::string, std::uint32_t>> ordered_sites;  ///< with an order to weaken
};

/// Ends the execution with a violation unless `holds`. Does not return then: the code under test
/// is noexcept, so nothing is thrown; its fiber just never goes on.
void require(bool holds, const char* what);

/// A program: made anew for each execution; thread bodies run on fibers.
class program {
 public:
  program() = default;
  virtual ~program() = default;
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  [[nodiscard]] virtual unsigned thread_count() const = 0;
  virtual void run_thread(unsigned number) = 0;
  /// After all threads have ended; `parked` is the thread that stopped for ever, or max_threads.
  virtual void check_at_end(unsigned parked) = 0;
};

using program_factory = std::function<std::unique_ptr<program>()>;

[[nodiscard]] outcome explore(const program_factory& make, const bounds& limits,
                              const weakened_site& seeded = {}, bool without_membarrier = false);
/// Makes the one execution that `choices` names.
[[nodiscard]] outcome replay(const program_factory& make, const bounds& limits,
                             const std::string& choices, const weakened_site& seeded = {},
                             bool without_membarrier = false);

// ---- What model::atomic asks for ----------------------------------------------------------------

using location_id = std::uint32_t;
enum class order : std::uint8_t { relaxed, acquire, release, acq_rel, seq_cst };

/// The value of a location that was never stored to is 0.
[[nodiscard]] std::uint64_t load(location_id& id, order how, const std::source_location& where);
void store(location_id& id, std::uint64_t value, order how, const std::source_location& where);
/// Reads the last store and, if `apply` gives a new value, appends it. Returns what was read.
struct update {
  bool write;
  std::uint64_t value;
};
class change_ref {
 public:
  template <class Change>
  change_ref(Change& change)  // NOLINT(google-explicit-constructor): a reference to a callable
      : context_(&change), call_([](void* context, std::uint64_t old) {
          return (*static_cast<Change*>(context))(old);
        }) {}
  update operator()(std::uint64_t old) const { return call_(context_, old); }

 private:
  void* context_;
  update (*call_)(void*, std::uint64_t);
};
[[nodiscard]] std::uint64_t read_modify_write(location_id& id, order success, order failure,
                                              change_ref apply, const std::source_location& where);
[[nodiscard]] std::uint64_t peek(location_id id);
void full_fence();
void membarrier();
/// The thread that runs now; max_threads: none, before or after all.
[[nodiscard]] unsigned current_thread();
/// How many of `thread`'s events happened before what the running thread does now.
[[nodiscard]] std::uint32_t known_events_of(unsigned thread);
/// Counts an event of the running thread, and returns its number.
std::uint32_t new_event();
/// A place to stop or to be preempted that touches no memory.
void step();
/// A turn of a loop that waits for another thread: one that does not wait itself goes on.
void yield();

/// A byte of payload: a plain variable under a race detector.
class payload {
 public:
  void write(std::uint64_t value);
  [[nodiscard]] std::uint64_t read();

 private:
  using clock = std::array<std::uint32_t, max_threads + 1>;
  void check(const clock& last, const char* what) const;
  std::uint64_t value_ = 0;
  clock reads_{};
  clock writes_{};
};

}  // namespace ringpool::model
