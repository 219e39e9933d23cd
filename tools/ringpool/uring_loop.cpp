// SPDX-License-Identifier: MIT
#include "uring_loop.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace ringpool::tools {
namespace {

constexpr int starved_wait_ms = 1;
constexpr std::size_t most_events = 256;
/// For the kernel to give back what it was told to; it does so at once.
constexpr std::chrono::seconds longest_cancellation{2};
constexpr unsigned completions_per_turn = 4096;
constexpr unsigned entries_per_submit = 16;
constexpr std::uint32_t multishot_reserve = listener::backlog + 64;
constexpr std::uint32_t single_accepts = 64;
constexpr std::uint32_t most_tables = 4096;

}  // namespace

uring_loop::uring_loop(const loop_settings& settings, const uring_settings& service,
                       multi_size_ring_pool& pool, listener& source)
    : server_loop(settings), service_(service, pool), listener_(source) {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) {
    throw std::system_error(errno, std::generic_category(), "cannot make an event loop");
  }
  ready_.reserve(most_events);
  unfinished_.reserve(most_events);
  add_table();
}

void uring_loop::accept_with(const std::vector<uring_loop*>& loops, bool first) {
  loops_ = loops;
  my_turn_ = first;
}

loop_totals uring_loop::totals() const noexcept {
  return {.counts = &service_.counts(),
          .open = service_.open_count(),
          .active = service_.active_count(),
          .kernel_buffers = service_.kernel_buffers(),
          .rings = service_.ring_count(),
          .table_bytes = service_.table_bytes(),
          .charged_bytes = service_.charged_bytes()};
}

void uring_loop::run() noexcept {
  begin_serving();
  service_.table(0)->ring.enable();
  watch_mailbox();
  while (!finished()) {
    look_for_settings();
    anywhere_ = service_.renew_buffers() || anywhere_;
    if (my_turn_) {
      keep_accepting();
    }
    if (draining() && drain_is_over() && !cut_off_) {
      cut_off_ = clock::now();
      service_.end_drain();
      anywhere_ = true;
    }
    submit_prepared();
    wait();
    const bool tick_began = update_clock();
    service_.set_tick(tick());
    service_.set_wake_time(now());
    for (const std::uint32_t number : ready_) {
      reap(number);
      service_.look_at_service_time();
    }
    anywhere_ = anywhere_ || service_.has_waiting();
    service_.settle_waiting();
    service_.shed_if_asked();
    if (tick_began) {
      on_tick();
      anywhere_ = true;
    }
    service_.deliver_mail();
    count_heap();
  }
  for (std::uint32_t number = 0; number < service_.table_end(); ++number) {
    if (uring_table* const last = service_.table(number); last != nullptr) {
      last->ring.submit();  // closes
    }
  }
  end_serving();
}

bool uring_loop::finished() const noexcept {
  return draining() && ((service_.open_count() == 0 && accepts_under_way_ == 0) ||
                        (cut_off_ && clock::now() - *cut_off_ > longest_cancellation));
}

// --- waiting ---

void uring_loop::wait() noexcept {
  ready_.clear();
  if (table_count_ == 1) {
    service_.table(0)->ring.submit_and_wait(wait_limit_ms());
    ready_.push_back(0);
    return;
  }
  std::array<::epoll_event, most_events> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 unfinished_.empty() ? wait_limit_ms() : 0);
  ready_.swap(unfinished_);
  const auto unfinished = static_cast<std::ptrdiff_t>(ready_.size());
  for (int i = 0; i < count; ++i) {  // each table once: of the events each is another's
    const std::uint32_t number = events[static_cast<std::size_t>(i)].data.u32;
    if (std::find(ready_.begin(), ready_.begin() + unfinished, number) ==
        ready_.begin() + unfinished) {
      ready_.push_back(number);
    }
  }
}

int uring_loop::wait_limit_ms() const noexcept {
  if (service_.has_waiting()) {
    return starved_wait_ms;
  }
  const bool must_tick = draining() || !service_.quiet() || my_turn_;
  return must_tick ? static_cast<int>(settings().tick.count()) : -1;
}

/// What reap() did not submit: of a tick, of connections that waited, of rooms, and of the table
/// that accepts. With one table wait() does.
void uring_loop::submit_prepared() noexcept {
  if (table_count_ == 1) {
    return;
  }
  if (std::exchange(anywhere_, service_.has_rooms()) || service_.has_waiting()) {
    for (std::uint32_t number = 0; number < service_.table_end(); ++number) {
      submit_table(number);
    }
  }
  submit_table(0);
  submit_table(accept_table_);
}

void uring_loop::submit_table(std::uint32_t number) noexcept {
  if (uring_table* const one = service_.table(number);
      one != nullptr && one->ring.prepared() != 0) {
    one->ring.submit();
  }
}

