// SPDX-License-Identifier: MIT
#include "load_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <sys/prctl.h>
#include <sys/socket.h>

#include <fmt/format.h>

namespace ringpool::tools {
namespace {

constexpr std::int64_t longest_wait_ns = 50'000'000;  // so that a stop request is seen soon
constexpr std::int64_t second_ns = 1'000'000'000;

void store_length(std::span<std::byte> header, std::uint32_t length) noexcept {
  for (std::size_t i = 0; i < frame_header_bytes; ++i) {
    header[i] = static_cast<std::byte>(length >> (8 * (frame_header_bytes - 1 - i)));
  }
}

}  // namespace

std::int64_t monotonic_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * second_ns + now.tv_nsec;
}

load_loop::load_loop(const load_setup& setup, std::uint32_t index)
    : setup_(setup),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      out_(std::max<std::size_t>(scratch_bytes, setup.mix.max_size() + frame_header_bytes)),
      in_(scratch_bytes),
      events_(event_batch) {
  if (!epoll_) {
    throw load_error(fmt::format("epoll_create1: {}", ::strerror(errno)));
  }
  connections_.reserve(setup.connections / setup.loops + 1);
  // Neighbouring ids go to different loops, so that an open loop's frames come evenly to each of
  // them.
  for (std::uint32_t id = index; id < setup.connections; id += setup.loops) {
    connections_.emplace_back(id, setup.max_payload);
  }
}

// --- connecting ---

void load_loop::connect(const std::atomic<bool>& stop) {
  const std::int64_t give_up_ns = monotonic_ns() + setup_.connect_timeout.count();
  std::size_t started = 0;
  while (open_ < connections_.size() && !stop.load(std::memory_order_relaxed)) {
    while (started < allowed_connections() && started - open_ < connect_burst) {
      start_one(started++);
    }
    const int ready = wait(longest_wait_ns);
    for (int i = 0; i < ready; ++i) {
      finish_one(events_[static_cast<std::size_t>(i)].data.u64);
    }
    publish();
    if (open_ < connections_.size() && monotonic_ns() > give_up_ns) {
      fail_connect(ETIMEDOUT);
    }
  }
}

std::size_t load_loop::allowed_connections() const noexcept {
  const std::size_t all = connections_.size();
  return setup_.connect_allowance == nullptr
             ? all
             : std::min<std::size_t>(all,
                                     setup_.connect_allowance->load(std::memory_order_relaxed));
}

void load_loop::start_one(std::size_t index) {
  started_connection started = start_connect(setup_.target);
  if (!started.fd) {
    fail_connect(started.error);
  }
  epoll_event event{};
  // Edge-triggered for both directions, once and for all: reads go on until the socket is empty,
  // writes until it is full, and no connection costs an epoll_ctl later.
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, started.fd.get(), &event) != 0) {
    fail_connect(errno);
  }
  connections_[index].fd = std::move(started.fd);
}

void load_loop::finish_one(std::size_t index) {
  connection& link = connections_[index];
  if (link.open) {
    return;  // a second event, say of a server that closed it again: the first send will tell
  }
  if (const int error = finished_connect_error(link.fd.get()); error != 0) {
    fail_connect(error);
  }
  link.open = true;
  ++open_;
}

void load_loop::fail_connect(int error) const {
  throw load_error(fmt::format("cannot connect to {}: {} ({} of {} connections were open)",
                               setup_.target.text, ::strerror(error), open_, connections_.size()));
}

// --- a phase ---

load_tally load_loop::run(const load_phase& phase, std::int64_t start_ns,
                          const std::atomic<bool>& stop) {
  // Without this the kernel may wake a sleeper 50 us late, and an open loop would count that as
  // latency.
  static_cast<void>(::prctl(PR_SET_TIMERSLACK, 1UL));
  begin(phase, start_ns);
  while (!stop.load(std::memory_order_relaxed) && open_ > 0 && monotonic_ns() < end_ns_) {
    turn(end_ns_);
  }
  const std::int64_t ended_ns = std::min(monotonic_ns(), end_ns_);
  sending_ = false;
  tally_.measured_seconds =
      static_cast<double>(std::max<std::int64_t>(0, ended_ns - measure_from_ns_)) / 1e9;
  end_ns_ = ended_ns;
  drain(monotonic_ns() + phase.drain.count());
  return finish();
}

