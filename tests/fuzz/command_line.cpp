// SPDX-License-Identifier: MIT

// The arguments of serve, load and advise, one a line: taken, or refused with a reason.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "advise/advise_options.hpp"
#include "load_options.hpp"
#include "serve.hpp"
#include "serve_options.hpp"

namespace {

using namespace ringpool::tools;

void refused(const std::string& why) {
  if (why.empty()) {
    std::fputs("arguments were refused without a reason\n", stderr);
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  std::vector<std::string> arguments;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("connect") == std::string::npos) {  // a name would be looked up in the network
      arguments.push_back(line);
    }
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them

  CLI::App app;
  serve_options serve;
  load_options load;
  add_serve_command(app, serve);
  add_load_command(app, load);
  advise_options advise;
  add_advise_command(app, advise);
  try {
    app.parse(arguments);
    if (app.got_subcommand("serve")) {
      (void)find_fault(serve);
    }
    if (app.got_subcommand("advise")) {
      (void)parse_class_options(advise);
      (void)parse_class_settings(advise.today);
    }
  } catch (const CLI::Success&) {  // help
  } catch (const CLI::Error& error) {
    refused(error.what());
  } catch (const std::invalid_argument& error) {  // advise's own
    refused(error.what());
  }
  return 0;
}
