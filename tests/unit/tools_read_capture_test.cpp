// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/capture_writer.hpp"
#include "../support/memory_file.hpp"
#include "advise/readers.hpp"
#include "advise/tcp_streams.hpp"

namespace ringpool::tools {
namespace {

using test::capture_writer;
using test::ethernet;
using test::fin_ack;
using test::frame_of;
using test::ipv4;
using test::ipv6;
using test::memory_file;
using test::syn;
using test::tcp;
using test::tcp_segment;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

traffic read_bytes(const std::string& bytes, read_options options = {}) {
  const memory_file file(bytes);
  options.path = file.path();
  return read_capture(options);
}

traffic read(const capture_writer& capture, const read_options& options = {}) {
  return read_bytes(capture.bytes(), options);
}

std::vector<std::uint32_t> sizes_of(const traffic& found) {
  std::vector<std::uint32_t> sizes;
  for (const traffic_sample& sample : found.samples) {
    sizes.push_back(sample.bytes);
  }
  return sizes;
}

std::string capture_error(const std::string& bytes, const read_options& options = {}) {
  try {
    read_bytes(bytes, options);
  } catch (const read_error& error) {
    return error.what();
  }
  return "";
}

/// A connection's beginning, and the sequence number behind it.
std::uint32_t add_handshake(capture_writer& capture, std::uint32_t first = 999) {
  capture.add(tcp_segment{.sequence = first, .flags = syn});
  return first + 1;
}

TEST(read_capture, frames_are_found_behind_every_link_layer_and_ip_version) {
  const std::string segment = tcp({.payload = frame_of(100) + frame_of(7)});
  const std::string four = ipv4(6, segment);
  const std::string six = ipv6(6, segment);
  const std::string options("\x06\x00\x01\x04\x00\x00\x00\x00", 8);  // a hop-by-hop header
  const std::string cooked(14, '\0');
  const std::string cooked2(18, '\0');
  const std::vector<std::pair<std::uint32_t, std::string>> packets{
      {1, ethernet(four)},
      {1, ethernet(six, 0x86dd)},
      {1, ethernet(ipv6(0, segment, options), 0x86dd)},
      {1, ethernet(test::big_endian(5, 2) + test::big_endian(0x0800, 2) + four, 0x8100)},
      {1, ethernet(test::big_endian(0x0005810000050800, 8) + four, 0x88a8)},
      {113, cooked + test::big_endian(0x0800, 2) + four},
      {276, test::big_endian(0x86dd, 2) + cooked2 + six},
      {101, four},
      {101, six},
      {228, four},
      {229, six},
      {0, std::string("\x02\0\0\0", 4) + four},
      {108, std::string("\0\0\0\x1e", 4) + six},
  };
  for (const auto& [link, packet] : packets) {
    capture_writer capture(link);
    capture.add(packet);
    EXPECT_THAT(sizes_of(read(capture)), ElementsAre(100, 7)) << link;
  }
}

TEST(read_capture, a_frame_is_held_from_its_first_segment_to_its_last_and_longer) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  const std::string frame = frame_of(600);
  capture.add(tcp_segment{.sequence = at, .payload = frame.substr(0, 3)});
  capture.add(tcp_segment{.sequence = at + 3, .payload = frame.substr(3) + frame_of(5)}, 5'000'000);
  const traffic found = read(capture, {.hold_ns = 250});
  ASSERT_EQ(found.samples.size(), 2U);
  EXPECT_TRUE(found.timed);
  EXPECT_EQ(found.samples[0].at_ns, 0);
  EXPECT_EQ(found.samples[0].held_ns, 5'000'250);
  EXPECT_EQ(found.samples[1].at_ns, 5'000'000);
  EXPECT_EQ(found.samples[1].held_ns, 250);
  EXPECT_EQ(read(capture).samples[0].held_ns, -1);
}

/// One stream cut into segments that come late, twice, and over each other.
TEST(read_capture, segments_in_any_order_give_the_frames_that_were_sent) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::uint32_t> sent;
    std::string stream;
    while (stream.size() < 5000) {
      sent.push_back(1 + static_cast<std::uint32_t>(random() % (seed % 2 != 0 ? 900 : 40)));
      stream += frame_of(sent.back());
    }
    capture_writer capture;
    const std::uint32_t first = add_handshake(capture, 0U - 2500);  // wraps in the middle
    std::vector<std::pair<std::size_t, std::size_t>> parts;         // [begin, end)
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t end = std::min(stream.size(), at + 1 + random() % 300);
      const std::size_t back = random() % 4 == 0 ? std::min<std::size_t>(at, random() % 200) : 0;
      parts.emplace_back(at - back, end);
      if (random() % 8 == 0) {
        parts.emplace_back(at, end);
      }
      at = end;
    }
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      std::swap(parts[i], parts[std::min(parts.size() - 1, i + random() % 5)]);
    }
    for (const auto& [begin, end] : parts) {
      capture.add(tcp_segment{.sequence = first + static_cast<std::uint32_t>(begin),
                              .payload = stream.substr(begin, end - begin)});
    }
    capture.add(tcp_segment{.sequence = first + static_cast<std::uint32_t>(stream.size()),
                            .flags = fin_ack});
    std::vector<std::uint32_t> found = sizes_of(read(capture));
    ASSERT_EQ(found, sent) << "seed " << seed;
  }
}

