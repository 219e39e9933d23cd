// SPDX-License-Identifier: MIT

#include "schedule.hpp"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>

extern char** environ;  // NOLINT: POSIX's own name for it

namespace bench {
namespace {

/// What another process printed, number by number. Throws where it failed.
sample read_all(int fd, pid_t child) {
  sample values;
  if (std::FILE* const file = fdopen(fd, "r"); file != nullptr) {
    for (double value = 0; std::fscanf(file, "%lf", &value) == 1;) {
      values.push_back(value);
    }
    (void)std::fclose(file);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0 || values.empty()) {
    throw std::runtime_error("its process failed");
  }
  return values;
}

/// The same program anew, for one measurement.
sample measure_in_fresh_process(const plan& what, const workload_info& which,
                                const std::string& who) {
  std::array<std::string, 8> words{"ringpool_bench",
                                   "--alone-workload",
                                   which.key,
                                   "--alone-contender",
                                   who,
                                   "--births",
                                   std::to_string(what.wanted.births),
                                   "--no-plots"};
  std::array<char*, words.size() + 1> arguments{};
  std::transform(words.begin(), words.end(), arguments.begin(),
                 [](std::string& word) { return word.data(); });
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) {
    throw std::runtime_error("no pipe");
  }
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
  pid_t child = 0;
  const int error =
      posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  (void)close(pipe_ends[1]);
  if (error != 0) {
    (void)close(pipe_ends[0]);
    throw std::runtime_error("it cannot be started anew");
  }
  return read_all(pipe_ends[0], child);
}

/// One line that is written over, where somebody looks on.
void show_progress(const std::string& text) {
  if (isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr, "\r{:<78}\r", text);
  }
}

struct turn {
  const workload_info* which;
  const contender* who;
};

/// The turns of one workload.
std::vector<turn> turns_of(const plan& what, const workload_info& which) {
  std::vector<turn> all;
  if (!matches(what.workload_filters, which.key)) {
    return all;
  }
  for (const contender& who : contenders()) {
    const bool among =
        which.among.empty() || std::count(which.among.begin(), which.among.end(), who.name) != 0;
    if (among && who.find(which.id) != nullptr && matches(what.contender_filters, who.name)) {
      all.push_back({&which, &who});
    }
  }
  return all;
}

std::size_t rounds_of(const plan& what, const workload_info& which) {
  return which.price == cost::crowded ? what.crowded_rounds
         : which.price == cost::fresh ? what.fresh_rounds
                                      : what.repetitions;
}

sample measure(const plan& what, const turn& one) {
  return one.which->price == cost::fresh ? measure_in_fresh_process(what, *one.which, one.who->name)
                                         : one.who->find(one.which->id)(what.wanted);
}

}  // namespace

results run_rounds(const plan& what) {
  std::vector<std::vector<turn>> groups;
  for (const workload_info& which : workloads()) {
    groups.push_back(turns_of(what, which));
  }
  std::mt19937 random(what.seed);
  std::set<std::pair<workload, const contender*>> failed;
  results all;
  for (std::size_t round = 0; round < what.repetitions; ++round) {
    std::shuffle(groups.begin(), groups.end(), random);
    for (std::vector<turn>& group : groups) {
      std::shuffle(group.begin(), group.end(), random);
      for (const turn& one : group) {
        if (round >= rounds_of(what, *one.which) || failed.contains({one.which->id, one.who})) {
          continue;
        }
        show_progress(fmt::format("round {} of {}: {}, {}", round + 1, what.repetitions,
                                  one.which->key, one.who->name));
        try {
          if (sample values = measure(what, one); !values.empty()) {
            all.add({one.which->id, one.who->name, round, std::move(values)});
          }
        } catch (const std::exception& error) {
          failed.insert({one.which->id, one.who});
          all.add_failure();
          leave_out(fmt::format("{}, {}", one.who->name, one.which->key).c_str(), error.what());
        }
      }
    }
  }
  show_progress("");
  return all;
}

int run_alone(const plan& what) {
  for (const workload_info& which : workloads()) {
    for (const contender& who : contenders()) {
      if (which.key == what.only_workload && who.name == what.only_contender) {
        for (const double value : who.find(which.id)(what.wanted)) {
          fmt::print("{}\n", value);
        }
        return 0;
      }
    }
  }
  return 1;
}

}  // namespace bench
