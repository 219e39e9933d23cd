// SPDX-License-Identifier: MIT
//
// The files of a run: every sample (last.log), figures and samples for programs (last.json), the
// tables (last.txt), and the plots that bench/plot.py makes of the JSON.

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "report.hpp"

extern char** environ;  // NOLINT: POSIX's own name for it

namespace bench {
namespace {

using json = nlohmann::ordered_json;

json workload_json(const workload_info& which, const results& all) {
  json rows = json::array();
  for (const std::string& name : all.ranked(which.id)) {
    const figure first = *all.of(which.id, name);
    json row{{"contender", name}, {"median", first.median}, {"min", first.min}, {"max", first.max}};
    if (const auto ratio = all.ratio(which.id, ours_in(which.id), name)) {
      row["ours_by_it"] = *ratio;
    }
    json samples = json::array();
    for (const record& one : all.records()) {
      if (one.what == which.id && one.who == name) {
        samples.push_back(one.values);
      }
    }
    row["samples"] = samples;
    rows.push_back(row);
  }
  return {{"workload", which.key},    {"title", which.title},
          {"unit", which.unit},       {"better", which.side == better::more ? "more" : "less"},
          {"columns", which.columns}, {"contenders", rows}};
}

json to_json(const plan& what, const machine& where, const results& all) {
  json out{{"command", what.command}, {"rounds", what.repetitions}};
  for (const auto& [name, value] : where) {
    out["machine"][name] = value;
  }
  json ours = json::array();
  for (const contender& one : contenders()) {
    if (one.what.ours) {
      ours.push_back(one.name);
    }
  }
  out["ours"] = ours;
  out["workloads"] = json::array();
  for (const workload_info& which : workloads()) {
    if (!all.ranked(which.id).empty()) {
      out["workloads"].push_back(workload_json(which, all));
    }
  }
  return out;
}

std::string to_log(const plan& what, const results& all) {
  std::string lines = fmt::format("# {}\n# round workload contender values\n", what.command);
  for (const record& one : all.records()) {
    lines += fmt::format("{}\t{}\t{}\t{}\n", one.round, info_of(one.what).key, one.who,
                         fmt::join(one.values, " "));
  }
  return lines;
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream file(path);
  file << content;
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path.string());
  }
}

/// Debian's own Python first: that is the one which Debian's matplotlib is for.
std::string plot(const std::filesystem::path& folder) {
  std::string script = RINGPOOL_BENCH_FOLDER "/plot.py";
  std::string from = (folder / "last.json").string();
  for (std::string python : {"/usr/bin/python3", "python3"}) {
    std::array<char*, 4> words{python.data(), script.data(), from.data(), nullptr};
    pid_t child = 0;
    int status = 1;
    if (posix_spawnp(&child, python.c_str(), nullptr, nullptr, words.data(), environ) == 0) {
      (void)waitpid(child, &status, 0);
    }
    if (status == 0) {
      return "";
    }
  }
  return "no plots: bench/plot.py needs python3-matplotlib\n";
}

}  // namespace

std::string write_files(const plan& what, const machine& where, const results& all,
                        const std::string& text) {
  const std::filesystem::path folder =
      what.output.empty() ? RINGPOOL_BENCH_FOLDER "/results" : what.output;
  std::filesystem::create_directories(folder);
  write_file(folder / "last.txt", text);
  write_file(folder / "last.log", to_log(what, all));
  write_file(folder / "last.json", to_json(what, where, all).dump(1) + "\n");
  const std::string said = what.plots ? plot(folder) : "";
  return said + fmt::format("\nwritten to {}\n", folder.string());
}

}  // namespace bench
