// SPDX-License-Identifier: MIT

// Any bytes, cut in any way, under any pattern of refusals, decoded or received in place: the
// decoder gives the frames that plain arithmetic gives. The first byte says how many of the next
// are cuts, refusals and ways.

#include <cstdio>
#include <cstdlib>

#include "../property/frame_streams.hpp"

namespace {

using namespace ringpool::test;

#if defined(RINGPOOL_FUZZ_TWIN)
using decoder = off_by_one_decoder;
#else
using decoder = ringpool::basic_frame_decoder<ringpool::buffer>;
#endif

stream_case read_case(const std::uint8_t* data, std::size_t size) {
  stream_case made;
  const std::size_t plan = size == 0 ? 0 : std::min<std::size_t>(data[0] % 16, size - 1);
  for (std::size_t i = 1; i <= plan; ++i) {
    made.pieces.push_back(1 + data[i] / 2);
    made.refusals.push_back(data[i] % 2 != 0);
    made.ways.push_back(static_cast<std::uint8_t>(data[i] / 2 % 3));
  }
  made.pieces.push_back(64);
  made.refusals.push_back(false);  // it relents in the end
  made.ways.push_back(0);
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(std::min(plan + 1, size));
  made.stream.assign(bytes.begin(), bytes.end());
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const stream_case given = read_case(data, size);
  const outcome right = decode_naively(given.stream);
  const outcome found = decode_in_pieces<careful, decoder>(given);
  if (found != right) {
    std::fprintf(stderr, "the decoder and plain arithmetic differ: %zu and %zu frames; %s\n",
                 found.frames.size(), right.frames.size(), found.broken.c_str());
    std::abort();
  }
  return 0;
}
