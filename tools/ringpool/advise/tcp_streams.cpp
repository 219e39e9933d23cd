// SPDX-License-Identifier: MIT
#include "tcp_streams.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace ringpool::tools {
namespace {

/// Further ahead than any window: another connection between the same ends.
constexpr std::int32_t largest_step = 1 << 26;

constexpr int most_ports_told = 8;

std::int32_t difference(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b);
}

std::span<const std::uint8_t> without_front(std::span<const std::uint8_t> bytes,
                                            std::size_t count) noexcept {
  return bytes.subspan(std::min(count, bytes.size()));
}

}  // namespace

std::size_t tcp_streams::flow_hash::operator()(const flow& key) const noexcept {
  static_assert(std::has_unique_object_representations_v<flow> && sizeof(flow) == 36);
  std::uint64_t sum = std::uint64_t{key.from.port} << 16 | key.to.port;
  for (const packet_end* end : {&key.from, &key.to}) {
    std::uint64_t words[2];
    std::memcpy(words, end->address.data(), sizeof words);
    for (const std::uint64_t word : words) {
      sum = (sum ^ word) * 0x9e3779b97f4a7c15U;
      sum ^= sum >> 29;
    }
  }
  return sum;
}

tcp_streams::tcp_streams(const read_options& options, sample_sink& sink,
                         const stream_limits& limits)
    : port_(options.port),
      max_frame_bytes_(options.max_frame_bytes),
      hold_ns_(options.hold_ns),
      sink_(sink),
      limits_(limits) {}

std::string tcp_streams::guessed_ports() const {
  std::string text;
  int told = 0;
  for (std::size_t port = 0; port < servers_.size() && port_ == 0; ++port) {
    if (servers_[port] && ++told <= most_ports_told) {
      text += (text.empty() ? "" : ", ") + std::to_string(port);
    }
  }
  return told > most_ports_told ? text + ", ..." : text;
}

/// Handshakes tell which end is a server's; without one both directions count.
bool tcp_streams::goes_to_server(const packet& segment) {
  if (port_ != 0) {
    return segment.to.port == port_;
  }
  if (segment.syn) {
    servers_.set(segment.ack ? segment.from.port : segment.to.port);
  }
  const bool to_server = servers_[segment.to.port];
  const bool from_server = servers_[segment.from.port];
  return to_server && from_server ? segment.to.port < segment.from.port : !from_server;
}

tcp_streams::stream& tcp_streams::stream_of(const packet& segment) {
  const flow key{segment.from, segment.to};
  if (!streams_.empty() && streams_.front().key == key) {
    return streams_.front();
  }
  if (const auto found = places_.find(key); found != places_.end()) {
    streams_.splice(streams_.begin(), streams_, found->second);
    return streams_.front();
  }
  if (streams_.size() >= limits_.streams) {
    stream& oldest = streams_.back();
    if (!oldest.closed) {
      sink_.count("streams that were forgotten, since too many were open at once");
      close(oldest);
    }
    places_.erase(oldest.key);
    streams_.pop_back();
  }
  streams_.emplace_front(key, max_frame_bytes_);
  places_.emplace(key, streams_.begin());
  return streams_.front();
}

void tcp_streams::begin(stream& one, std::uint32_t sequence) {
  if (one.started && !one.closed) {
    if (one.next == sequence) {
      return;  // sent again
    }
    close(one);
  }
  ++stream_count_;
  one.scanner = frame_scanner(max_frame_bytes_);
  one.scanner.begin();
  one.next = sequence;
  one.started = true;
  one.ending = false;
  one.closed = false;
}

void tcp_streams::add(const packet& segment, std::int64_t now) {
  const bool empty = segment.payload_bytes == 0 && !segment.syn && !segment.fin && !segment.reset;
  if (empty || !goes_to_server(segment)) {
    return;
  }
  stream& one = stream_of(segment);
  std::uint32_t sequence = segment.sequence;
  if (segment.syn) {
    begin(one, ++sequence);
  }
  if (segment.reset) {
    close(one);
    return;
  }
  if (one.closed) {
    return;
  }
  if (segment.payload_bytes != 0) {
    if (!one.started) {
      ++stream_count_;
      one.started = true;
      one.next = sequence;
      sink_.count("streams that were seen from the middle on");
    }
    accept(one, {sequence, segment.payload_bytes, now, {}}, segment.captured);
  }
  if (segment.fin) {
    one.ending = true;
    one.end = sequence + segment.payload_bytes;
  }
  if (one.ending && (!one.started || difference(one.next, one.end) >= 0)) {
    close(one);
  }
}