void load_loop::begin(const load_phase& phase, std::int64_t start_ns) {
  phase_ = phase;
  tally_ = load_tally{};
  released_ = 0;
  measure_from_ns_ = start_ns + phase.warm_up.count();
  end_ns_ = measure_from_ns_ + phase.duration.count();
  sending_ = true;
  for (connection& link : connections_) {
    link.round = 0;
    link.owed = 0;
  }
  if (phase.rate > 0) {
    schedule_ = open_schedule(start_ns, phase.rate, setup_.connections);
    return;
  }
  for (connection& link : connections_) {
    link.owed = phase.pipeline;
    if (link.fd) {
      pump(link);
    }
  }
}

// Frames that fell due before the end are still sent here: leaving them out would hide the worst
// latencies.
void load_loop::drain(std::int64_t until_ns) {
  if (phase_.rate <= 0) {
    for (connection& link : connections_) {
      link.owed = 0;
    }
  }
  while (!settled() && monotonic_ns() < until_ns) {
    turn(until_ns);
  }
}

bool load_loop::settled() const noexcept {
  if (open_ == 0) {
    return true;
  }
  const bool all_released = phase_.rate <= 0 || next_due() >= end_ns_;
  return in_flight_ == 0 && all_released &&
         std::none_of(connections_.begin(), connections_.end(),
                      [](const connection& link) { return link.fd && link.owed > 0; });
}

// How many frames of this loop fell due before the end and were not even released.
std::uint64_t load_loop::overdue() const noexcept {
  if (phase_.rate <= 0) {
    return 0;
  }
  std::uint64_t low = released_;  // everything below is due before the end
  std::uint64_t step = 1;
  while (due_of(low + step - 1) < end_ns_) {
    low += step;
    step *= 2;
  }
  for (; step > 0; step /= 2) {
    low += due_of(low + step - 1) < end_ns_ ? step : 0;
  }
  return low - released_;
}

load_tally load_loop::finish() {
  tally_.unsent += overdue();
  for (connection& link : connections_) {
    const std::uint64_t lost = link.window.give_up();
    tally_.lost += lost;
    in_flight_ -= lost;
    tally_.unsent += link.owed;
    link.owed = 0;
  }
  publish();
  return tally_;
}

void load_loop::turn(std::int64_t until_ns) {
  std::int64_t now = monotonic_ns();
  std::int64_t wake_ns = std::min(until_ns, now + longest_wait_ns);
  if (phase_.rate > 0 && next_due() < end_ns_) {
    release_due(now);
    wake_ns = std::min(wake_ns, next_due());
    now = monotonic_ns();
  }
  const int ready = wait(std::max<std::int64_t>(0, wake_ns - now));
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    connection& link = connections_[event.data.u64];
    const bool ending = (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (link.fd && (ending || (event.events & EPOLLIN) != 0)) {
      receive(link, ending);
    }
    if (link.fd) {
      pump(link);
    }
  }
  publish();
}

// A bounded batch, so that a load that has fallen behind its schedule goes on reading.
void load_loop::release_due(std::int64_t now) {
  const std::int64_t limit_ns = std::min(now, end_ns_ - 1);
  for (std::uint32_t i = 0; i < release_batch && next_due() <= limit_ns; ++i) {
    connection& link = connections_[released_++ % connections_.size()];
    ++link.owed;
    if (link.fd && link.flushed()) {
      pump(link);  // a full socket reports by itself when it has room
    }
  }
}

// When the `index`-th frame of this loop is due; they go round its connections.
std::int64_t load_loop::due_of(std::uint64_t index) const noexcept {
  const connection& link = connections_[index % connections_.size()];
  return schedule_.due_ns(link.id, index / connections_.size());
}

// --- sending ---

void load_loop::pump(connection& link) {
  if (!flush(link)) {
    return;
  }
  while (link.owed > 0) {
    const std::size_t size = encode_owed(link, monotonic_ns());
    if (!write(link, std::span<const std::byte>(out_).first(size))) {
      return;
    }
  }
}

std::size_t load_loop::encode_owed(connection& link, std::int64_t now) {
  const std::size_t largest = setup_.mix.max_size() + frame_header_bytes;
  std::size_t used = 0;
  for (; link.owed > 0 && out_.size() - used >= largest; --link.owed) {
    std::int64_t due = now;
    if (phase_.rate > 0) {
      due = schedule_.due_ns(link.id, link.round++);
      if (due >= measure_from_ns_) {
        tally_.send_delay.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - due)));
      }
    }
    used += encode_one(link, due, std::span<std::byte>(out_).subspan(used));
  }
  return used;
}

