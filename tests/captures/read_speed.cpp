// SPDX-License-Identifier: MIT

// Writes a capture of many connections with frames, as a busy server would see it, and tells how
// long read_capture takes for it: `ringpool_read_speed FILE [BYTES [ROUNDS]]`. FILE is removed.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "../support/capture_writer.hpp"
#include "advise/readers.hpp"
#include "load_frame.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "size_mix.hpp"

namespace {

using namespace ringpool;

constexpr std::uint32_t stream_count = 1000;
constexpr std::size_t segment_bytes = 1448;

struct written {
  std::uint64_t bytes = 0;
  std::uint64_t packets = 0;
  std::uint64_t frames = 0;
};

/// Each turn one connection sends a few frames of the game mix, and the server acknowledges them;
/// one segment in 100 comes behind its successor.
written write_capture(const std::string& path, std::uint64_t bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) {
    fmt::print(stderr, "cannot write {}\n", path);
    std::exit(1);
  }
  const auto mix = tools::size_mix::parse("game", 1, 16384);
  std::vector<std::uint32_t> next(stream_count, 1000);
  written sum;
  for (std::uint64_t turn = 0; sum.bytes < bytes; ++turn) {
    const std::uint64_t random = tools::mix_bits(turn * 0x9e3779b97f4a7c15U);
    const auto number = static_cast<std::uint32_t>(random % stream_count);
    std::string sent;
    for (std::uint64_t left = 1 + random / stream_count % 3; left != 0; --left, ++sum.frames) {
      sent += test::frame_of(mix.pick(tools::mix_bits(random + left)));
    }
    std::vector<test::tcp_segment> segments;
    const auto port = static_cast<std::uint16_t>(20000 + number);
    for (std::size_t at = 0; at < sent.size(); at += segment_bytes) {
      segments.push_back({port, 9000, next[number], sent.substr(at, segment_bytes), 0x10});
      next[number] += static_cast<std::uint32_t>(segments.back().payload.size());
    }
    if (segments.size() > 1 && (random >> 32) % 100 == 0) {
      std::swap(segments[0], segments[1]);
    }
    segments.push_back({9000, port, 1, "", 0x10});
    test::capture_writer part;
    const std::size_t header_bytes = part.bytes().size();
    for (const test::tcp_segment& one : segments) {
      part.add(one, &one == segments.data() ? turn * 2000 : 500);
    }
    const std::size_t from = turn == 0 ? 0 : header_bytes;
    std::fwrite(part.bytes().data() + from, 1, part.bytes().size() - from, file);
    sum.bytes += part.bytes().size() - from;
    sum.packets += segments.size();
  }
  std::fclose(file);
  return sum;
}

double read_seconds(const std::string& path, const written& expected) {
  tools::progress_display display(tools::progress_mode::automatic);
  tools::read_options options{.path = path, .port = 9000};
  options.progress = [show = tools::counting_progress(display, "reading", expected.bytes)](
                         std::uint64_t done, std::uint64_t) { show(done); };
  const auto begin = std::chrono::steady_clock::now();
  const tools::traffic found = tools::read_capture(options);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  std::uint64_t frames = 0;
  for (const tools::traffic_sample& one : found.samples) {
    frames += one.weight;
  }
  display.erase();
  if (frames < expected.frames * 99 / 100 || frames > expected.frames * 101 / 100) {
    fmt::print(stderr, "{} frames were written and {} read\n", expected.frames, frames);
    std::exit(1);
  }
  return passed.count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} FILE [BYTES [ROUNDS]]\n", argv[0]);
    return 2;
  }
  const std::string path = argv[1];
  const std::uint64_t bytes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000'000;
  const int rounds = argc > 3 ? std::max(1, std::atoi(argv[3])) : 3;
  const written sum = write_capture(path, bytes);
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) {
    seconds.push_back(read_seconds(path, sum));
  }
  ::unlink(path.c_str());
  std::sort(seconds.begin(), seconds.end());
  ::rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  fmt::print("capture    {}: {} packets, {} connections, {} frames\n",
             tools::format_bytes(static_cast<double>(sum.bytes)), tools::format_count(sum.packets),
             stream_count, tools::format_count(sum.frames));
  fmt::print("read in    {:.2f} s (median of {}; {:.2f} to {:.2f}), {} a second\n",
             seconds[seconds.size() / 2], rounds, seconds.front(), seconds.back(),
             tools::format_bytes(static_cast<double>(sum.bytes) / seconds[seconds.size() / 2]));
  fmt::print("memory     {} at most\n",
             tools::format_bytes(1024.0 * static_cast<double>(use.ru_maxrss)));
  return 0;
}
