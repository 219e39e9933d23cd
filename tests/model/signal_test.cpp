// SPDX-License-Identifier: MIT
//
// What uring::ring::signal_completions agrees on with the kernel, step by step: a loop that looked
// at its ring switches the signal on, fences, and looks once more. The kernel adds work, then asks
// whether the signal is on (io_req_local_work_add and io_eventfd_signal of Linux 6.18: the flag of
// put-off work is set by a locked instruction, the switch is read plainly).

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "bounded.hpp"
#include "model_atomic.hpp"
#include "ringpool/detail/atomics.hpp"

namespace ringpool::model {
namespace {

class signal_program final : public program {
 public:
  explicit signal_program(bool fence) : fence_(fence) { off_.store(1, detail::relaxed); }

  [[nodiscard]] unsigned thread_count() const override { return 2; }

  void run_thread(unsigned number) override {
    if (number == 0) {
      work_.fetch_or(1, detail::relaxed);
      full_fence();  // what a locked instruction is on x86-64
      signalled_ = off_.load(detail::relaxed) == 0;
    } else {
      off_.store(0, detail::relaxed);
      if (fence_) {
        full_fence();
      }
      seen_ = work_.load(detail::relaxed) != 0;
    }
  }

  void check_at_end(unsigned parked) override {
    require(parked != max_threads || signalled_ || seen_, "work was neither seen nor signalled");
  }

 private:
  atomic<std::uint32_t> off_;
  atomic<std::uint32_t> work_;
  bool fence_;
  bool signalled_ = false;
  bool seen_ = false;
};

program_factory with_fence(bool fence) {
  return [fence] { return std::make_unique<signal_program>(fence); };
}

TEST(model_signal, work_is_seen_or_signalled) { expect_sound(with_fence(true), within(4, 4)); }

TEST(model_twins, a_switch_without_a_fence_loses_work) {
  EXPECT_EQ(explore(with_fence(false), within(4, 4)).violation,
            "work was neither seen nor signalled");
}

}  // namespace
}  // namespace ringpool::model