TEST(read_capture, a_frame_with_a_missing_segment_is_known_by_its_length) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  const std::string frames = frame_of(3000) + frame_of(20);
  capture.add(tcp_segment{.sequence = at, .payload = frames.substr(0, 1000)});
  capture.add(tcp_segment{.sequence = at + 2000, .payload = frames.substr(2000)});
  const traffic found = read(capture);
  EXPECT_THAT(sizes_of(found), ElementsAre(3000, 20));
  EXPECT_THAT(found.remarks, Contains("gaps in streams, of segments that were not captured: 1"));
}

TEST(read_capture, behind_a_missing_header_it_goes_on_with_the_next_frames) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  const std::string lost = frame_of(30) + frame_of(300).substr(0, 50);
  const std::string rest = frame_of(300).substr(50);
  capture.add(tcp_segment{.sequence = at, .payload = frame_of(10)});
  const auto behind = at + static_cast<std::uint32_t>(14 + lost.size());
  capture.add(tcp_segment{.sequence = behind, .payload = rest});
  capture.add(tcp_segment{.sequence = behind + static_cast<std::uint32_t>(rest.size()),
                          .payload = frame_of(40) + frame_of(41) + frame_of(42)});
  const traffic found = read(capture);
  EXPECT_THAT(sizes_of(found), ElementsAre(10, 40, 41, 42));
  EXPECT_THAT(found.remarks, Contains("frame headers that were not captured: 1"));
}

TEST(read_capture, a_stream_seen_from_the_middle_is_read_from_a_chain_of_frames_on) {
  capture_writer capture;
  const std::string cut = frame_of(500).substr(100);
  capture.add(
      tcp_segment{.sequence = 5, .payload = cut + frame_of(60) + frame_of(61) + frame_of(62)});
  const traffic found = read(capture, {.port = 9000});
  EXPECT_THAT(sizes_of(found), ElementsAre(60, 61, 62));
  EXPECT_THAT(found.remarks, Contains("streams that were seen from the middle on: 1"));
}

TEST(read_capture, a_length_in_the_middle_of_a_payload_is_not_taken_for_a_frame) {
  capture_writer capture;
  const std::string decoy = test::big_endian(9, 4) + std::string(200, '\xee');
  capture.add(tcp_segment{.sequence = 5, .payload = decoy});
  capture.add(tcp_segment{.sequence = 5 + 204, .payload = frame_of(33) + frame_of(34)});
  EXPECT_THAT(sizes_of(read(capture)), ElementsAre(33, 34));
}

TEST(read_capture, packets_that_were_cut_off_have_the_sizes_that_were_sent) {
  capture_writer whole(1, 14 + 20 + 20 + 4);  // headers, and the length of one frame
  const std::uint32_t at = add_handshake(whole);
  whole.add(tcp_segment{.sequence = at, .payload = frame_of(1000)});
  whole.add(tcp_segment{.sequence = at + 1004, .payload = frame_of(2) + frame_of(900)});
  whole.add(tcp_segment{.sequence = at + 1004 + 6 + 904, .payload = frame_of(77)});
  const traffic found = read(whole);
  EXPECT_THAT(sizes_of(found), ElementsAre(1000, 2, 77));
  EXPECT_THAT(found.remarks, Contains("frame headers that were not captured: 1"));
}

TEST(read_capture, handshakes_tell_the_direction_to_the_server_and_so_does_a_port) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  capture.add(tcp_segment{.from = 9000, .to = 40000, .sequence = 70, .flags = test::syn_ack});
  capture.add(tcp_segment{.sequence = at, .payload = frame_of(11)});
  capture.add(tcp_segment{.from = 9000, .to = 40000, .sequence = 71, .payload = frame_of(12)});
  capture.add(tcp_segment{.from = 50000, .to = 9001, .sequence = 1, .payload = frame_of(13)});
  const traffic guessed = read(capture);
  EXPECT_THAT(sizes_of(guessed), ElementsAre(11, 13));
  EXPECT_THAT(guessed.remarks, Contains("server ports, by the handshakes: 9000"));
  EXPECT_THAT(sizes_of(read(capture, {.port = 9001})), ElementsAre(13));
  EXPECT_THAT(sizes_of(read(capture, {.port = 40000})), ElementsAre(12));
  EXPECT_THAT(capture_error(capture.bytes(), {.port = 80}),
              HasSubstr("no frames to port 80 in its 5 packets (5 of TCP, 0 of UDP); accepted: "));
}

