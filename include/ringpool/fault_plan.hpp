// SPDX-License-Identifier: MIT
#pragma once

//   alloc --> no plan: fast path
//         --> a plan:  slow path --> should_fail(buffer_size)? --> yes: refused, as when exhausted
//                                                              --> no:  ring, elastic, upstream

#include <cstddef>
#include <cstdint>
#include <thread>

#include "ringpool/detail/atomics.hpp"

namespace ringpool {

/// Which allocations fail, of those that match. What is 0 does not count; of several, any one is
/// enough.
struct fault_rule {
  std::uint64_t nth = 0;        ///< this one alone, the first is 1
  std::uint64_t every = 0;      ///< each whose number this divides
  double probability = 0;       ///< 0 to 1: each, by a throw of its own
  std::uint64_t seed = 1;       ///< for probability: the same seed fails the same numbers
  std::size_t buffer_size = 0;  ///< only of pools or classes with these buffers; 0: of all
  std::thread::id thread{};     ///< only on this thread; none: on all
};

/// Faults on purpose, for tests of what a program does without buffers: see pool_options::faults.
///
/// Invariant: injected_count <= asked_count; which numbers fail depends on the rule alone.
/// Progress: wait-free.
/// Thread-safety: every member, from any thread and from signal handlers. Which thread draws which
///   number is chance; one thread, or a rule for one thread, makes a run that repeats.
/// Cost: one read-modify-write of a shared line for each allocation that matches, and the pool's
///   slow path for all.
class fault_plan {
 public:
  explicit fault_plan(const fault_rule& rule) noexcept : rule_(rule) {}
  fault_plan(const fault_plan&) = delete;
  fault_plan& operator=(const fault_plan&) = delete;

  /// Pools ask for each allocation. True: refuse it.
  [[nodiscard]] bool should_fail(std::size_t buffer_size) noexcept;

  [[nodiscard]] const fault_rule& rule() const noexcept { return rule_; }
  /// Allocations that matched, failed or not.
  [[nodiscard]] std::uint64_t asked_count() const noexcept { return asked_.load(detail::relaxed); }
  /// Of asked_count(): failed.
  [[nodiscard]] std::uint64_t injected_count() const noexcept {
    return injected_.load(detail::relaxed);
  }

 private:
  [[nodiscard]] bool fails(std::uint64_t number) const noexcept;

  fault_rule rule_;
  // relaxed: counts that stand for themselves, and publish nothing
  std::atomic<std::uint64_t> asked_{0};
  std::atomic<std::uint64_t> injected_{0};
};

}  // namespace ringpool