std::size_t load_loop::encode_one(connection& link, std::int64_t due, std::span<std::byte> space) {
  const frame_stamp stamp{
      .run = setup_.run, .sequence = link.window.add(due), .connection = link.id};
  ++in_flight_;
  const std::uint64_t random = frame_random(setup_.seed, stamp);
  const std::uint32_t size = setup_.mix.pick(random);
  store_length(space, size);
  write_payload(space.subspan(frame_header_bytes, size), stamp, random);
  const std::size_t frame = size + frame_header_bytes;
  ++tally_.sent_frames;
  tally_.sent_bytes += frame;
  return frame;
}

// false: the socket is full (the rest is kept) or broken.
bool load_loop::write(connection& link, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::send(link.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      link.unsent.assign(bytes.begin(), bytes.end());
      link.unsent_at = 0;
      return false;
    } else if (errno != EINTR) {
      break_connection(link);
      return false;
    }
  }
  return true;
}

bool load_loop::flush(connection& link) {
  while (!link.flushed()) {
    const auto rest = std::span<const std::byte>(link.unsent).subspan(link.unsent_at);
    const ssize_t written = ::send(link.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (written >= 0) {
      link.unsent_at += static_cast<std::size_t>(written);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return false;
    } else if (errno != EINTR) {
      break_connection(link);
      return false;
    }
  }
  link.unsent.clear();
  link.unsent_at = 0;
  return true;
}

// --- receiving ---

// `ending`: the peer has closed or reset, so read until the socket says so.
void load_loop::receive(connection& link, bool ending) {
  for (;;) {
    const ssize_t got = ::recv(link.fd.get(), in_.data(), in_.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return;
    }
    if (got <= 0) {
      return break_connection(link);
    }
    const std::int64_t now = monotonic_ns();
    const auto input = std::span<const std::byte>(in_).first(static_cast<std::size_t>(got));
    if (!link.reader.feed(
            input, [&](std::span<const std::byte> payload) { accept_echo(link, payload, now); })) {
      ++tally_.bad_lengths;
      return break_connection(link);
    }
    if (sending_ && phase_.rate <= 0) {
      link.owed =
          phase_.pipeline - std::min<std::uint64_t>(phase_.pipeline, link.window.outstanding());
    }
    // A read that was cut short has emptied the socket: epoll(7) counts on it for streams.
    if (!ending && input.size() < in_.size()) {
      return;
    }
  }
}

void load_loop::accept_echo(connection& link, std::span<const std::byte> payload,
                            std::int64_t now) {
  const std::uint64_t before = link.window.outstanding();
  const echo result =
      link.window.judge(payload, {.run = setup_.run, .sequence = 0, .connection = link.id});
  in_flight_ -= before - link.window.outstanding();
  tally_.count(result.verdict);
  ++tally_.echoed_frames;
  tally_.echoed_bytes += payload.size() + frame_header_bytes;
  if (now >= measure_from_ns_ && now < end_ns_) {
    ++tally_.measured_frames;
    tally_.measured_bytes += payload.size() + frame_header_bytes;
  }
  const bool ours =
      result.verdict == echo_verdict::in_order || result.verdict == echo_verdict::out_of_order;
  if (ours && result.due_ns >= measure_from_ns_) {
    tally_.latency.record(
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - result.due_ns)));
  }
}

void load_loop::break_connection(connection& link) {
  const std::uint64_t lost = link.window.give_up();
  in_flight_ -= lost;
  tally_.lost += lost;
  ++tally_.disconnected;
  link.fd.reset();
  link.unsent.clear();
  link.unsent_at = 0;
  --open_;
}

// --- waiting and showing ---

int load_loop::wait(std::int64_t timeout_ns) {
  const timespec timeout{.tv_sec = timeout_ns / second_ns, .tv_nsec = timeout_ns % second_ns};
  int ready = ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                             &timeout, nullptr);
  if (ready < 0 && errno == ENOSYS) {  // before Linux 5.11: milliseconds have to do
    const auto milliseconds = static_cast<int>((timeout_ns + 999'999) / 1'000'000);
    ready =
        ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), milliseconds);
  }
  if (ready < 0 && errno != EINTR) {
    throw load_error(fmt::format("epoll_wait: {}", ::strerror(errno)));
  }
  return std::max(ready, 0);
}

void load_loop::publish() noexcept {
  live_.connected.store(open_, std::memory_order_relaxed);
  live_.echoed.store(tally_.echoed_frames, std::memory_order_relaxed);
  live_.faults.store(tally_.faults(), std::memory_order_relaxed);
}

}  // namespace ringpool::tools