TEST(read_capture, a_new_connection_between_the_same_ends_is_a_new_stream) {
  capture_writer capture;
  for (const std::uint32_t first : {1000U, 500U}) {
    const std::uint32_t at = add_handshake(capture, first);
    capture.add(tcp_segment{.sequence = at, .payload = frame_of(first / 10)});
    capture.add(tcp_segment{.sequence = at, .payload = frame_of(first / 10)});  // sent again
    capture.add(tcp_segment{.sequence = at + 4 + first / 10,
                            .flags = first == 500 ? test::reset : fin_ack});
    capture.add(tcp_segment{.sequence = at, .payload = frame_of(first / 10)});  // late
  }
  const traffic found = read(capture);
  EXPECT_THAT(sizes_of(found), ElementsAre(100, 50));
  EXPECT_THAT(found.source, HasSubstr("2 streams, 2 frames"));
}

TEST(read_capture, what_is_skipped_is_told) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  const std::string segment = tcp({.sequence = at, .payload = frame_of(9)});
  capture.add(ethernet(ipv4(6, segment)));
  capture.add(ethernet(ipv4(6, segment, 0x2000)));  // more fragments
  capture.add(ethernet(ipv6(44, segment, std::string("\x06\0\0\x09\0\0\0\1", 8)), 0x86dd));
  capture.add(ethernet(ipv4(6, segment)).substr(0, 30));                     // shorter than it says
  capture.add(ethernet(ipv4(6, segment)).replace(14 + 20 + 12, 1, "\x10"));  // a header of 4 bytes
  capture.add(ethernet("hello", 0x0806));
  const traffic found = read(capture);
  EXPECT_THAT(sizes_of(found), ElementsAre(9));
  EXPECT_THAT(found.remarks, Contains("IP fragments, skipped: 2"));
  EXPECT_THAT(found.remarks, Contains("packets with damaged headers, skipped: 2"));
}

TEST(read_capture, streams_of_something_else_are_told_and_left_alone) {
  capture_writer capture;
  const std::uint32_t at = add_handshake(capture);
  capture.add(
      tcp_segment{.sequence = at, .payload = "GET / HTTP/1.1\r\n\r\n" + std::string(200, 'x')});
  capture.add(tcp_segment{.from = 40001, .sequence = 1, .payload = frame_of(9)});
  const traffic found = read(capture);
  EXPECT_THAT(sizes_of(found), ElementsAre(9));
  EXPECT_THAT(found.remarks,
              Contains("streams without frames of a 4-byte length and a payload: 1"));
}

TEST(read_capture, udp_packets_are_read_when_asked_for) {
  capture_writer capture;
  capture.add(ethernet(ipv4(17, test::udp(9000, "12345"))));
  capture.add(ethernet(ipv4(17, test::udp(53, "123"))));
  capture.add(ethernet(ipv6(17, test::udp(9000, std::string(1200, 'x'))), 0x86dd));
  EXPECT_THAT(sizes_of(read(capture, {.packets = true, .port = 9000})), ElementsAre(5, 1200));
  EXPECT_THAT(sizes_of(read(capture, {.packets = true})), ElementsAre(5, 3, 1200));
  EXPECT_THAT(capture_error(capture.bytes()), HasSubstr("no frames in its 3 packets"));
}

TEST(read_capture, pcapng_is_read_too) {
  const traffic found = read_bytes(test::pcapng_of(
      {ethernet(ipv4(6, tcp({.sequence = 9, .flags = syn}))),
       ethernet(ipv4(6, tcp({.sequence = 10, .payload = frame_of(21) + frame_of(22)})))}));
  EXPECT_THAT(sizes_of(found), ElementsAre(21, 22));
}

TEST(read_capture, a_capture_that_is_cut_off_is_read_up_to_there) {
  capture_writer capture;
  capture.add(tcp_segment{.payload = frame_of(15)});
  const std::size_t first = capture.bytes().size();
  capture.add(tcp_segment{.sequence = 1019, .payload = frame_of(16)});
  const traffic found = read_bytes(capture.bytes().substr(0, first + 30));
  EXPECT_THAT(sizes_of(found), ElementsAre(15));
  EXPECT_THAT(found.remarks, Contains(HasSubstr("cut off behind packet 1")));
  EXPECT_THAT(capture_error(capture.bytes().substr(0, 30)),
              HasSubstr("accepted: a pcap or pcapng"));
}

