// SPDX-License-Identifier: MIT
#include "event_loop.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace ringpool::tools {
namespace {

// Keys of connections have a generation of at least 1 in their upper half.
constexpr std::uint64_t mailbox_key = 0;
constexpr std::uint64_t listener_key = 1;

constexpr int events_per_wait = 256;
constexpr int accepts_per_event = 64;
constexpr int starved_wait_ms = 1;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

event_loop::event_loop(const loop_settings& settings, buffer_bank& bank, unsigned number)
    : server_loop(settings),
      bank_(&bank),
      number_(number),
      service_(settings.limits, bank.of_loop(number)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  ::epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.u64 = mailbox_key;
  if (!epoll_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, mailbox(), &interest) != 0) {
    fail("cannot make an event loop");
  }
}

void event_loop::accept_from(listener& source, std::vector<event_loop*> loops) {
  listener_ = &source;
  loops_ = std::move(loops);
  ::epoll_event interest{};
  interest.data.u64 = listener_key;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, source.fd(), &interest) != 0) {
    fail("cannot watch the listening socket");
  }
  listen_for_connections(true);
}

void event_loop::run() noexcept {
  begin_serving();
  std::array<::epoll_event, events_per_wait> events;
  while (!finished()) {
    look_for_settings();
    const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_wait, wait_limit_ms());
    if (update_clock()) {
      on_tick();
    }
    service_.set_wake_time(now());
    service_.serve_starved();  // before those who come now
    for (int i = 0; i < count; ++i) {
      const ::epoll_event& event = events[static_cast<std::size_t>(i)];
      dispatch(event.data.u64, event.events);
    }
    service_.serve_ready();
    service_.shed_if_asked();
    count_heap();
  }
  service_.end_drain();
  end_serving();
}

loop_totals event_loop::totals() const noexcept {
  return {.counts = &service_.counts(),
          .open = service_.open_count(),
          .active = service_.active_count(),
          .table_bytes = service_.table_bytes(),
          .charged_bytes = service_.charged_bytes()};
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

void event_loop::on_tick() noexcept {
  service_.set_tick(tick());
  service_.check_deadlines();
  if (listener_ != nullptr && !listening_ && !draining()) {
    listen_for_connections(true);
  }
  if (trim_is_due()) {
    service_.trim();
    if (listener_ != nullptr) {
      bank_->decay();
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
  const bool must_tick = draining() || !service_.quiet() || listener_ != nullptr;
  return must_tick ? static_cast<int>(settings().tick.count()) : -1;
}

void event_loop::begin_drain() noexcept {
  if (listener_ != nullptr) {
    listener_->close();
  }
  service_.begin_drain();
}

void event_loop::take_up(const running_settings& settings) noexcept {
  bank_ = settings.bank;
  service_.take_up(settings.limits, bank_->of_loop(number_));
}

bool event_loop::finished() const noexcept {
  return draining() && (service_.open_count() == 0 || drain_is_over());
}

}  // namespace ringpool::tools
