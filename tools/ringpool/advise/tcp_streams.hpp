// SPDX-License-Identifier: MIT
#pragma once

//   packet --> stream of its direction --> in order? --yes--> frame_scanner --> samples
//                                            |no               ^
//                                            '--> pending -----'  when the gap is filled, or given
//                                            up
//
// What a stream keeps is bounded, and so is the number of streams: the one that was quiet longest
// goes. Sequence numbers wrap; all comparisons are of differences.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "frame_scanner.hpp"
#include "packet.hpp"
#include "readers.hpp"
#include "sample_sink.hpp"

namespace ringpool::tools {

struct stream_limits {
  std::size_t streams = 65536;
  std::size_t stream_pending_bytes = std::size_t{256} << 10;
  std::size_t stream_pending_segments = 512;
  std::size_t all_pending_bytes = std::size_t{64} << 20;
  std::int64_t gap_ns = 3'000'000'000;  ///< what is missing for longer was never captured
};

/// Puts the directions of TCP streams that go to a server together again, and finds their frames.
///
/// Invariant: bytes that wait behind a gap are within `limits`, of each stream and of all.
/// Progress: no call waits.
/// Thread-safety: one thread.
/// Cost: a segment in order: one look into a hash table.
class tcp_streams {
 public:
  tcp_streams(const read_options& options, sample_sink& sink, const stream_limits& limits = {});

  void add(const packet& segment, std::int64_t now);
  /// What waits behind gaps is looked at without what is missing.
  void finish();

  [[nodiscard]] std::uint64_t stream_count() const noexcept { return stream_count_; }
  /// "9000, 9001": where connections went whose beginning was seen; empty where a port was given.
  [[nodiscard]] std::string guessed_ports() const;

 private:
  struct flow {
    packet_end from;
    packet_end to;
    bool operator==(const flow&) const = default;
  };
  struct flow_hash {
    std::size_t operator()(const flow& key) const noexcept;
  };
  struct waiting_segment {
    std::uint32_t sequence;
    std::uint32_t length;
    std::int64_t at_ns;
    std::vector<std::uint8_t> captured;
  };
  struct stream {
    stream(const flow& where, std::uint32_t max_frame_bytes)
        : key(where), scanner(max_frame_bytes) {}
    flow key;
    frame_scanner scanner;
    std::vector<waiting_segment> pending;  // by sequence number
    std::size_t pending_bytes = 0;
    std::uint32_t next = 0;  // sequence number
    std::uint32_t end = 0;   // that of FIN, once it was seen
    bool started = false;    // next is known
    bool ending = false;     // FIN was seen
    bool closed = false;     // what still comes was sent again
  };
  using place = std::list<stream>::iterator;

  [[nodiscard]] bool goes_to_server(const packet& segment);
  [[nodiscard]] stream& stream_of(const packet& segment);
  void begin(stream& one, std::uint32_t sequence);
  void accept(stream& one, waiting_segment&& segment, std::span<const std::uint8_t> captured);
  void keep(stream& one, waiting_segment&& segment, std::span<const std::uint8_t> captured);
  void feed(stream& one, std::span<const std::uint8_t> captured, std::uint32_t length,
            std::int64_t now);
  void take_pending(stream& one, std::int64_t now);
  void skip_gap(stream& one);
  void close(stream& one);

  std::uint16_t port_;
  std::uint32_t max_frame_bytes_;
  std::int64_t hold_ns_;
  sample_sink& sink_;
  stream_limits limits_;
  std::list<stream> streams_;  // the one that was heard last in front
  std::unordered_map<flow, place, flow_hash> places_;
  std::bitset<65536> servers_;
  std::vector<traffic_sample> found_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t stream_count_ = 0;
};

}  // namespace ringpool::tools
