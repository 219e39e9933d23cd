// SPDX-License-Identifier: MIT
#include "load.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "herd.hpp"
#include "load_report.hpp"
#include "load_session.hpp"
#include "progress.hpp"
#include "stop_signal.hpp"

namespace ringpool::tools {
namespace {

progress_state connecting_state(const load_snapshot& seen, const load_setup& setup) {
  const double share = static_cast<double>(seen.connected) / setup.connections;
  return {.stage = fmt::format("connecting {}/{}", seen.connected, setup.connections),
          .fraction = share,
          .elapsed_seconds = seen.elapsed_seconds,
          .remaining_seconds = share > 0 ? seen.elapsed_seconds * (1 - share) / share : 0};
}

// Turns snapshots into states; the rate is that since the snapshot before.
class running_state {
 public:
  progress_state next(const load_snapshot& seen) {
    const double passed = seen.elapsed_seconds - last_.elapsed_seconds;
    if (passed >= 0.25) {
      rate_ = static_cast<double>(seen.echoed - std::min(seen.echoed, last_.echoed)) / passed;
      last_ = seen;
    }
    const double left = std::max(0.0, seen.total_seconds - seen.elapsed_seconds);
    return {.stage = left > 0 ? "load" : "drain",
            .fraction = seen.elapsed_seconds / seen.total_seconds,
            .elapsed_seconds = seen.elapsed_seconds,
            .remaining_seconds = left,
            .frames_per_second = rate_,
            .faults = seen.faults};
  }

 private:
  load_snapshot last_;
  double rate_ = 0.0;
};

load_result drive(const load_options& options, load_session& session, const load_phase& phase) {
  const std::atomic<bool>& stop = stop_requested();
  progress_display display(options.progress);
  load_result result;
  std::unique_ptr<herd> idle;
  if (options.idle != 0) {
    idle = std::make_unique<herd>(herd_options{.target = session.setup().target,
                                               .connections = options.idle,
                                               .seed = options.seed,
                                               .run = unique_run()});
    result.idle_connections = options.idle;
    result.idle_before = idle->connect(stop, counting_progress(display, "idle", options.idle));
  }
  const std::int64_t start_ns = monotonic_ns();
  session.connect(stop, [&](const load_snapshot& seen) {
    display.update(connecting_state(seen, session.setup()));
  });
  result.connect_seconds = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
  progress_display running(options.progress);
  running_state state;
  if (!stop.load(std::memory_order_relaxed)) {
    result.tally = session.run(
        phase, stop, [&](const load_snapshot& seen) { running.update(state.next(seen)); });
  }
  if (idle != nullptr && !stop.load(std::memory_order_relaxed)) {
    result.idle_after = idle->lap(stop, counting_progress(running, "idle again", options.idle));
  }
  result.interrupted = stop.load(std::memory_order_relaxed);
  return result;
}

}  // namespace

int run_load(const load_options& options) {
  watch_stop_signals();
  try {
    const load_phase phase = make_phase(options);
    load_session session(make_setup(options));
    const load_result result = drive(options, session, phase);
    fmt::print("{}", load_report_text(session.setup(), phase, result,
                                      palette(wants_colour(STDOUT_FILENO))));
    if (!options.json_file.empty()) {
      write_report(options.json_file, load_report_json(session.setup(), phase, result));
    }
    return load_exit_code(result);
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "ringpool load: {}\n", error.what());
    return exit_arguments;
  } catch (const load_error& error) {
    fmt::print(stderr, "ringpool load: {}\n", error.what());
    return exit_unreachable;
  }
}

}  // namespace ringpool::tools
