// SPDX-License-Identifier: MIT
#pragma once

// A buffer is taken by one thread and given back by another, as a network frame is: receiver to
// worker, worker to sender. What goes through the channel is the pointer or the handle.

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>

#include "contender.hpp"
#include "measure.hpp"
#include "workloads/one_thread.hpp"
#include "workloads/spsc_ring.hpp"

namespace bench {

/// Nanoseconds for one line to go to the other processor and back: what a hand-off is made of. On
/// virtual machines it changes by a factor of two within seconds.
double line_round_trip(const effort& wanted);

inline constexpr demand in_flight{.bytes = 1024, .count = 4096, .threads = 2};
inline constexpr double hand_off_ms = 25;

enum class payload : bool { untouched, written_and_read };

template <class Contender, payload Payload>
class hand_off_run {
 public:
  explicit hand_off_run(const effort& wanted) : wanted_(wanted), one_(in_flight) { escape(one_); }

  /// Nanoseconds per buffer, the channel's own included.
  double run() {
    std::thread receiver([this] { receive(); });
    const double ns = send();
    receiver.join();
    return ns;
  }

 private:
  using item = taken<Contender>;

  double send() {
    pin_this_thread(wanted_.first_cpu);
    const in_thread<Contender> scope(one_);
    const auto warm_until = clock::now() + span_of(wanted_, hand_off_ms / 4);
    send_until(warm_until);
    const auto start = clock::now();
    const std::size_t count = send_until(start + span_of(wanted_, hand_off_ms));
    stop_.store(true, std::memory_order_release);
    while (!stopped_.load(std::memory_order_acquire)) {
      pause();
    }
    return nanoseconds(clock::now() - start) / static_cast<double>(count);
  }

  std::size_t send_until(clock::time_point end) {
    constexpr std::size_t between_looks = 2048;
    std::size_t count = 0;
    do {
      for (std::size_t i = 0; i < between_looks; ++i) {
        item buffer = one_.take(request_bytes);
        while (address(buffer) == nullptr) {  // all in flight, or the contender says so
          pause();
          buffer = one_.take(request_bytes);
        }
        if constexpr (Payload == payload::written_and_read) {
          touch(address(buffer));
        }
        while (!channel_.push(std::move(buffer))) {
          pause();
        }
      }
      count += between_looks;
    } while (clock::now() < end);
    return count;
  }

  void receive() {
    pin_this_thread(wanted_.second_cpu);
    {
      const in_thread<Contender> scope(one_);
      item buffer{};
      for (;;) {
        if (channel_.pop(buffer)) {
          if constexpr (Payload == payload::written_and_read) {
            [[maybe_unused]] const char seen = *static_cast<volatile char*>(address(buffer));
          }
          one_.give(std::move(buffer), request_bytes);
        } else if (stop_.load(std::memory_order_acquire)) {
          break;  // the sender had stopped before the look, and is waiting
        } else {
          pause();
        }
      }
    }
    stopped_.store(true, std::memory_order_release);
  }

  const effort wanted_;
  Contender one_;
  spsc_ring<item, 1024> channel_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stopped_{false};
};

/// {ns per buffer, ns of a line's round trip before and after}
template <class Contender, payload Payload>
sample hand_off(const effort& wanted) {
  const double before = line_round_trip(wanted);
  const double ns = std::make_unique<hand_off_run<Contender, Payload>>(wanted)->run();
  const double after = line_round_trip(wanted);
  return {ns, (before + after) / 2};
}

}  // namespace bench
