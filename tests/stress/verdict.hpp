// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ringpool::stress {

/// What a stress body found. The bodies judge and go on; the tests, and the twins with their seeded
/// bugs, decide what a violation means.
///
/// Thread-safety: all members, from any thread and from signal handlers: atomics alone.
class verdict {
 public:
  /// `what`: a string literal.
  void violation(const char* what) noexcept {
    const std::size_t place = count_.fetch_add(1, std::memory_order_relaxed);
    if (place < kept_.size()) {
      kept_[place].store(what, std::memory_order_release);
    }
  }
  void require(bool condition, const char* what) noexcept {
    if (!condition) {
      violation(what);
    }
  }
  [[nodiscard]] bool clean() const noexcept { return count_.load(std::memory_order_acquire) == 0; }

  static constexpr unsigned max_workers = 64;
  static constexpr std::uint64_t not_at_work = 0;

  /// Workers tell now and then that their calls return; from the first time on, until the last.
  void heartbeat(unsigned worker) noexcept {
    beats_[worker % max_workers].fetch_add(1, std::memory_order_relaxed);
  }
  void last_heartbeat(unsigned worker) noexcept {
    beats_[worker % max_workers].store(not_at_work, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t beats(unsigned worker) const noexcept {
    return beats_[worker].load(std::memory_order_relaxed);
  }

  /// The first violations, one a line.
  [[nodiscard]] std::string text() const {
    std::string lines = std::to_string(count_.load(std::memory_order_acquire)) + " violations\n";
    for (const auto& one : kept_) {
      if (const char* what = one.load(std::memory_order_acquire); what != nullptr) {
        lines += std::string("  ") + what + "\n";
      }
    }
    return lines;
  }

 private:
  std::atomic<std::size_t> count_{0};
  std::array<std::atomic<std::uint64_t>, max_workers> beats_{};
  std::array<std::atomic<const char*>, 4> kept_{};
};

}  // namespace ringpool::stress
