// SPDX-License-Identifier: MIT

#include <algorithm>

#include "contender.hpp"
#include "micro.hpp"

namespace bench {
namespace {

std::vector<std::string>& reasons() {
  static std::vector<std::string> all;
  return all;
}

}  // namespace

std::vector<contender>& contenders() {
  static std::vector<contender> all;
  return all;
}

contender& row(const about& what) {
  std::vector<contender>& all = contenders();
  const auto place =
      std::lower_bound(all.begin(), all.end(), what.name,
                       [](const contender& one, const char* name) { return one.name < name; });
  if (place != all.end() && place->name == what.name) {
    return *place;
  }
  return *all.insert(place, {.name = what.name, .what = what, .measure = {}});
}

void leave_out(const char* name, const std::string& why) {
  const std::string line = std::string(name) + ": " + why;
  if (std::find(reasons().begin(), reasons().end(), line) == reasons().end()) {
    reasons().push_back(line);
  }
}

const std::vector<std::string>& left_out() { return reasons(); }

program& micro() {
  static program run = nullptr;
  return run;
}

program& handles() {
  static program run = nullptr;
  return run;
}

}  // namespace bench
