// SPDX-License-Identifier: MIT

// Files to be advised from: captures, tables and recordings. A file is read, or refused with a
// reason that says what is accepted; what was read keeps its promises.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "advise/readers.hpp"

namespace {

using namespace ringpool::tools;

void must(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "a reader broke its promise: %s\n", what);
    std::abort();
  }
}

void check(const traffic& found) {
  must(!found.samples.empty() && !found.source.empty(), "something to be advised from");
  std::int64_t last = 0;
  for (const traffic_sample& one : found.samples) {
    must(one.bytes != 0 && one.weight != 0 && one.held_ns >= -1, "a sample that can be");
    must(one.at_ns >= last, "samples by rising time from 0 on");
    last = one.at_ns;
  }
}

/// A file in memory, written anew for each input.
std::string path_of(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("input", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  must(::ftruncate(fd, 0) == 0 && ::pwrite(fd, data, size, 0) == static_cast<::ssize_t>(size),
       "an input in memory");
  return path;
}

}  // namespace

/// The first byte chooses the reader and its options, the others are the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const unsigned choice = data[0];
  const read_options options{.path = path_of(data + 1, size - 1),
                             .packets = (choice & 4) != 0,
                             .port = static_cast<std::uint16_t>((choice & 8) != 0 ? 9000 : 0),
                             .max_frame_bytes = (choice & 16) != 0 ? 64U : 16384U,
                             .hold_ns = (choice & 32) != 0 ? 1000 : -1};
  try {
    switch (choice % 4) {
      case 0: check(read_table(options)); break;
      case 1: check(read_recording(options)); break;
      default: check(read_capture(options)); break;
    }
  } catch (const read_error& error) {
    must(std::string_view(error.what()).find("accepted: ") != std::string_view::npos,
         "a reason that says what is accepted");
  }
  return 0;
}
