// SPDX-License-Identifier: MIT
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "../report.hpp"
#include "input_file.hpp"
#include "packet.hpp"
#include "readers.hpp"
#include "sample_sink.hpp"
#include "tcp_streams.hpp"

namespace ringpool::tools {
namespace {

constexpr std::int64_t latest_second = 4'000'000'000;  // in 2096; later ones are damaged
constexpr std::int64_t longest_hold_ns = 1'000'000'000'000'000'000;

struct pcap_closer {
  void operator()(::pcap_t* capture) const noexcept { ::pcap_close(capture); }
};
using capture_handle = std::unique_ptr<::pcap_t, pcap_closer>;

std::optional<link_kind> link_kind_of(int type) noexcept {
  switch (type) {
    case DLT_EN10MB: return link_kind::ethernet;
    case DLT_LINUX_SLL: return link_kind::linux_cooked;
    case DLT_LINUX_SLL2: return link_kind::linux_cooked_2;
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6: return link_kind::raw_ip;
    case DLT_NULL:
    case DLT_LOOP: return link_kind::loopback;
    default: return std::nullopt;
  }
}

/// Reads one capture from its first packet to its last.
class capture_reader {
 public:
  explicit capture_reader(const read_options& options)
      : options_(options), streams_(limited(options), sink_) {}

  traffic read() {
    input_file input = open_input(options_.path);
    input_progress progress(options_, input.total_bytes);
    std::array<char, PCAP_ERRBUF_SIZE> reason{};
    capture_.reset(::pcap_fopen_offline_with_tstamp_precision(
        input.file.get(), PCAP_TSTAMP_PRECISION_NANO, reason.data()));
    if (capture_ == nullptr) {
      throw read_error(fmt::format("{}: not a capture: {}; accepted: a pcap or pcapng file",
                                   options_.path, reason.data()));
    }
    std::FILE* const file = input.file.release();  // is closed with the capture
    const link_kind link = find_link();
    ::pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    int status = 0;
    while ((status = ::pcap_next_ex(capture_.get(), &header, &bytes)) == 1) {
      ++packet_count_;
      add(parse_packet(link, {bytes, header->caplen}, header->len), header->ts);
      if (packet_count_ % 1024 == 0) {
        progress.at(static_cast<std::uint64_t>(std::max<::off_t>(0, ::ftello(file))));
      }
    }
    if (status == PCAP_ERROR) {
      end_early(static_cast<std::uint64_t>(std::max<::off_t>(0, ::ftello(file))));
    }
    streams_.finish();
    progress.end();
    return finish();
  }

 private:
  static read_options limited(read_options options) {
    options.hold_ns = std::min(options.hold_ns, longest_hold_ns);
    return options;
  }

  link_kind find_link() const {
    const int type = ::pcap_datalink(capture_.get());
    const std::optional<link_kind> link = link_kind_of(type);
    if (!link) {
      const char* const name = ::pcap_datalink_val_to_name(type);
      throw read_error(fmt::format(
          "{}: its packets are of link type {} ({}); accepted: Ethernet, Linux cooked capture "
          "(LINUX_SLL, LINUX_SLL2), raw IP, loopback (NULL, LOOP)",
          options_.path, name != nullptr ? name : "unknown", type));
    }
    return *link;
  }

  /// A capture that was cut off is as good as its packets.
  void end_early(std::uint64_t offset) {
    const std::string what =
        fmt::format("damaged or cut off behind packet {}, at byte {}: {}",
                    format_count(packet_count_), offset, ::pcap_geterr(capture_.get()));
    if (packet_count_ == 0) {
      throw read_error(fmt::format("{}: {}; accepted: a pcap or pcapng file", options_.path, what));
    }
    early_end_ = what + "; read up to there";
  }

  void add(const packet& seen, const ::timeval& time) {
    const bool damaged = time.tv_sec < 0 || time.tv_sec > latest_second || time.tv_usec < 0 ||
                         time.tv_usec > 999'999'999;
    if (damaged) {
      sink_.count("packets with a time beyond all sense, skipped");
      return;
    }
    const std::int64_t now = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_usec;
    switch (seen.kind) {
      case packet_kind::tcp: add_segment(seen, now); return;
      case packet_kind::udp: add_datagram(seen, now); return;
      case packet_kind::fragment: sink_.count("IP fragments, skipped"); return;
      case packet_kind::cut:
        sink_.count("packets whose headers were not captured, skipped");
        return;
      case packet_kind::malformed: sink_.count("packets with damaged headers, skipped"); return;
      case packet_kind::other: ++other_count_; return;
    }
  }

  void add_segment(const packet& seen, std::int64_t now) {
    ++segment_count_;
    if (!options_.packets) {
      streams_.add(seen, now);
    }
  }

  void add_datagram(const packet& seen, std::int64_t now) {
    ++datagram_count_;
    if (!options_.packets || (options_.port != 0 && seen.to.port != options_.port)) {
      return;
    }
    if (seen.payload_bytes == 0) {
      sink_.count("UDP packets without a payload, skipped");
      return;
    }
    const std::int64_t held_ns =
        options_.hold_ns < 0 ? -1 : std::min(options_.hold_ns, longest_hold_ns);
    sink_.add({.at_ns = now, .held_ns = held_ns, .bytes = seen.payload_bytes});
  }

  traffic finish() {
    const std::string to_port = options_.port != 0 ? fmt::format(" to port {}", options_.port) : "";
    if (sink_.empty()) {
      throw read_error(fmt::format(
          "{}: no {}{} in its {} packets ({} of TCP, {} of UDP); accepted: {}", options_.path,
          options_.packets ? "UDP packets" : "frames", to_port, format_count(packet_count_),
          format_count(segment_count_), format_count(datagram_count_),
          options_.packets
              ? "captures with the packets that came to the server"
              : fmt::format("TCP streams of frames: a length of 4 bytes, big-endian, of 1 to {}, "
                            "and as many bytes",
                            options_.max_frame_bytes)));
    }
    const std::uint64_t found = sink_.added();
    traffic result = sink_.finish(true);
    result.source =
        options_.packets
            ? fmt::format("{}: {} UDP packets{}", options_.path, format_count(found), to_port)
            : fmt::format("{}: {} streams, {} frames{}", options_.path,
                          format_count(streams_.stream_count()), format_count(found), to_port);
    if (!early_end_.empty()) {
      result.remarks.push_back(early_end_);
    }
    if (options_.port == 0 && !options_.packets) {
      const std::string ports = streams_.guessed_ports();
      result.remarks.push_back(ports.empty()
                                   ? "no handshake was captured: both directions were read; with "
                                     "the server's port only what came to it"
                                   : "server ports, by the handshakes: " + ports);
    }
    return result;
  }

  const read_options& options_;
  sample_sink sink_;
  tcp_streams streams_;
  capture_handle capture_;
  std::uint64_t packet_count_ = 0;
  std::uint64_t segment_count_ = 0;
  std::uint64_t datagram_count_ = 0;
  std::uint64_t other_count_ = 0;
  std::string early_end_;
};

}  // namespace

traffic read_capture(const read_options& options) { return capture_reader(options).read(); }

}  // namespace ringpool::tools
