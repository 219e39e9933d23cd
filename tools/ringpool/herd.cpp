// SPDX-License-Identifier: MIT
#include "herd.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ringpool/adapters/uring.hpp>
#include <vector>

#include "descriptor.hpp"
#include "load_frame.hpp"
#include "load_loop.hpp"
#include "load_socket.hpp"

namespace ringpool::tools {
namespace {

/// Local ports run out at 28,000 an address (net.ipv4.ip_local_port_range), and the kernel takes
/// longer to find one the fewer are left.
constexpr std::uint32_t connections_per_address = 5000;
/// Exchanges under way: fewer than wait in a listening socket's backlog at most.
constexpr std::uint32_t window = 1024;
constexpr std::uint32_t sockets_per_batch = 64;
constexpr std::int64_t longest_silence_ns = 30'000'000'000;
constexpr std::int64_t observe_every_ns = 50'000'000;
constexpr std::uint64_t result_key = std::uint64_t{1} << 32;  // of the last operation of a chain

std::uint32_t table_size() noexcept {
  ::rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(limit.rlim_max, 1U << 20));
}

bool is_loopback(const load_target& target) noexcept {
  ::sockaddr_in address{};
  std::memcpy(&address, &target.address, sizeof address);
  return address.sin_family == AF_INET && (ntohl(address.sin_addr.s_addr) >> 24) == 127;
}

/// 127.1.0.1, 127.1.0.2 ... one for every 5,000 connections.
::sockaddr_in source_of(std::uint32_t connection) noexcept {
  ::sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr =
      htonl((127U << 24) + (1U << 16) + connection / connections_per_address + 1);
  return source;
}

void put_length(std::byte* at, std::uint32_t length) noexcept {
  const std::uint32_t ordered = htonl(length);
  std::memcpy(at, &ordered, sizeof ordered);
}

}  // namespace

struct herd::parts {
  explicit parts(const herd_options& chosen)
      : options(chosen),
        frame_bytes(frame_header_bytes + chosen.payload_bytes),
        per_ring(std::min(table_size(), std::max(1U, chosen.connections))) {}

  /// One connection's exchange, while it is under way.
  struct exchange {
    std::uint32_t connection = 0;
    std::byte* sent = nullptr;
    std::byte* received = nullptr;
  };

  /// The exchanges that can be under way at once, and their frames.
  struct desk {
    desk(std::uint32_t count, std::size_t bytes) : frames(2 * bytes * count), places(count) {
      for (std::uint32_t i = 0; i < count; ++i) {
        places[i].sent = frames.data() + 2 * bytes * i;
        places[i].received = places[i].sent + bytes;
        free.push_back(i);
      }
    }
    std::vector<std::byte> frames;
    std::vector<exchange> places;
    std::vector<std::uint32_t> free;
  };

  [[nodiscard]] uring::ring& ring_of(std::uint32_t connection) {
    return *rings[connection / per_ring];
  }
  void add_ring();
  [[nodiscard]] descriptor new_socket(std::uint32_t connection) const;
  void make_sockets(std::uint32_t first, std::uint32_t count);
  void start(desk& table, std::uint32_t connection, bool connecting);
  void finish(desk& table, std::uint32_t number, int result, herd_counts& counts) const;
  std::uint32_t reap(uring::ring& ring, desk& table, herd_counts& counts);
  herd_counts all(bool connecting, const std::atomic<bool>& stop, const herd_observer& observer);
  [[nodiscard]] frame_stamp stamp_of(std::uint32_t connection) const noexcept {
    return {.run = options.run, .sequence = laps, .connection = connection};
  }
  void write_frame(std::byte* at, std::uint32_t connection) const noexcept;
  [[nodiscard]] bool is_echo(const exchange& one) const noexcept;

  herd_options options;
  std::uint32_t frame_bytes;
  std::uint32_t per_ring;
  std::vector<std::unique_ptr<uring::ring>> rings;
  std::uint64_t laps = 0;
  std::uint32_t sockets = 0;  // made so far
  std::uint64_t connected = 0;
  int first_error = 0;
};

void herd::parts::add_ring() {
  auto fresh = std::make_unique<uring::ring>(uring::ring_options{
      .submission_entries = 512, .completion_entries = 4096, .direct_descriptors = per_ring});
  fresh->enable();
  rings.push_back(std::move(fresh));
}

