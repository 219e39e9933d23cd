// SPDX-License-Identifier: MIT
#include "server_loop.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "heap_count.hpp"

namespace ringpool::tools {
namespace {

constexpr std::chrono::seconds trim_period{1};

}  // namespace

server_loop::server_loop(const loop_settings& settings) : settings_(settings) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make an event loop");
  }
  mail_out_.reset(ends[0]);
  mail_in_.reset(ends[1]);
  start_ = now_ = clock::now();
  next_trim_ = start_ + trim_period;
}

server_loop::~server_loop() {
  int message = -1;  // sockets that came after the last look into the mailbox
  while (::read(mail_out_.get(), &message, sizeof message) == sizeof message) {
    descriptor(message).reset();
  }
}

// --- other threads ---

bool server_loop::hand_over(int message) noexcept {
  // whole: see pipe(7), PIPE_BUF
  return ::write(mail_in_.get(), &message, sizeof message) == sizeof message;
}

void server_loop::stop() noexcept {
  // relaxed: the message below, or one that fills the mailbox already, makes the loop look
  phase seen = phase::serving;
  if (!phase_.compare_exchange_strong(seen, phase::draining, std::memory_order_relaxed) &&
      seen == phase::draining) {
    phase_.compare_exchange_strong(seen, phase::ending, std::memory_order_relaxed);
  }
  wake();
}

void server_loop::ask(std::uint64_t round, const running_settings* settings) noexcept {
  offered_.store(settings, std::memory_order_release);
  asked_.store(round, std::memory_order_release);  // N1 -> N1 (ask)
  wake();
}

// --- the loop's thread ---

void server_loop::ask_holders(std::uint64_t round) noexcept {
  holders_asked_.store(round, std::memory_order_relaxed);  // the message makes the loop look
  wake();
}

bool server_loop::holders(std::uint64_t round, std::vector<heavy_peer>& out) {
  const std::lock_guard lock(holders_mutex_);
  if (holders_answered_ != round) {
    return false;
  }
  out.insert(out.end(), holders_.begin(), holders_.end());
  return true;
}

void server_loop::answer_holders(std::uint64_t round) noexcept {
  const std::lock_guard lock(holders_mutex_);
  holders_ = {};
  list_holders(holders_);
  holders_answered_ = round;
}

void server_loop::look_for_settings() noexcept {
  if (const std::uint64_t asked = holders_asked_.load(std::memory_order_relaxed);
      asked != holders_answered_) [[unlikely]] {
    answer_holders(asked);
  }
  const std::uint64_t round = asked_.load(std::memory_order_acquire);  // N1 <- N1
  if (round == answered_.load(std::memory_order_relaxed)) {            // written by this thread
    return;
  }
  const running_settings* const offered = offered_.load(std::memory_order_acquire);
  if (offered != nullptr && offered->number > taken_up_) {
    taken_up_ = offered->number;
    settings_.drain_timeout = offered->drain_timeout;
    take_up(*offered);
  }
  answered_.store(round, std::memory_order_release);  // N2 -> N3
}

void server_loop::read_mailbox() noexcept {
  std::array<int, 256> mail;
  ::ssize_t bytes = 0;
  do {
    bytes = ::read(mail_out_.get(), mail.data(), sizeof mail);
    for (std::size_t i = 0; bytes > 0 && i < static_cast<std::size_t>(bytes) / sizeof(int); ++i) {
      if (mail[i] != wake_message) {
        on_message(mail[i]);
      }
    }
  } while (bytes == sizeof mail);
  if (phase_.load(std::memory_order_relaxed) != phase::serving && !draining_) {
    draining_ = true;
    drain_end_ = now_ + settings_.drain_timeout;
    begin_drain();
  }
}

bool server_loop::update_clock() noexcept {
  now_ = clock::now();
  const auto tick = static_cast<std::uint32_t>((now_ - start_) / settings_.tick);
  return std::exchange(tick_, tick) != tick;
}

bool server_loop::trim_is_due() noexcept {
  if (now_ < next_trim_) {
    return false;
  }
  next_trim_ = now_ + trim_period;
  return true;
}

void server_loop::begin_serving() noexcept { heap_before_ = heap_allocations_of_this_thread(); }

void server_loop::count_heap() noexcept {
  heap_allocations_.set(heap_allocations_of_this_thread() - heap_before_);
}

}  // namespace ringpool::tools
