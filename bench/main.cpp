// SPDX-License-Identifier: MIT
//
// ringpool_bench: ringpool beside its peers. docs/benchmarks.md tells how it measures.

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string_view>

#include "machine.hpp"
#include "micro.hpp"
#include "options.hpp"
#include "report.hpp"
#include "schedule.hpp"

namespace {

/// jemalloc wants more thread-local memory than glibc sets aside for libraries that are loaded
/// late, and that is settled before a program starts: so it starts once more.
void start_with_room_for_thread_locals(char** argv) {
  constexpr const char* name = "GLIBC_TUNABLES";
  if (std::getenv(name) == nullptr) {
    (void)setenv(name, "glibc.rtld.optional_static_tls=16384", 1);
    (void)execv("/proc/self/exe", argv);  // comes back only where it fails: one peer less
  }
}

void print_list() {
  for (const bench::workload_info& which : bench::workloads()) {
    fmt::print("{:<18} {}\n", which.key, which.title);
  }
  fmt::print("\n");
  for (const bench::contender& who : bench::contenders()) {
    fmt::print("{}\n", who.name);
  }
}

int run(const bench::parsed& asked) {
  if (asked.list) {
    print_list();
    return 0;
  }
  if (!asked.what.only_workload.empty()) {
    return bench::run_alone(asked.what);
  }
  const bench::machine where = bench::this_machine();
  const bench::results all = bench::run_rounds(asked.what);
  if (all.records().empty()) {
    fmt::print(stderr, "nothing to measure: see --list\n");
    return 2;
  }
  const std::string text = bench::tables(asked.what, where, all);
  fmt::print("{}", text);
  fmt::print("{}", bench::write_files(asked.what, where, all, text));
  return all.failures() == 0 ? 0 : 1;
}

int run_mode(bench::program mode, const char* what_it_needs, int argc, char** argv) {
  if (mode == nullptr) {
    fmt::print(stderr, "{}\n", what_it_needs);
    return 2;
  }
  return mode(argc - 1, argv + 1);
}

}  // namespace

int main(int argc, char** argv) {
  start_with_room_for_thread_locals(argv);
  try {
    if (argc > 1 && std::string_view(argv[1]) == "--micro") {
      return run_mode(bench::micro(), "--micro needs libbenchmark-dev", argc, argv);
    }
    if (argc > 1 && std::string_view(argv[1]) == "--handles") {
      return run_mode(bench::handles(), "--handles is in ringpool_bench alone", argc, argv);
    }
    const bench::parsed asked = bench::parse(argc, argv);
    return asked.exit_code ? *asked.exit_code : run(asked);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ringpool_bench: {}\n", error.what());
    return 1;
  }
}
