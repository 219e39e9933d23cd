// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/memory_file.hpp"
#include "advise/readers.hpp"
#include "record/recorder.hpp"

namespace ringpool::tools {
namespace {

using test::memory_file;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::uint64_t roomy = std::uint64_t{64} << 20;

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string recording_error(const std::string& bytes) {
  const memory_file file(bytes);
  try {
    static_cast<void>(read_recording({.path = file.path()}));
  } catch (const read_error& error) {
    return error.what();
  }
  return "";
}

/// Two samples with an end, one that has none.
std::string small_recording() {
  const memory_file file;
  traffic_recording recording({file.path(), roomy, 16});
  loop_recorder& loop = recording.add_loop();
  recording.start();
  EXPECT_TRUE(loop.begin(1, 0, 100));
  EXPECT_TRUE(loop.begin(2, 0, 200));
  EXPECT_TRUE(loop.begin(3, 0, 300));
  EXPECT_EQ(loop.end(1), 1U);
  EXPECT_EQ(loop.end(3), 1U);
  EXPECT_EQ(loop.end(3), 0U);
  recording.finish();
  EXPECT_EQ(recording.stats().samples, 3U);
  EXPECT_EQ(recording.stats().stopped, "");
  return content_of(file.path());
}

TEST(recording, what_was_recorded_is_read_back) {
  const std::string bytes = small_recording();
  ASSERT_EQ(bytes.size(), 32U + 16 + 3 * 24);
  const memory_file file(bytes);
  const traffic found = read_recording({.path = file.path()});
  EXPECT_TRUE(found.timed);
  EXPECT_THAT(found.source, HasSubstr("3 samples, one in 16"));
  ASSERT_EQ(found.samples.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found.samples[i].bytes, 100 * (i + 1));
    EXPECT_EQ(found.samples[i].weight, 16U);
  }
  EXPECT_EQ(found.samples[0].at_ns, 0);
  EXPECT_GE(found.samples[0].held_ns, 0);
  EXPECT_EQ(found.samples[1].held_ns, -1);
}

TEST(recording, of_frames_in_one_queue_those_that_were_sent_have_ended) {
  const memory_file file;
  traffic_recording recording({file.path(), roomy, 1});
  loop_recorder& loop = recording.add_loop();
  recording.start();
  for (const std::uint64_t position : {100U, 200U, 300U}) {
    EXPECT_TRUE(loop.begin(7, position, static_cast<std::uint32_t>(position)));
  }
  EXPECT_TRUE(loop.begin(8, 50, 50));
  EXPECT_EQ(loop.end(7, 99), 0U);
  EXPECT_EQ(loop.end(7, 200), 2U);
  EXPECT_EQ(loop.end(7), 1U);
  recording.finish();
  const traffic found = read_recording({.path = file.path()});
  ASSERT_EQ(found.samples.size(), 4U);
  EXPECT_EQ(found.samples[3].bytes, 50U);
  EXPECT_EQ(found.samples[3].held_ns, -1);
}

TEST(recording, the_gaps_between_samples_are_as_long_as_asked_for_on_average) {
  const memory_file file;
  for (const std::uint32_t one_in : {1U, 64U, 1000U}) {
    traffic_recording recording({file.path(), roomy, one_in});
    loop_recorder& loop = recording.add_loop();
    double sum = 0;
    std::set<std::uint64_t> different;
    for (int i = 0; i < 20'000; ++i) {
      const std::uint64_t gap = loop.next_gap();
      ASSERT_GE(gap, 1U);
      ASSERT_LE(gap, 2 * one_in - 1);
      sum += static_cast<double>(gap);
      different.insert(gap);
    }
    EXPECT_NEAR(sum / 20'000, one_in, 0.02 * one_in);
    EXPECT_GE(different.size(), one_in);
  }
}

TEST(recording, one_that_is_cut_off_is_read_up_to_there) {
  const std::string bytes = small_recording();
  for (std::size_t size = 32 + 16 + 24; size < bytes.size(); ++size) {
    const memory_file file(bytes.substr(0, size));
    const traffic found = read_recording({.path = file.path()});
    EXPECT_EQ(found.samples.size(), (size - 48) / 24);
    EXPECT_THAT(found.remarks, Contains(HasSubstr("the recording ends inside a block")));
  }
  for (std::size_t size = 0; size < 32 + 16 + 24; ++size) {
    EXPECT_THAT(recording_error(bytes.substr(0, size)), HasSubstr("accepted: ")) << size;
  }
}

TEST(recording, damage_is_an_error_that_names_its_place) {
  const std::string good = small_recording();
  const auto with = [&](std::size_t at, char value) {
    std::string bytes = good;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_THAT(recording_error("size,count\n1,2\n"),
              HasSubstr("byte 0: not a recording; accepted: "));
  EXPECT_THAT(recording_error(with(8, 2)), HasSubstr("version 2 of the format; accepted: 1"));
  EXPECT_THAT(recording_error(with(12, 0)), HasSubstr("byte 12: a damaged header"));
  EXPECT_THAT(recording_error(with(24, 25)), HasSubstr("byte 24: a damaged header"));
  EXPECT_THAT(recording_error(with(33, 'x')),
              HasSubstr("byte 32: no block of records begins here"));
  EXPECT_THAT(recording_error(with(43, 'x')),
              HasSubstr("byte 32: no block of records begins here"));
  EXPECT_THAT(recording_error(with(48 + 7, 'x')),
              HasSubstr("byte 48: a record that no server writes"));
  EXPECT_THAT(recording_error(with(48 + 24 + 20, 0)),
              HasSubstr("byte 72: a record that no server"));
}

TEST(recording, at_its_limit_it_ends_and_says_so) {
  const memory_file file;
  traffic_recording recording({file.path(), 60'000, 1});
  loop_recorder& loop = recording.add_loop();
  recording.start();
  for (int i = 0; i < 10'000; ++i) {
    loop.add_unknown(64);
  }
  recording.finish();
  const recording_stats stats = recording.stats();
  EXPECT_EQ(stats.stopped, "the file has reached its limit");
  EXPECT_LE(stats.bytes, 60'000U);
  EXPECT_EQ(stats.bytes, content_of(file.path()).size());
  EXPECT_EQ(loop.next_gap(), loop_recorder::never);
  EXPECT_EQ(read_recording({.path = file.path()}).samples.size(), stats.samples);
}

TEST(recording, a_file_that_cannot_be_written_is_refused_with_its_name) {
  for (const char* const path : {"/nowhere/at/all", "/dev/full"}) {
    try {
      const traffic_recording recording({path, roomy, 1});
      FAIL();
    } catch (const std::system_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("cannot record to ") + path));
    }
  }
}

/// Numbers that a loop recorded, less those that it had no room for: each once, in order.
/// `spoil`: what a faulty hand-over would do to the file.
template <class Spoil>
bool every_sample_is_there_once(Spoil spoil) {
  constexpr std::uint32_t per_loop = 100'000;
  const memory_file file;
  traffic_recording recording({file.path(), roomy, 1});
  std::vector<loop_recorder*> loops{&recording.add_loop(), &recording.add_loop()};
  recording.start();
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < loops.size(); ++number) {
    threads.emplace_back([&, number] {
      for (std::uint32_t i = 1; i <= per_loop; ++i) {
        loops[number]->add_unknown(2 * i + number);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  recording.finish();
  std::string bytes = content_of(file.path());
  spoil(bytes);
  const memory_file spoilt(bytes);
  const traffic found = read_recording({.path = spoilt.path()});
  std::set<std::uint32_t> seen;
  for (const traffic_sample& one : found.samples) {
    seen.insert(one.bytes);
  }
  const recording_stats stats = recording.stats();
  return seen.size() == found.samples.size() && found.samples.size() == stats.samples &&
         stats.samples <= 2 * per_loop && stats.samples >= loop_recorder::block_records;
}

TEST(recording, loops_lose_no_sample_and_write_none_twice) {
  EXPECT_TRUE(every_sample_is_there_once([](std::string&) {}));
}

TEST(recording, twin_a_block_that_is_written_twice_is_found) {
  EXPECT_FALSE(every_sample_is_there_once([](std::string& bytes) {
    bytes += bytes.substr(32, 16 + loop_recorder::block_records * 24);
  }));
}

TEST(recording, twin_a_block_that_is_filled_while_it_is_written_is_found) {
  EXPECT_FALSE(every_sample_is_there_once(
      [](std::string& bytes) { bytes.replace(48 + 16, 4, bytes.substr(48 + 24 + 16, 4)); }));
}

}  // namespace
}  // namespace ringpool::tools
