// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <ringpool/config.hpp>

#include "advise/advise.hpp"
#include "demo.hpp"
#include "load.hpp"
#include "million.hpp"
#include "serve.hpp"
#include "top/top.hpp"

namespace {

int print_version() {
  fmt::print("ringpool {}.{}.{}\n", RINGPOOL_VERSION_MAJOR, RINGPOOL_VERSION_MINOR,
             RINGPOOL_VERSION_PATCH);
  return 0;
}

int run(int argc, char** argv) {
  namespace tools = ringpool::tools;
  CLI::App app{
      "Frames over TCP from a lock-free buffer pool: a server, a load for it, and a demo of both.",
      "ringpool"};
  app.require_subcommand(1);
  tools::serve_options serve;
  tools::load_options load;
  tools::demo_options demo;
  tools::million_options million;
  tools::top_options top;
  tools::advise_options advise;
  tools::add_serve_command(app, serve);
  tools::add_load_command(app, load);
  tools::add_demo_command(app, demo);
  tools::add_million_command(app, million);
  tools::add_top_command(app, top);
  tools::add_advise_command(app, advise);
  app.add_subcommand("version", "Print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : tools::exit_arguments;
  }
  if (app.got_subcommand("serve")) {
    return tools::run_serve(serve, {argv + 1, argv + argc});
  }
  if (app.got_subcommand("load")) {
    return tools::run_load(load);
  }
  if (app.got_subcommand("demo")) {
    return tools::run_demo(demo);
  }
  if (app.got_subcommand("million")) {
    return tools::run_million(million);
  }
  if (app.got_subcommand("top")) {
    return tools::run_top(top);
  }
  if (app.got_subcommand("advise")) {
    return tools::run_advise(advise);
  }
  return print_version();
}

}  // namespace

int main(int argc, char** argv) {
  // A file that reaches the process's limit is then an error of write(2), as a full disk is.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ringpool: {}\n", error.what());
    return 1;
  }
}
