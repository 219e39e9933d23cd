// SPDX-License-Identifier: MIT
// A room of `ringpool serve --mode room`: one member sends, all receive, and each byte that each of
// them gets is compared with what was sent. Prints what it measured as JSON.
//
//   member 0 --frame n--> server --frame n--> members 0, 1, 2 ... each: the same as in place n %
//   window of what is under way; frame n + window is sent once all have frame n

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "descriptor.hpp"
#include "options.hpp"

namespace {

using ringpool::tools::descriptor;
using clock = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

constexpr std::size_t events_per_wait = 512;
constexpr std::size_t members_at_once = 128;  // fewer than a listen queue holds
constexpr ::timeval patience{.tv_sec = 10, .tv_usec = 0};

struct room_options {
  std::string address;
  std::uint16_t port = 0;
  std::uint32_t members = 10'000;
  std::uint32_t payload_bytes = 1024;
  std::uint32_t window = 4;
  double warm_up_seconds = 0.5;
  double seconds = 3;
};

int checked(int result, const char* what) {
  return result >= 0 ? result : throw std::system_error(errno, std::generic_category(), what);
}

[[noreturn]] void fail(std::size_t member, const std::string& what) {
  throw std::runtime_error("member " + std::to_string(member) + " " + what);
}

/// A frame on the wire.
std::vector<char> with_header(const std::vector<char>& payload) {
  std::vector<char> wire(bench::header_bytes + payload.size());
  for (std::size_t i = 0; i < bench::header_bytes; ++i) {
    wire[i] = static_cast<char>(payload.size() >> 8 * (bench::header_bytes - 1 - i));
  }
  std::copy(payload.begin(), payload.end(), wire.begin() + bench::header_bytes);
  return wire;
}

/// No two frames of a run have a payload in common, nor any two places of one.
std::vector<char> frame_of(std::uint64_t number, std::size_t payload_bytes) {
  std::vector<char> payload(payload_bytes);
  std::uint64_t state = number;
  for (std::size_t at = 0; at < payload.size(); at += sizeof state) {
    std::memcpy(payload.data() + at, &state, std::min(sizeof state, payload.size() - at));
    state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
  }
  return with_header(payload);
}

/// All members of the room, on one thread.
///
/// Invariant: completed <= sent <= completed + window; frames complete in order, since each member
///   receives them in order.
/// Progress: enter() and run() throw when the server is silent for 10 s.
/// Thread-safety: none.
/// Cost: a recv for what a member got since its last; the members' sockets.
class crowd {
 public:
  explicit crowd(const room_options& options)
      : options_(options),
        epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        under_way_(options.window),
        input_((bench::header_bytes + options.payload_bytes) * options.window) {}

  /// Connects all, and waits until each has its name back: then it is in the room.
  void enter() {
    const std::vector<char> name = with_header({'c', 'r', 'o', 'w', 'd'});
    members_.reserve(options_.members);
    while (members_.size() < options_.members) {
      const std::size_t first = members_.size();
      const std::size_t end = std::min<std::size_t>(options_.members, first + members_at_once);
      for (std::size_t i = first; i < end; ++i) {
        members_.push_back({connect()});
        send(i, name);
      }
      for (std::size_t i = first; i < end; ++i) {
        std::vector<char> back(name.size());
        if (::recv(members_[i].socket.get(), back.data(), back.size(), MSG_WAITALL) !=
                static_cast<::ssize_t>(back.size()) ||
            back != name) {
          fail(i, "did not get its first frame back");
        }
        ::epoll_event interest{};
        interest.events = EPOLLIN;
        interest.data.u64 = i;
        checked(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, members_[i].socket.get(), &interest),
                "epoll_ctl");
      }
    }
  }

  /// Sends and receives for so long, and then until all have all; frames that members received
  /// before the latter.
  std::uint64_t run(seconds time, seconds& took) {
    const auto start = clock::now();
    const std::uint64_t before = deliveries_;
    do {
      while (sent_ < completed_ + options_.window) {
        send_next();
      }
      receive();
      took = clock::now() - start;
    } while (took < time);
    const std::uint64_t counted = deliveries_ - before;
    while (completed_ < sent_) {
      receive();
    }
    return counted;
  }

  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  [[nodiscard]] std::uint64_t deliveries() const noexcept { return deliveries_; }

 private:
  struct member {
    descriptor socket;
    std::uint64_t next = 0;  // the frame it is to receive
    std::size_t offset = 0;  // in that
  };
  struct frame {
    std::vector<char> wire;
    std::uint32_t missing = 0;  // members that do not have it yet
  };