void tcp_streams::accept(stream& one, waiting_segment&& segment,
                         std::span<const std::uint8_t> captured) {
  const std::int32_t ahead = difference(segment.sequence, one.next);
  if (ahead > largest_step || ahead < -largest_step) {
    sink_.count("streams that went on elsewhere: read from there on");
    while (!one.pending.empty()) {
      skip_gap(one);
    }
    one.scanner.lose();
    one.next = segment.sequence;
    feed(one, captured, segment.length, segment.at_ns);
    return;
  }
  if (ahead > 0) {
    keep(one, std::move(segment), captured);
    return;
  }
  const auto known = static_cast<std::uint32_t>(-ahead);
  if (known >= segment.length) {
    sink_.count("segments that were sent again");
    return;
  }
  feed(one, without_front(captured, known), segment.length - known, segment.at_ns);
  take_pending(one, segment.at_ns);
}

void tcp_streams::keep(stream& one, waiting_segment&& segment,
                       std::span<const std::uint8_t> captured) {
  const auto before = [&](const waiting_segment& a, const waiting_segment& b) {
    return difference(a.sequence, b.sequence) < 0;
  };
  const auto at = std::upper_bound(one.pending.begin(), one.pending.end(), segment, before);
  const bool known = at != one.pending.begin() && std::prev(at)->sequence == segment.sequence &&
                     std::prev(at)->length >= segment.length;
  if (known) {
    sink_.count("segments that were sent again");
    return;
  }
  const std::int64_t now = segment.at_ns;
  segment.captured.assign(captured.begin(), captured.end());
  one.pending_bytes += captured.size();
  pending_bytes_ += captured.size();
  one.pending.insert(at, std::move(segment));
  while (!one.pending.empty() && (one.pending_bytes > limits_.stream_pending_bytes ||
                                  one.pending.size() > limits_.stream_pending_segments ||
                                  pending_bytes_ > limits_.all_pending_bytes ||
                                  now - one.pending.front().at_ns > limits_.gap_ns)) {
    skip_gap(one);
  }
}

void tcp_streams::feed(stream& one, std::span<const std::uint8_t> captured, std::uint32_t length,
                       std::int64_t now) {
  found_.clear();
  one.scanner.feed(captured, length, now, found_);
  one.next += length;
  for (traffic_sample& frame : found_) {
    frame.held_ns = hold_ns_ < 0 ? -1 : frame.held_ns + hold_ns_;
    sink_.add(frame);
  }
}

/// What has waited long enough; it is there once what was missing is.
void tcp_streams::take_pending(stream& one, std::int64_t now) {
  std::size_t count = 0;
  for (; count < one.pending.size(); ++count) {
    const waiting_segment& segment = one.pending[count];
    const std::int32_t ahead = difference(segment.sequence, one.next);
    if (ahead > 0) {
      break;
    }
    one.pending_bytes -= segment.captured.size();
    pending_bytes_ -= segment.captured.size();
    const auto known = static_cast<std::uint32_t>(-ahead);
    if (known < segment.length) {
      feed(one, without_front(segment.captured, known), segment.length - known,
           std::max(now, segment.at_ns));
    }
  }
  one.pending.erase(one.pending.begin(), one.pending.begin() + static_cast<std::ptrdiff_t>(count));
}

void tcp_streams::skip_gap(stream& one) {
  const waiting_segment& first = one.pending.front();
  const std::uint32_t gap = first.sequence - one.next;
  const std::int64_t at_ns = first.at_ns;
  sink_.count("gaps in streams, of segments that were not captured");
  feed(one, {}, gap, at_ns);
  take_pending(one, at_ns);
}

void tcp_streams::close(stream& one) {
  while (!one.pending.empty()) {
    skip_gap(one);
  }
  std::vector<waiting_segment>().swap(one.pending);
  const frame_scanner& scanner = one.scanner;
  sink_.count("frames that end behind the end of their stream or of the capture, left out",
              scanner.inside_frame() ? 1 : 0);
  sink_.count("frame headers that were not captured", scanner.missing_header_count());
  sink_.count("lengths that no frame may have; the stream is read on from the next good ones",
              scanner.frame_count() != 0 ? scanner.bad_length_count() : 0);
  sink_.count("streams without frames of a 4-byte length and a payload",
              one.started && !one.closed && scanner.frame_count() == 0 ? 1 : 0);
  one.scanner = frame_scanner(max_frame_bytes_);
  one.closed = true;
}

void tcp_streams::finish() {
  for (stream& one : streams_) {
    if (!one.closed) {
      close(one);
    }
  }
}

}  // namespace ringpool::tools
