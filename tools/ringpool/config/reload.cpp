// SPDX-License-Identifier: MIT
#include "reload.hpp"

#include <fmt/format.h>

#include <exception>

#include "configure.hpp"
#include "frame_server.hpp"

namespace ringpool::tools {
namespace {

/// Further ones would take memory that peers who never complete a frame keep from coming back.
constexpr std::size_t most_retired = 32;

std::string refused(frame_server& server, std::string_view why) {
  server.count_refused_reload();
  return fmt::format("not reloaded, the configuration before stays: {}", why);
}

}  // namespace

std::string reloader::reload(frame_server& server) {
  try {
    return try_reload(server);
  } catch (const std::exception& error) {  // no memory for the new pools, say
    return refused(server, error.what());
  }
}

std::string reloader::try_reload(frame_server& server) {
  if (server.retired_count() >= most_retired) {
    return refused(server, fmt::format("{} earlier sets of pools have buffers that are out; "
                                       "frame_timeout_ms and send_timeout_ms limit for how long",
                                       most_retired));
  }
  const configuration found = configure(asked_, arguments_);
  if (!found.faults.empty()) {
    return refused(server, join(found.faults));
  }
  const reload_plan plan = plan_reload(options_, found.options);
  if (!plan.fault.empty()) {
    return refused(server, plan.fault);
  }
  if (std::string fault = find_memory_fault(plan.options); !fault.empty()) {
    return refused(server, fault);
  }
  if (!plan.changed.empty()) {
    server.reconfigure(plan.options);
    options_ = plan.options;
  }
  std::string said = plan.changed.empty() ? "nothing to change" : join(plan.changed);
  if (!plan.kept.empty()) {
    said += "; not changed: " + join(plan.kept);
  }
  return "reloaded: " + said;
}

}  // namespace ringpool::tools