  [[nodiscard]] descriptor connect() const {
    descriptor socket(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const ::linger reset{.l_onoff = 1, .l_linger = 0};  // leaves no port in use
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(options_.port);
    ::inet_pton(AF_INET, options_.address.c_str(), &where.sin_addr);
    checked(::connect(socket.get(), reinterpret_cast<::sockaddr*>(&where), sizeof where),
            "cannot connect");
    return socket;
  }

  void send(std::size_t who, const std::vector<char>& wire) {
    if (::send(members_[who].socket.get(), wire.data(), wire.size(), MSG_NOSIGNAL) !=
        static_cast<::ssize_t>(wire.size())) {
      fail(who, "could not send");
    }
  }

  void send_next() {
    frame& next = under_way_[sent_ % options_.window];
    next = {frame_of(sent_, options_.payload_bytes), options_.members};
    ++sent_;
    send(0, next.wire);
  }

  void receive() {
    std::array<::epoll_event, events_per_wait> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_wait,
                                   static_cast<int>(patience.tv_sec) * 1000);
    if (count == 0) {
      throw std::runtime_error("nothing came for 10 s, and frames are under way");
    }
    for (int i = 0; i < count; ++i) {
      take_input(events[static_cast<std::size_t>(i)].data.u64);
    }
  }

  void take_input(std::size_t who) {
    const ::ssize_t got =
        ::recv(members_[who].socket.get(), input_.data(), input_.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      fail(who, "was closed by the server");
    }
    const std::size_t end = static_cast<std::size_t>(std::max<::ssize_t>(got, 0));
    for (std::size_t at = 0; at < end;) {
      at += compare(who, input_.data() + at, end - at);
    }
  }

  /// As much as belongs to the member's next frame; returns how much.
  std::size_t compare(std::size_t who, const char* bytes, std::size_t count) {
    member& one = members_[who];
    if (one.next == sent_) {
      fail(who, "got more than was sent");
    }
    frame& expected = under_way_[one.next % options_.window];
    const std::size_t part = std::min(count, expected.wire.size() - one.offset);
    if (std::memcmp(bytes, expected.wire.data() + one.offset, part) != 0) {
      fail(who, "got another frame " + std::to_string(one.next) + " than was sent");
    }
    one.offset += part;
    if (one.offset == expected.wire.size()) {
      one.offset = 0;
      ++one.next;
      ++deliveries_;
      completed_ += --expected.missing == 0 ? 1U : 0U;
    }
    return part;
  }

  room_options options_;
  descriptor epoll_;
  std::vector<member> members_;
  std::vector<frame> under_way_;  // frame n at n % window
  std::vector<char> input_;
  std::uint64_t sent_ = 0;
  std::uint64_t completed_ = 0;  // frames that all have
  std::uint64_t deliveries_ = 0;
};

void measure(const room_options& options) {
  crowd all(options);
  all.enter();
  seconds took{};
  static_cast<void>(all.run(seconds(options.warm_up_seconds), took));
  const std::uint64_t counted = all.run(seconds(options.seconds), took);
  std::cout << "{\"members\": " << options.members << ", \"frames\": " << all.sent()
            << ", \"deliveries\": " << all.deliveries() << ", \"seconds\": " << took.count()
            << ", \"deliveries_per_second\": " << static_cast<double>(counted) / took.count()
            << "}\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"One sender and many members in a room of `ringpool serve --mode room`."};
  room_options options;
  std::string connect;
  app.add_option("--connect", connect, "The server")->type_name("ADDR:PORT")->required();
  app.add_option("--members", options.members, "Connections in the room, the sender's included")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  app.add_option("--payload-bytes", options.payload_bytes, "Of each frame")
      ->check(CLI::Range(8U, bench::most_payload_bytes))
      ->capture_default_str();
  app.add_option("--window", options.window, "Most frames that not all have received yet")
      ->check(CLI::Range(1U, 1024U))
      ->capture_default_str();
  app.add_option("--warm-up", options.warm_up_seconds, "Seconds before what is measured")
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Seconds that are measured")->capture_default_str();
  try {
    app.parse(argc, argv);
    if (!bench::parse_address(connect, options.address, options.port)) {
      throw CLI::ValidationError("--connect", "'" + connect + "' is not a numeric ADDR:PORT");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  bench::raise_descriptor_limit();
  try {
    measure(options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return 1;
  }
}
