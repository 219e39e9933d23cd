// SPDX-License-Identifier: MIT
#include "reload.hpp"

#include <fmt/format.h>

#include <exception>

#include "configure.hpp"
#include "frame_server.hpp"

namespace ringpool::tools {
namespace {

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
  const configuration found = configure(asked_, arguments_);
  if (!found.faults.empty()) {
    return refused(server, join(found.faults));
  }
  const reload_plan plan = plan_reload(options_, found.options);
  if (!plan.fault.empty()) {
    return refused(server, plan.fault);
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
