// SPDX-License-Identifier: MIT

// Sizes and addresses as the command takes them from a person. A text is taken or refused with a
// reason; what was taken keeps its promise.

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "listener.hpp"
#include "load_target.hpp"
#include "size_mix.hpp"

namespace {

using namespace ringpool::tools;

void must(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "a parser broke its promise: %s\n", what);
    std::abort();
  }
}

void fuzz_size_mix(const std::string& text) {
  constexpr std::uint32_t smallest = 24;
  constexpr std::uint32_t largest = 16384;
  try {
    const size_mix mix = size_mix::parse(text, smallest, largest);
    must(mix.min_size() >= smallest && mix.max_size() <= largest, "sizes within the limits");
    for (std::uint64_t random = 1; random != 0; random <<= 7) {
      const std::uint32_t size = mix.pick(random * 0x9e3779b97f4a7c15U);
      must(size >= mix.min_size() && size <= mix.max_size(), "a pick within the mix");
    }
  } catch (const std::invalid_argument& error) {
    must(*error.what() != '\0', "a reason for a refused mix");
  }
}

void fuzz_addresses(const std::string& text) {
  endpoint first;
  if (!endpoint::parse(text, first)) {
    return;  // resolve_target would take it for a name, and look that up
  }
  endpoint second;
  must(endpoint::parse(first.to_string(), second), "an address that can be read back");
  must(second.to_string() == first.to_string(), "an address that reads back the same");
  if (first.port != 0) {
    must(resolve_target(text).length != 0, "an address to listen on, and none to connect to");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    fuzz_size_mix(text);
  } else {
    fuzz_addresses(text);
  }
  return 0;
}