/// With one table, what wait() brought. With several, all that there is: what its completions lead
/// to is submitted at once, since it mostly completes at once too.
void uring_loop::reap(std::uint32_t number) noexcept {
  uring_table* const home = service_.table(number);
  if (home == nullptr) {
    return;
  }
  if (table_count_ == 1) {
    static_cast<void>(take_completions(number, completions_per_turn));
    service_.settle_table(number);
    return;
  }
  home->ring.signal_completions(false);
  unsigned left = completions_per_turn;
  while (left != 0 && (home->ring.has_work() || home->ring.prepared() != 0)) {
    if (home->ring.has_put_off() || home->ring.prepared() != 0) {
      home->ring.submit();
    }
    left = take_completions(number, left);
    service_.settle_table(number);
  }
  home->ring.signal_completions(true);
  if (home->ring.has_work()) {
    unfinished_.push_back(number);  // it is signalled for what comes, not for what is there
  }
}

/// At most `left` of them; returns how many less that is now.
unsigned uring_loop::take_completions(std::uint32_t number, unsigned left) noexcept {
  uring::ring& ring = service_.table(number)->ring;
  for (; left != 0; --left) {
    if (ring.prepared() >= entries_per_submit) {
      ring.submit();  // an answer does not wait for all that came after its question
    }
    // What one completion can lead to: a send, a receive or two cancellations, a reset and a close.
    ::io_uring_cqe* const next = ring.room(8) ? ring.peek() : nullptr;
    if (next == nullptr) {
      break;
    }
    const ::io_uring_cqe completion = *next;
    ring.seen(next);
    dispatch(number, completion);
  }
  return left;
}

void uring_loop::dispatch(std::uint32_t number, const ::io_uring_cqe& completion) noexcept {
  const auto what = static_cast<uring_operation>(completion.user_data >> 32);
  switch (what) {
    case uring_operation::none: return;
    case uring_operation::accept: on_accept(number, completion); return;
    case uring_operation::mailbox:
      read_mailbox();
      if ((completion.flags & IORING_CQE_F_MORE) == 0) {
        watch_mailbox();
      }
      return;
    default:
      service_.complete(number, what, static_cast<std::uint32_t>(completion.user_data), completion);
  }
}

void uring_loop::watch_mailbox() noexcept {
  if (::io_uring_sqe* const watch = service_.table(0)->ring.next_entry(); watch != nullptr) {
    ::io_uring_prep_poll_multishot(watch, mailbox(), POLLIN);
    ::io_uring_sqe_set_data64(watch, completion_key(uring_operation::mailbox));
  }
}

// --- accepting ---

void uring_loop::on_message(int message) noexcept {
  if (message == turn_message) {
    my_turn_ = true;
  }
}

void uring_loop::on_accept(std::uint32_t number, const ::io_uring_cqe& completion) noexcept {
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    --accepts_under_way_;
    if (accepts_under_way_ == 0) {
      multishot_ = stopping_ = false;
    }
  }
  if (completion.res >= 0) {
    service_.adopt(number, static_cast<std::uint32_t>(completion.res));
    return;
  }
  if (completion.res == -ENFILE || completion.res == -EMFILE) {
    turned_away_.add();  // by the kernel: a limit of the machine
  }
  // What would fail again at once waits for the next tick.
  paused_ = completion.res != -ECANCELED && completion.res != -ECONNABORTED &&
            completion.res != -EAGAIN && completion.res != -EINTR;
}

/// Has accepts under way where there are free slots, or hands the turn on.
void uring_loop::keep_accepting() noexcept {
  const std::uint64_t mine = service_.open_count();
  const bool pass = mine > least_loaded()->service_.open_count() + mine / 64;
  // A multishot accept may go on for as many as wait, before it is seen to.
  const bool full = multishot_ && service_.table(accept_table_)->free_count() <= multishot_reserve;
  if (pass || full || draining()) {
    stop_accepting();
  }
  if (accepts_under_way_ != 0 || paused_ || draining()) {
    return;
  }
  if (pass) {
    pass_turn();
    return;
  }
  if (!find_table()) {
    turn_away();
    return;
  }
  uring_table& home = *service_.table(accept_table_);
  multishot_ = home.free_count() > multishot_reserve;
  const std::uint32_t count = multishot_ ? 1 : std::min(single_accepts, home.free_count());
  for (; accepts_under_way_ < count; ++accepts_under_way_) {
    ::io_uring_sqe* const entry = home.ring.next_entry();
    if (entry == nullptr) {
      return;
    }
    if (multishot_) {
      ::io_uring_prep_multishot_accept_direct(entry, listener_.fd(), nullptr, nullptr, 0);
    } else {
      ::io_uring_prep_accept(entry, listener_.fd(), nullptr, nullptr, 0);
      entry->file_index = IORING_FILE_INDEX_ALLOC;  // liburing 2.3 has no call for it
    }
    ::io_uring_sqe_set_data64(entry, completion_key(uring_operation::accept));
  }
}