descriptor herd::parts::new_socket(std::uint32_t connection) const {
  descriptor made(::socket(options.target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) {
    throw load_error(fmt::format("cannot make socket {}: {}", connection, std::strerror(errno)));
  }
  const int on = 1;
  const ::linger reset{1, 0};  // no TIME_WAIT entry for each of them
  ::setsockopt(made.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (is_loopback(options.target)) {
    const ::sockaddr_in source = source_of(connection);
    // ip(7): the port is chosen by connect(), which may use one again for another destination
    ::setsockopt(made.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(made.get(), reinterpret_cast<const ::sockaddr*>(&source), sizeof source) != 0) {
      throw load_error(fmt::format("cannot bind socket {} to a loopback address: {}", connection,
                                   std::strerror(errno)));
    }
  }
  return made;
}

/// Sockets `first` and on, entered into their ring's table.
void herd::parts::make_sockets(std::uint32_t first, std::uint32_t count) {
  std::array<descriptor, sockets_per_batch> made;
  std::array<int, sockets_per_batch> numbers{};
  for (std::uint32_t i = 0; i < count; ++i) {
    made[i] = new_socket(first + i);
    numbers[i] = made[i].get();
  }
  ring_of(first).set_direct(first % per_ring, std::span<const int>(numbers.data(), count));
  sockets = first + count;
}

void herd::parts::write_frame(std::byte* at, std::uint32_t connection) const noexcept {
  put_length(at, options.payload_bytes);
  const frame_stamp stamp = stamp_of(connection);
  write_payload({at + frame_header_bytes, options.payload_bytes}, stamp,
                frame_random(options.seed, stamp));
}

bool herd::parts::is_echo(const exchange& one) const noexcept {
  const auto stamp = read_payload({one.received + frame_header_bytes, options.payload_bytes});
  return stamp == stamp_of(one.connection) && std::memcmp(one.received, one.sent, frame_bytes) == 0;
}

/// A chain of operations, of which the last one says how it went.
void herd::parts::start(desk& table, std::uint32_t connection, bool connecting) {
  const std::uint32_t number = table.free.back();
  table.free.pop_back();
  exchange& one = table.places[number];
  one.connection = connection;
  write_frame(one.sent, connection);
  uring::ring& ring = ring_of(connection);
  const auto slot = static_cast<int>(connection % per_ring);
  if (!ring.room(3)) {
    throw load_error("io_uring takes no more operations");
  }
  const unsigned quiet = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
  if (connecting) {
    ::io_uring_sqe* const connect = ring.next_entry();
    ::io_uring_prep_connect(connect, slot,
                            reinterpret_cast<const ::sockaddr*>(&options.target.address),
                            options.target.length);
    connect->flags |= quiet;
    ::io_uring_sqe_set_data64(connect, number);
  }
  ::io_uring_sqe* const send = ring.next_entry();
  ::io_uring_prep_send(send, slot, one.sent, frame_bytes, MSG_NOSIGNAL);
  send->flags |= quiet;
  ::io_uring_sqe_set_data64(send, number);
  ::io_uring_sqe* const receive = ring.next_entry();
  ::io_uring_prep_recv(receive, slot, one.received, frame_bytes, MSG_WAITALL);
  receive->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data64(receive, result_key | number);
}

void herd::parts::finish(desk& table, std::uint32_t number, int result, herd_counts& counts) const {
  const exchange& one = table.places[number];
  if (result != static_cast<int>(frame_bytes)) {
    ++counts.lost;
  } else if (is_echo(one)) {
    ++counts.exchanged;
  } else {
    ++counts.corrupted;
  }
  table.free.push_back(number);
}

/// Returns how many exchanges ended.
std::uint32_t herd::parts::reap(uring::ring& ring, desk& table, herd_counts& counts) {
  std::uint32_t ended = 0;
  while (::io_uring_cqe* const next = ring.peek()) {
    if (next->res < 0 && next->res != -ECANCELED && first_error == 0) {
      first_error = -next->res;
    }
    // A link that fails without saying so when it succeeds speaks for those behind it
    // (IOSQE_CQE_SKIP_SUCCESS, io_uring_enter(2)).
    if ((next->user_data & result_key) != 0 || next->res < 0) {
      finish(table, static_cast<std::uint32_t>(next->user_data), next->res, counts);
      ++ended;
    }
    ring.seen(next);
  }
  return ended;
}

herd_counts herd::parts::all(bool connecting, const std::atomic<bool>& stop,
                             const herd_observer& observer) {
  herd_counts counts;
  desk places(window, frame_bytes);
  const std::int64_t begin = monotonic_ns();
  std::int64_t last_answer = begin;
  std::int64_t last_look = begin;
  std::uint64_t done = 0;
  if (connecting) {
    for (std::uint32_t first = 0; first < options.connections; first += per_ring) {
      add_ring();  // all at first: later memory may be in pieces too small for one
    }
  }
  for (std::uint32_t first = 0; first < options.connections; first += per_ring) {
    uring::ring& ring = ring_of(first);
    const std::uint32_t end = std::min(options.connections, first + per_ring);
    std::uint32_t next = first;
    std::uint32_t under_way = 0;
    while ((next < end || under_way != 0) && !stop.load(std::memory_order_relaxed)) {
      for (; next < end && under_way < window; ++next, ++under_way) {
        if (connecting && next == sockets) {
          make_sockets(next, std::min(sockets_per_batch, end - next));
        }
        start(places, next, connecting);
      }
      ring.submit_and_wait(100);
      const std::uint32_t ended = reap(ring, places, counts);
      under_way -= ended;
      done += ended;
      const std::int64_t now = monotonic_ns();
      last_answer = ended != 0 ? now : last_answer;
      if (now - last_look > observe_every_ns) {
        last_look = now;
        observer(done);
      }
      if (now - last_answer > longest_silence_ns) {
        throw load_error(fmt::format("no answer for 30 s; {} of {} connections are done", done,
                                     options.connections));
      }
    }
  }
  counts.seconds = static_cast<double>(monotonic_ns() - begin) / 1e9;
  ++laps;
  return counts;
}

// --- herd ---

herd::herd(const herd_options& options) {
  if (const std::string missing = uring::find_missing(); !missing.empty()) {
    throw load_error(missing);
  }
  if (options.payload_bytes < stamp_bytes) {
    throw load_error(fmt::format("a payload of {} bytes is too small for its stamp, {} bytes",
                                 options.payload_bytes, stamp_bytes));
  }
  parts_ = std::make_unique<parts>(options);
}

herd::~herd() = default;

herd_counts herd::connect(const std::atomic<bool>& stop, const herd_observer& observer) {
  const herd_counts counts = parts_->all(true, stop, observer);
  parts_->connected = counts.exchanged;
  if (counts.lost != 0 && !stop.load(std::memory_order_relaxed)) {
    throw load_error(
        fmt::format("{} of {} connections were not made or not answered; the first error: {}",
                    counts.lost, parts_->options.connections, std::strerror(parts_->first_error)));
  }
  return counts;
}

herd_counts herd::lap(const std::atomic<bool>& stop, const herd_observer& observer) {
  return parts_->all(false, stop, observer);
}

herd_counts herd::burst(std::uint32_t count, const std::atomic<bool>& stop,
                        const std::function<void()>& between) {
  parts& my = *parts_;
  count = std::min(count, my.options.connections);
  herd_counts counts;
  parts::desk places(count, my.frame_bytes);
  const std::int64_t begin = monotonic_ns();
  const std::uint32_t half = my.frame_bytes / 2;
  for (const bool second : {false, true}) {
    for (std::uint32_t i = 0; i < count && !stop.load(std::memory_order_relaxed); ++i) {
      parts::exchange& one = places.places[i];
      uring::ring& ring = my.ring_of(i);
      if (!ring.room(2)) {
        throw load_error("io_uring takes no more operations");
      }
      const auto slot = static_cast<int>(i % my.per_ring);
      if (!second) {
        one.connection = i;
        my.write_frame(one.sent, i);
      }
      ::io_uring_sqe* const send = ring.next_entry();
      ::io_uring_prep_send(send, slot, one.sent + (second ? half : 0),
                           second ? my.frame_bytes - half : half, MSG_NOSIGNAL);
      send->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS | (second ? IOSQE_IO_LINK : 0U);
      ::io_uring_sqe_set_data64(send, i);
      if (second) {
        ::io_uring_sqe* const receive = ring.next_entry();
        ::io_uring_prep_recv(receive, slot, one.received, my.frame_bytes, MSG_WAITALL);
        receive->flags |= IOSQE_FIXED_FILE;
        ::io_uring_sqe_set_data64(receive, result_key | i);
        static_cast<void>(my.reap(ring, places, counts));
      }
    }
    for (const auto& ring : my.rings) {
      ring->submit();
    }
    if (!second) {
      between();
    }
  }
  const std::int64_t give_up = monotonic_ns() + longest_silence_ns;
  const auto ended = [&] { return counts.exchanged + counts.faults(); };
  while (ended() < count && monotonic_ns() < give_up && !stop.load(std::memory_order_relaxed)) {
    for (const auto& ring : my.rings) {
      ring->submit();
      static_cast<void>(my.reap(*ring, places, counts));
    }
  }
  counts.lost += count - std::min<std::uint64_t>(count, ended());
  counts.seconds = static_cast<double>(monotonic_ns() - begin) / 1e9;
  ++my.laps;
  return counts;
}

std::uint64_t herd::connected() const noexcept { return parts_->connected; }

std::uint32_t herd::source_addresses() const noexcept {
  return is_loopback(parts_->options.target)
             ? (parts_->options.connections + connections_per_address - 1) / connections_per_address
             : 1;
}

}  // namespace ringpool::tools
