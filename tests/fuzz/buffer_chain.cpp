// SPDX-License-Identifier: MIT

// Any operations on a few chains that share buffers leave the bytes that vectors have. Each four
// bytes of the input are one operation.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../property/chain_operations.hpp"

namespace {

using namespace ringpool::test;

#if defined(RINGPOOL_FUZZ_TWIN)
using chain = trims_one_too_many;
#else
using chain = ringpool::buffer_chain;
#endif

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  words operations(size / sizeof(std::uint32_t));
  if (!operations.empty()) {
    std::memcpy(operations.data(), data, operations.size() * sizeof(std::uint32_t));
  }
  const std::string problem = chains_against_vectors<chain>().run(operations);
  if (!problem.empty()) {
    std::fprintf(stderr, "the chain and vectors differ: %s\n", problem.c_str());
    std::abort();
  }
  return 0;
}
