// SPDX-License-Identifier: MIT
#include "load_session.hpp"

#include <chrono>
#include <future>
#include <utility>

namespace ringpool::tools {
namespace {

constexpr std::chrono::milliseconds look_interval{50};

double seconds_since(std::int64_t start_ns) noexcept {
  return static_cast<double>(monotonic_ns() - start_ns) / 1e9;
}

// Runs work(loop) on a thread for each loop, and calls tick() meanwhile. The results come in the
// order of the loops; the first exception is thrown on when all have ended.
template <class Work, class Tick>
auto on_all_loops(std::vector<std::unique_ptr<load_loop>>& loops, Work work, Tick tick) {
  using result = decltype(work(*loops.front()));
  std::vector<std::future<result>> running;
  running.reserve(loops.size());
  for (auto& loop : loops) {
    running.push_back(std::async(std::launch::async, [&work, &loop] { return work(*loop); }));
  }
  for (auto& one : running) {
    while (one.wait_for(look_interval) != std::future_status::ready) {
      tick();
    }
  }
  return running;
}

}  // namespace

load_session::load_session(load_setup setup) : setup_(std::move(setup)) {
  reserve_descriptors(setup_.connections);
  for (std::uint32_t i = 0; i < setup_.loops; ++i) {
    loops_.push_back(std::make_unique<load_loop>(setup_, i));
  }
}

void load_session::connect(const std::atomic<bool>& stop, const load_observer& observer) {
  const std::int64_t start_ns = monotonic_ns();
  auto done = on_all_loops(
      loops_, [&](load_loop& loop) { loop.connect(stop); },
      [&] { observer(look(seconds_since(start_ns), 0.0)); });
  for (auto& one : done) {
    one.get();
  }
}

load_tally load_session::run(const load_phase& phase, const std::atomic<bool>& stop,
                             const load_observer& observer) {
  const std::int64_t start_ns = monotonic_ns();
  const double total_seconds =
      std::chrono::duration<double>(phase.warm_up + phase.duration).count();
  auto done = on_all_loops(
      loops_, [&](load_loop& loop) { return loop.run(phase, start_ns, stop); },
      [&] { observer(look(seconds_since(start_ns), total_seconds)); });
  load_tally total;
  for (auto& one : done) {
    total.merge_loop(one.get());
  }
  return total;
}

load_snapshot load_session::look(double elapsed_seconds, double total_seconds) const noexcept {
  load_snapshot seen{.elapsed_seconds = elapsed_seconds, .total_seconds = total_seconds};
  for (const auto& loop : loops_) {
    seen.connected += loop->live().connected.load(std::memory_order_relaxed);
    seen.echoed += loop->live().echoed.load(std::memory_order_relaxed);
    seen.faults += loop->live().faults.load(std::memory_order_relaxed);
  }
  return seen;
}

}  // namespace ringpool::tools
