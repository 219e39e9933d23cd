// SPDX-License-Identifier: MIT
#include "event_loop.hpp"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "heap_count.hpp"

namespace ringpool::tools {
namespace {

// Keys of connections have a generation of at least 1 in their upper half.
constexpr std::uint64_t mailbox_key = 0;
constexpr std::uint64_t listener_key = 1;

constexpr int wake_message = -1;
constexpr int events_per_wait = 256;
constexpr int accepts_per_event = 64;
constexpr int starved_wait_ms = 1;
constexpr std::chrono::seconds trim_period{1};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

event_loop::event_loop(const loop_settings& settings, buffer_bank& bank)
    : settings_(settings),
      bank_(bank),
      service_(settings.limits, bank),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  int ends[2] = {-1, -1};
  if (!epoll_ || ::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
    fail("cannot make an event loop");
  }
  mail_out_.reset(ends[0]);
  mail_in_.reset(ends[1]);
  ::epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.u64 = mailbox_key;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, mail_out_.get(), &interest) != 0) {
    fail("cannot make an event loop");
  }
  start_ = now_ = clock::now();
  next_trim_ = start_ + trim_period;
}

event_loop::~event_loop() {
  int fd = -1;  // sockets that came after the last look into the mailbox
  while (::read(mail_out_.get(), &fd, sizeof fd) == sizeof fd) {
    descriptor(fd).reset();
  }
}

void event_loop::accept_from(listener& source, std::span<event_loop* const> loops) {
  listener_ = &source;
  loops_ = loops;
  ::epoll_event interest{};
  interest.data.u64 = listener_key;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, source.fd(), &interest) != 0) {
    fail("cannot watch the listening socket");
  }
  listen_for_connections(true);
}

void event_loop::run() noexcept {
  const std::uint64_t before = heap_allocations_of_this_thread();
  std::array<::epoll_event, events_per_wait> events;
  while (!finished()) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_wait, wait_limit_ms());
    update_clock();
    service_.serve_starved();  // before those who come now
    for (int i = 0; i < count; ++i) {
      const ::epoll_event& event = events[static_cast<std::size_t>(i)];
      dispatch(event.data.u64, event.events);
    }
    service_.serve_ready();
    heap_allocations_.set(heap_allocations_of_this_thread() - before);
  }
  service_.end_drain();
  phase_.store(phase::ended, std::memory_order_relaxed);
}

void event_loop::dispatch(std::uint64_t key, std::uint32_t events) noexcept {
  if (key == mailbox_key) {
    read_mailbox();
  } else if (key == listener_key) {
    accept_some();
  } else {
    service_.on_events(key, events);
  }
}

// --- other threads ---

bool event_loop::hand_over(int fd) noexcept {
  return ::write(mail_in_.get(), &fd, sizeof fd) == sizeof fd;  // whole: see pipe(7), PIPE_BUF
}

void event_loop::stop() noexcept {
  // relaxed: the message below, or one that fills the mailbox already, makes the loop look
  phase seen = phase::serving;
  if (!phase_.compare_exchange_strong(seen, phase::draining, std::memory_order_relaxed) &&
      seen == phase::draining) {
    phase_.compare_exchange_strong(seen, phase::ending, std::memory_order_relaxed);
  }
  static_cast<void>(hand_over(wake_message));
}

void event_loop::read_mailbox() noexcept {
  std::array<int, 256> mail;
  const ::ssize_t bytes = ::read(mail_out_.get(), mail.data(), sizeof mail);
  for (std::size_t i = 0; bytes > 0 && i < static_cast<std::size_t>(bytes) / sizeof(int); ++i) {
    if (mail[i] != wake_message) {
      service_.adopt(mail[i], epoll_.get());
    }
  }
  if (phase_.load(std::memory_order_relaxed) != phase::serving && !draining_) {
    begin_drain();
  }
}

// --- accepting ---

void event_loop::accept_some() noexcept {
  for (int left = accepts_per_event; left != 0; --left) {
    const auto [status, fd] = listener_->accept();
    switch (status) {
      case accept_status::accepted: place(fd); break;
      case accept_status::turned_away: turned_away_.add(); break;
      case accept_status::stuck:
        listen_for_connections(false);  // until the next tick
        return;
      case accept_status::none: return;
    }
  }
}

void event_loop::listen_for_connections(bool on) noexcept {
  ::epoll_event interest{};
  interest.events = on ? std::uint32_t{EPOLLIN} : 0;
  interest.data.u64 = listener_key;
  const bool changed = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_->fd(), &interest) == 0;
  listening_ = on && changed;  // if not, the next tick tries again
}

void event_loop::place(int fd) noexcept {
  event_loop* const least = *std::min_element(
      loops_.begin(), loops_.end(),
      [](const event_loop* a, const event_loop* b) { return a->load() < b->load(); });
  event_loop* const home = least == this || least->hand_over(fd) ? least : this;
  ++home->handed_;
  if (home == this) {
    service_.adopt(fd, epoll_.get());
  }
}

/// Open connections, those in the mailbox included. Called by the acceptor.
std::uint64_t event_loop::load() const noexcept {
  const service_counts& counts = service_.counts();
  const std::uint64_t arrived = counts.accepted.get() + counts.refused.get();
  return service_.open_count() + (handed_ - std::min(handed_, arrived));
}

// --- time ---

void event_loop::update_clock() noexcept {
  now_ = clock::now();
  const auto tick = static_cast<std::uint32_t>((now_ - start_) / settings_.tick);
  if (tick != tick_) {
    tick_ = tick;
    service_.set_tick(tick);
    on_tick();
  }
}

void event_loop::on_tick() noexcept {
  service_.check_deadlines();
  if (listener_ != nullptr && !listening_ && !draining_) {
    listen_for_connections(true);
  }
  if (now_ >= next_trim_) {
    next_trim_ = now_ + trim_period;
    service_.trim();
    if (listener_ != nullptr) {
      bank_.decay();
    }
  }
}

int event_loop::wait_limit_ms() const noexcept {
  if (service_.has_ready()) {
    return 0;
  }
  if (service_.has_starved()) {
    return starved_wait_ms;
  }
  const bool must_tick = draining_ || !service_.quiet() || listener_ != nullptr;
  return must_tick ? static_cast<int>(settings_.tick.count()) : -1;
}

void event_loop::begin_drain() noexcept {
  draining_ = true;
  drain_end_ = now_ + settings_.drain_timeout;
  if (listener_ != nullptr) {
    listener_->close();
  }
  service_.begin_drain();
}

bool event_loop::finished() const noexcept {
  return draining_ && (service_.open_count() == 0 || now_ >= drain_end_ ||
                       phase_.load(std::memory_order_relaxed) == phase::ending);
}

}  // namespace ringpool::tools
