// SPDX-License-Identifier: MIT

#include "options.hpp"

#include <CLI/CLI.hpp>

#include "measure.hpp"

namespace bench {
namespace {

std::string joined(int argc, char** argv) {
  std::string words = "./run bench";
  for (int i = 1; i < argc; ++i) {
    words += std::string(" ") + argv[i];
  }
  return words;
}

}  // namespace

parsed parse(int argc, char** argv) {
  parsed all;
  plan& what = all.what;
  bool quick = false;
  bool smoke = false;
  bool no_plots = false;
  CLI::App app("ringpool beside its peers: one run, everything interleaved in random order.",
               "./run bench");
  app.add_option("-w,--workload", what.workload_filters, "only workloads with this in their name");
  app.add_option("-c,--contender", what.contender_filters,
                 "only contenders with this in their name");
  auto* const repetitions = app.add_option("-r,--repetitions", what.repetitions,
                                           "rounds; a figure is the median over them")
                                ->check(CLI::Range(1, 1000))
                                ->capture_default_str();
  app.add_option(
      "-o,--output", what.output,
      "folder of last.json, last.log, last.txt and the plots: bench/results if not given");
  app.add_option("--seed", what.seed, "of the order")->capture_default_str();
  auto* const scale =
      app.add_option("--scale", what.wanted.scale, "of the time that each measurement takes")
          ->check(CLI::Range(0.001, 100.0))
          ->capture_default_str();
  app.add_flag("--quick", quick,
               "within a minute: 5 rounds, shorter, 2 where there are many threads");
  app.add_flag("--smoke", smoke, "seconds, for tests: everything runs, no figure means anything");
  app.add_flag("--no-plots", no_plots, "no SVG, no PNG");
  app.footer(
      "--micro, as the first word: ringpool alone, on Google Benchmark, with its options.\n"
      "--handles, as the first word: handles beside the same written by hand.");
  app.add_flag("--list", all.list, "workloads and contenders, and who is left out");
  app.add_option("--alone-workload", what.only_workload)->group("");
  app.add_option("--alone-contender", what.only_contender)->group("");
  app.add_option("--births", what.wanted.births)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    all.exit_code = app.exit(error);
    return all;
  }
  if ((quick || smoke) && repetitions->count() == 0) {
    what.repetitions = smoke ? 1 : 5;
  }
  if ((quick || smoke) && scale->count() == 0) {
    what.wanted.scale = smoke ? 0.01 : 0.1;
  }
  if (quick || smoke) {
    what.wanted.births = smoke ? 100 : 500;
    what.crowded_rounds = 2;
    what.fresh_rounds = 1;
  }
  what.plots = !no_plots && !smoke;
  what.command = joined(argc, argv);
  what.wanted.first_cpu = first_processors().front();
  what.wanted.second_cpu = first_processors().back();
  return all;
}

}  // namespace bench
