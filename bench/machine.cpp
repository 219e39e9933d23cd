// SPDX-License-Identifier: MIT

#include "machine.hpp"

#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include <array>
#include <ctime>
#include <fstream>
#include <thread>

namespace bench {
namespace {

/// What follows `name` and a colon in a file of such lines.
std::string field(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(name, 0) == 0) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

std::string first_line(const char* path, const char* otherwise) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) ? line : otherwise;
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  (void)std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", gmtime_r(&seconds, &parts));
  return text.data();
}

}  // namespace

machine this_machine() {
  utsname kernel{};
  (void)uname(&kernel);
  const bool virtual_machine =
      field("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos;
#if defined(__clang__)
  const std::string compiler = std::string("clang ") + __clang_version__;
#else
  const std::string compiler = std::string("g++ ") + __VERSION__;
#endif
  return {
      {"processor", field("/proc/cpuinfo", "model name") + ", " +
                        std::to_string(std::thread::hardware_concurrency()) + " processors" +
                        (virtual_machine ? ", virtual machine" : "")},
      {"kernel", std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine},
      {"governor",
       first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none to be seen")},
      {"compiler", compiler + ", glibc " + gnu_get_libc_version()},
      {"time", now()},
  };
}

}  // namespace bench
