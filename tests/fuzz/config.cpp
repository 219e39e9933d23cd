// SPDX-License-Identifier: MIT

// Configuration files: good ones, written in full, come to the same again; of bad ones each fault
// has its place. The twin writes times in whole seconds.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/config_keys.hpp"
#include "config/toml_config.hpp"

namespace {

using namespace ringpool::tools;

void must(bool condition, const char* what, const std::string& text) {
  if (!condition) {
    std::fprintf(stderr, "%s:\n%s\n", what, text.c_str());
    std::abort();
  }
}

std::string values_of(const serve_options& options) {
  std::string text;
  for (const config_key& key : config_keys()) {
    if (key.kind != key_kind::preset) {  // it is in the others
      text += value_text(key, options) + "\n";
    }
  }
  return text;
}

/// "f:LINE:COLUMN: " and more.
bool has_place(std::string_view fault) {
  if (fault.substr(0, 2) != "f:") {
    return false;
  }
  const std::size_t line = fault.find_first_not_of("0123456789", 2);
  const std::size_t column = fault.find_first_not_of("0123456789", line + 1);
  return line > 2 && line < fault.size() && column > line + 1 && column < fault.size() &&
         fault[line] == ':' && fault.substr(column, 2) == ": " && fault.size() > column + 2;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const toml_config read = read_toml({reinterpret_cast<const char*>(data), size}, "f", {});
  for (const std::string& fault : read.faults) {
    must(has_place(fault), "a fault without its place", fault);
  }
  if (!read.faults.empty()) {
    return 0;
  }
  serve_options options = read.options;
#ifdef RINGPOOL_FUZZ_TWIN
  options.idle_timeout = std::chrono::duration_cast<std::chrono::seconds>(options.idle_timeout);
#endif
  const std::string written = to_toml(options);
  const toml_config again = read_toml(written, "f", {});
  must(again.faults.empty(), "what was written is refused", written);
  must(values_of(again.options) == values_of(read.options),
       "what was written comes to something else", written);
  return 0;
}
