// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

#include "descriptor.hpp"
#include "frame_service.hpp"
#include "serve_options.hpp"

namespace ringpool::tools {

struct loop_settings {
  service_limits limits;
  std::chrono::milliseconds tick;
  std::chrono::milliseconds drain_timeout;
};

/// What changes while a server runs.
struct running_settings {
  std::uint64_t number;  ///< rises
  service_limits limits;
  std::chrono::milliseconds drain_timeout;
  slow_policy slow_members;
  bool copy_to_members;
  buffer_bank* bank;
};

/// What one loop adds to the statistics of its server.
struct loop_totals {
  const service_counts* counts;
  std::uint64_t open = 0;
  std::uint64_t active = 0;          ///< connections with something in flight
  std::uint64_t kernel_buffers = 0;  ///< offered to receives to come; io_uring alone
  std::uint64_t rings = 0;           ///< io_uring alone
  std::uint64_t table_bytes = 0;
  std::uint64_t charged_bytes = 0;  ///< of buffers that connections hold
};

/// One thread's share of a server, whatever it waits with: its mailbox, its clock, and its end.
///
///   serving --stop()--> draining --stop(), or time is over--> ending --> ended
///
/// Invariant: what a loop owns is touched by its thread alone, but for the mailbox, the phase and
///   the counts.
/// Progress: run() returns after stop() and the drain that follows it.
/// Thread-safety: run() on one thread; hand_over, stop and the counts from any.
/// Cost: a pipe.
class server_loop {
 public:
  virtual ~server_loop();
  server_loop(const server_loop&) = delete;
  server_loop& operator=(const server_loop&) = delete;

  /// Until stop() and the drain that follows it.
  virtual void run() noexcept = 0;
  /// From any thread.
  [[nodiscard]] virtual loop_totals totals() const noexcept = 0;
  /// What it allocates is sampled. Before run().
  virtual void record_with(loop_recorder& /*recorder*/) noexcept {}

  /// Where it says that buffers are short, and is told. Before run().
  virtual void shed_with(shed_board& /*board*/, unsigned /*number*/) noexcept {}
  /// Has the loop list who holds most; to be had by holders() a little later.
  void ask_holders(std::uint64_t round) noexcept;
  /// False: it has not come to it. Adds its list to `out`.
  [[nodiscard]] bool holders(std::uint64_t round, std::vector<heavy_peer>& out);

  /// Puts a message into the mailbox, a descriptor or a number below 0; false when it is full.
  [[nodiscard]] bool hand_over(int message) noexcept;
  /// Makes the loop look into its mailbox.
  void wake() noexcept { static_cast<void>(hand_over(wake_message)); }
  /// Drain and end; called again: end at once.
  void stop() noexcept;

  /// Has the loop take up `settings`, if they are newer than what it has, between two turns; it
  /// then answers. `settings` are there until every loop has answered a later round. nullptr: none.
  void ask(std::uint64_t round, const running_settings* settings) noexcept;
  /// The last round it answered. What the loop did before is seen by whoever sees the answer.
  [[nodiscard]] std::uint64_t answered() const noexcept {
    return answered_.load(std::memory_order_acquire);  // N3 <- N2
  }

  /// True once run() is about to return.
  [[nodiscard]] bool ended() const noexcept {
    return phase_.load(std::memory_order_relaxed) == phase::ended;
  }
  [[nodiscard]] std::uint64_t turned_away() const noexcept { return turned_away_.get(); }
  /// Calls of operator new on this loop's thread since it began to serve.
  [[nodiscard]] std::uint64_t heap_allocations() const noexcept { return heap_allocations_.get(); }

 protected:
  using clock = std::chrono::steady_clock;
  static constexpr int wake_message = -1;

  explicit server_loop(const loop_settings& settings);  // throws std::system_error

  [[nodiscard]] const loop_settings& settings() const noexcept { return settings_; }
  [[nodiscard]] int mailbox() const noexcept { return mail_out_.get(); }
  /// Empties the mailbox, then begin_drain() where that is due.
  void read_mailbox() noexcept;
  virtual void on_message(int message) noexcept = 0;
  virtual void begin_drain() noexcept = 0;
  /// Before each turn, holding nothing of a pool but buffers.
  void look_for_settings() noexcept;
  virtual void take_up(const running_settings& settings) noexcept = 0;
  virtual void list_holders(holder_list& /*out*/) noexcept {}

  /// Looks at the clock. True when a tick began: once at most.
  [[nodiscard]] bool update_clock() noexcept;
  [[nodiscard]] std::uint32_t tick() const noexcept { return tick_; }
  /// As of the last look at the clock.
  [[nodiscard]] clock::time_point now() const noexcept { return now_; }
  /// True about once a second, asked once a tick.
  [[nodiscard]] bool trim_is_due() noexcept;
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  [[nodiscard]] bool drain_is_over() const noexcept {
    return now_ >= drain_end_ || phase_.load(std::memory_order_relaxed) == phase::ending;
  }
  /// Around the serving part of run().
  void begin_serving() noexcept;
  void count_heap() noexcept;
  void end_serving() noexcept { phase_.store(phase::ended, std::memory_order_relaxed); }

  tally turned_away_;

 private:
  void answer_holders(std::uint64_t round) noexcept;

  enum class phase : int { serving, draining, ending, ended };

  loop_settings settings_;
  descriptor mail_out_;
  descriptor mail_in_;
  clock::time_point start_;
  clock::time_point now_;
  clock::time_point next_trim_;
  clock::time_point drain_end_;
  std::uint64_t heap_before_ = 0;
  std::uint32_t tick_ = 0;
  bool draining_ = false;
  tally heap_allocations_;
  std::atomic<phase> phase_{phase::serving};  // any thread
  // Edges of a round:
  //   N1 -> N1  ask() -> look_for_settings()  the settings, and pools made before
  //   N2 -> N3  look_for_settings() -> answered()  all that was done with earlier pools
  std::atomic<std::uint64_t> asked_{0};
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<const running_settings*> offered_{nullptr};
  std::uint64_t taken_up_ = 0;                   // number of the settings
  std::atomic<std::uint64_t> holders_asked_{0};  // relaxed: a hint to look
  std::mutex holders_mutex_;                     // for the two below
  holder_list holders_;
  std::uint64_t holders_answered_ = 0;  // written by the loop alone
};

}  // namespace ringpool::tools