TEST(read_capture, an_error_names_the_file_the_fault_and_what_is_accepted) {
  EXPECT_THAT(capture_error("not a capture at all, but a text"),
              HasSubstr("accepted: a pcap or pcapng"));
  EXPECT_THAT(capture_error(""), HasSubstr("not a capture"));
  capture_writer wireless(105);
  wireless.add(std::string(60, 'x'));
  EXPECT_THAT(capture_error(wireless.bytes()),
              HasSubstr("link type IEEE802_11 (105); accepted: Ethernet"));
  try {
    static_cast<void>(read_capture({.path = "/nowhere/at/all"}));
    FAIL();
  } catch (const read_error& error) {
    EXPECT_STREQ(error.what(), "/nowhere/at/all: cannot be read: No such file or directory");
  }
}

TEST(read_capture, a_capture_of_a_real_load_has_the_frames_that_it_sent) {
  for (const std::uint16_t port : {std::uint16_t{0}, std::uint16_t{9100}}) {
    const traffic found = read_capture({.path = RINGPOOL_TEST_CAPTURES "/load.pcap", .port = port});
    EXPECT_THAT(found.source, HasSubstr("3 streams, 44 frames"));
    std::uint64_t sum = 0;
    for (const traffic_sample& one : found.samples) {
      sum += one.bytes;
    }
    EXPECT_EQ(sum, 15040U);  // what tcpdump tells, less the lengths
  }
}

TEST(read_capture, progress_rises_to_the_whole_file) {
  capture_writer capture;
  std::uint32_t at = add_handshake(capture);
  for (int i = 0; i < 5000; ++i, at += 104) {
    capture.add(tcp_segment{.sequence = at, .payload = frame_of(100)});
  }
  std::vector<std::uint64_t> told;
  read_options options;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, capture.bytes().size());
    told.push_back(done);
  };
  EXPECT_EQ(read(capture, options).samples.size(), 5000U);
  EXPECT_GE(told.size(), 4U);
  EXPECT_LE(told.size(), 202U);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), capture.bytes().size());
}

/// What `./test` leaves to `./test --all`, the fuzz target, in small.
TEST(read_capture, every_beginning_of_a_capture_is_read_or_refused_with_what_is_accepted) {
  std::ifstream in(RINGPOOL_TEST_CAPTURES "/load.pcap", std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  for (std::size_t size = 0; size < bytes.size(); size += size < 1000 ? 1 : 97) {
    try {
      EXPECT_FALSE(read_bytes(bytes.substr(0, size)).samples.empty());
    } catch (const read_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("accepted: ")) << size;
    }
  }
}

TEST(tcp_streams, memory_is_bounded_by_streams_and_by_what_waits) {
  sample_sink sink;
  tcp_streams streams({}, sink, {.streams = 2, .stream_pending_bytes = 3000});
  const std::string part(1000, 'x');
  const auto segment = [&](std::uint16_t from, std::uint32_t sequence, bool begins) {
    packet one{.kind = packet_kind::tcp, .sequence = sequence, .syn = begins};
    one.from.port = from;
    one.to.port = 9000;
    if (!begins) {
      one.payload_bytes = 1000;
      one.captured = {reinterpret_cast<const std::uint8_t*>(part.data()), part.size()};
    }
    streams.add(one, 0);
  };
  for (std::uint16_t from = 1; from <= 3; ++from) {
    segment(from, 0, true);
  }
  EXPECT_EQ(sink.counted("streams that were forgotten, since too many were open at once"), 1U);
  for (std::uint32_t i = 0; i < 3; ++i) {
    segment(3, 2000 + 2000 * i, false);
  }
  EXPECT_EQ(sink.counted("gaps in streams, of segments that were not captured"), 0U);
  segment(3, 8000, false);
  EXPECT_EQ(sink.counted("gaps in streams, of segments that were not captured"), 1U);
}

TEST(sample_sink, too_many_samples_are_thinned_and_stand_for_as_many) {
  sample_sink sink(1000);
  for (int i = 0; i < 50'000; ++i) {
    sink.add({.at_ns = i, .bytes = i % 4 == 0 ? 100U : 200U});
  }
  const traffic found = sink.finish(true);
  EXPECT_LE(found.samples.size(), 1000U);
  std::map<std::uint32_t, double> sums;
  for (const traffic_sample& one : found.samples) {
    sums[one.bytes] += one.weight;
  }
  EXPECT_NEAR(sums[100], 12'500, 2'500);
  EXPECT_NEAR(sums[200], 37'500, 4'500);
  EXPECT_THAT(found.remarks, Contains(HasSubstr("one in 64 was kept")));
}

}  // namespace
}  // namespace ringpool::tools