void uring_loop::stop_accepting() noexcept {
  if (accepts_under_way_ == 0 || stopping_) {
    return;
  }
  if (::io_uring_sqe* const entry = service_.table(accept_table_)->ring.next_entry();
      entry != nullptr) {
    ::io_uring_prep_cancel64(entry, completion_key(uring_operation::accept),
                             IORING_ASYNC_CANCEL_ALL);
    ::io_uring_sqe_set_data64(entry, completion_key(uring_operation::none));
    stopping_ = true;
  }
}

void uring_loop::pass_turn() noexcept { my_turn_ = !least_loaded()->hand_over(turn_message); }

uring_loop* uring_loop::least_loaded() const noexcept {
  return *std::min_element(loops_.begin(), loops_.end(), [](const auto* a, const auto* b) {
    return a->service_.open_count() < b->service_.open_count();
  });
}

/// The first table with room for one more, or a new one.
bool uring_loop::find_table() noexcept {
  for (std::uint32_t number = 0; number < service_.table_end(); ++number) {
    if (const uring_table* one = service_.table(number);
        one != nullptr && one->free_count() > one->records.size() / 64) {
      accept_table_ = number;
      return true;
    }
  }
  if (table_count_ < most_tables && grow()) {
    return true;
  }
  for (std::uint32_t number = 0; number < service_.table_end(); ++number) {
    if (const uring_table* one = service_.table(number); one != nullptr && one->free_count() != 0) {
      accept_table_ = number;
      return true;
    }
  }
  return false;
}

/// No slot anywhere and no memory for more: whoever waits learns of it at once.
void uring_loop::turn_away() noexcept {
  for (int left = 64; left != 0; --left) {
    const auto [status, fd] = listener_.accept();
    if (status == accept_status::accepted) {
      ::close(fd);
    }
    if (status != accept_status::accepted && status != accept_status::turned_away) {
      return;
    }
    turned_away_.add();
  }
}

/// Throws std::system_error.
void uring_loop::add_table() {
  const std::uint32_t number = service_.add_table();
  try {
    if (table_count_ == 1) {
      watch_table(0);
    }
    if (table_count_ != 0) {
      watch_table(number);
    }
  } catch (...) {
    service_.remove_table(number);
    throw;
  }
  ++table_count_;
}

/// Has epoll tell when the ring has something. Once for each: nothing if it has been.
void uring_loop::watch_table(std::uint32_t number) {
  uring_table& one = *service_.table(number);
  if (one.signal) {
    return;
  }
  descriptor signal(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ::epoll_event interest{};
  interest.events = EPOLLIN | EPOLLET;  // never read: each signal is an edge
  interest.data.u32 = number;
  if (!signal || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, signal.get(), &interest) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot watch a ring");
  }
  one.ring.signal_to(signal.get());
  one.signal = std::move(signal);
}

bool uring_loop::grow() noexcept {
  try {
    add_table();
    if (table_count_ == 2) {
      unfinished_.push_back(0);  // what is there already is not signalled
    }
    accept_table_ = service_.newest_table();
    service_.table(accept_table_)->ring.enable();
    return true;
  } catch (const std::exception&) {  // no memory, or no descriptor: the tables there are go on
    return false;
  }
}

void uring_loop::drop_empty_tables() noexcept {
  for (std::uint32_t number = 1; number < service_.table_end(); ++number) {
    const uring_table* const one = service_.table(number);
    if (one != nullptr && one->open == 0 && one->waiting.count() + one->stuck.count() == 0 &&
        !(number == accept_table_ && (my_turn_ || accepts_under_way_ != 0))) {
      service_.remove_table(number);
      --table_count_;
      if (number == accept_table_) {
        accept_table_ = 0;
      }
    }
  }
}

// --- time, and the end ---

void uring_loop::on_tick() noexcept {
  paused_ = false;
  service_.on_tick();
  if (trim_is_due()) {
    service_.trim();
    drop_empty_tables();
  }
}

void uring_loop::take_up(const running_settings& settings) noexcept {
  service_.take_up(settings.limits, settings.slow_members, settings.copy_to_members,
                   *settings.bank->pool());
  anywhere_ = true;
}

void uring_loop::begin_drain() noexcept {
  stop_accepting();
  if (loops_.front() == this) {
    listener_.shut();  // other loops may accept with it still
  }
  service_.begin_drain();
  anywhere_ = true;
}

}  // namespace ringpool::tools
