// SPDX-License-Identifier: MIT
#pragma once

//   loop 1: refused again and again --ask()--> every loop: who holds most here?
//                                                '--> more than 4 others on average: closed

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace ringpool::tools {

class server_loop;

/// Tells a lack of buffers that lasts from one that passes.
class pressure_gauge {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds longest_gap{20};
  static constexpr std::chrono::milliseconds patience{50};

  /// Somebody found no buffer. True: so it has been for `patience`, and this was not said since.
  [[nodiscard]] bool refused(clock::time_point now) noexcept {
    if (now - last_ > longest_gap) {
      since_ = now;
    }
    last_ = now;
    if (now - since_ < patience) {
      return false;
    }
    since_ = now;
    return true;
  }

 private:
  clock::time_point since_{};
  clock::time_point last_{};
};

/// Where the loops of a server say that buffers are short, and what their connections hold.
///
/// Invariant: an answer to took() is to one ask() at least.
/// Progress: wait-free; ask() writes to pipes.
/// Thread-safety: any thread; a loop's figures are its own thread's to publish.
/// Cost: a relaxed load a turn while nobody asks.
class shed_board {
 public:
  struct figures {
    std::uint64_t bytes = 0;   ///< that its connections hold
    std::uint64_t active = 0;  ///< connections with something in flight
  };

  explicit shed_board(unsigned loops) : places_(loops) {}
  /// Whom to wake. Before the loops run.
  void connect(unsigned loop, server_loop& whom) noexcept { places_[loop].whom = &whom; }

  /// Buffers are short: every loop is to look at what its connections hold.
  void ask() noexcept;
  /// True once for each ask(), or for several.
  [[nodiscard]] bool took(unsigned loop) noexcept {
    std::atomic<bool>& asked = places_[loop].asked;
    // relaxed, all: a hint; nothing is read on the strength of it
    return asked.load(std::memory_order_relaxed) &&
           asked.exchange(false, std::memory_order_relaxed);
  }
  /// What `loop` has now; the sum of what all had when they last said so.
  [[nodiscard]] figures publish(unsigned loop, const figures& own) noexcept;

  /// One that holds `bytes` is to go: more than four times what the others do on average, and more
  /// than `fair_bytes`, which anyone may.
  [[nodiscard]] static bool is_hog(std::uint64_t bytes, const figures& all,
                                   std::uint64_t fair_bytes) noexcept;

 private:
  struct alignas(64) place {
    server_loop* whom = nullptr;
    std::atomic<bool> asked{false};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> active{0};
  };
  std::vector<place> places_;
};

}  // namespace ringpool::tools
