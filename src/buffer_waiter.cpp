// SPDX-License-Identifier: MIT
#include "ringpool/buffer_waiter.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "ringpool/async_alloc.hpp"
#include "ringpool/detail/probes.hpp"
#include "ringpool/owner_scope.hpp"
#include "ringpool/ring_buffer_pool.hpp"

// Edges (release -> acquire):
//   R1 -> A1  on_served -> sleep_until   the buffer that a sleeping thread got

namespace ringpool {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// ---- A thread that sleeps -----------------------------------------------------------------------

/// A waiter on the stack of alloc_until. The thread sleeps in futex(2), which takes the deadline on
/// steady_clock as it is (FUTEX_WAIT_BITSET, Linux 2.6.28); std::atomic's wait knows no deadlines.
struct ring_buffer_pool::sleeper : buffer_waiter {
  explicit sleeper(std::size_t wanted_size) noexcept : buffer_waiter(wanted_size, &on_served) {}

  static void on_served(buffer_waiter& waiter, buffer&& got) noexcept {
    auto& self = static_cast<sleeper&>(waiter);
    self.got = std::move(got);
    std::atomic<std::uint32_t>* const word = &self.served;
    word->store(1, detail::release);  // R1 -> A1 (sleep_until): got
    // The sleeper may be gone by now. The kernel takes the word's address as a number, and what
    // else may sleep there must expect to be woken for nothing.
    ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

  /// True once served; false at the deadline.
  [[nodiscard]] bool sleep_until(steady_clock::time_point deadline) noexcept {
    while (served.load(detail::acquire) == 0) {  // A1 <- R1
      if (steady_clock::now() >= deadline) {
        return false;
      }
      const auto since_start = std::chrono::duration_cast<nanoseconds>(deadline.time_since_epoch());
      const timespec until{static_cast<std::time_t>(since_start.count() / 1'000'000'000),
                           static_cast<long>(since_start.count() % 1'000'000'000)};
      ::syscall(SYS_futex, &served, FUTEX_WAIT_BITSET_PRIVATE, 0U, &until, nullptr,
                FUTEX_BITSET_MATCH_ANY);
    }
    return true;
  }

  std::atomic<std::uint32_t> served{0};
  buffer got;
};

buffer ring_buffer_pool::alloc_for(std::size_t size, nanoseconds timeout) noexcept {
  return alloc_until(size, detail::deadline_after(timeout), __builtin_return_address(0));
}

buffer ring_buffer_pool::alloc_until(std::size_t size, steady_clock::time_point deadline) noexcept {
  return alloc_until(size, deadline, __builtin_return_address(0));
}

buffer ring_buffer_pool::alloc_until(std::size_t size, steady_clock::time_point deadline,
                                     const void* site) noexcept {
  constexpr auto look_every = std::chrono::milliseconds(1);  // where no fence is to be had
  if (buffer got = alloc_unless_waited_for(size, site)) {
    return got;
  }
  sleeper self(size);
  self.node_.site = site;
  if (!can_ever_serve(size)) {
    count_refusal(size);
    return {};
  }
  bool ordered = add_waiter(self) == wait_queue::added::waits;
  for (steady_clock::time_point until = deadline;;) {
    if (!ordered) {
      until = std::min(deadline, steady_clock::now() + look_every);
    }
    if (self.sleep_until(until)) {
      return std::move(self.got);
    }
    if (until < deadline) {
      serve_waiters();
    } else if (remove_waiter(self, wait_queue::reason::timed_out) == wait_queue::removal::waited) {
      count_refusal(size);
      return {};
    } else {  // its buffer is on the way
      ordered = true;
      until = deadline = steady_clock::time_point::max();
    }
  }
}

buffer ring_buffer_pool::alloc_unless_waited_for(std::size_t size) noexcept {
  return alloc_unless_waited_for(size, __builtin_return_address(0));
}

/// Without a wait. Who comes at the same moment as a waiter may still pass it.
buffer ring_buffer_pool::alloc_unless_waited_for(std::size_t size, const void* site) noexcept {
  placement taken = take_fast(size);
  if (size == 0) {
    taken = take_slow_at(size, source::any, form::handle, site);
  } else if (taken.data == nullptr && !waiters_.any()) {
    taken = take_slow_at(size, source::any_for_waiter, form::handle, site);
    look_for_waiters();
    if (ring_buffer_pool& home = home_of(taken); &home != this) {
      home.look_for_waiters();
      return home.handle(taken, size);
    }
  }
  return handle(taken, size);
}

bool ring_buffer_pool::can_ever_serve(std::size_t size) const noexcept {
  return size <= buffer_size_ || (options_.upstream != nullptr && size <= max_buffer_size &&
                                  size <= options_.upstream_budget_bytes);
}

// ---- The queue ----------------------------------------------------------------------------------

bool ring_buffer_pool::enqueue(buffer_waiter& waiter) noexcept {
  return enqueue(waiter, __builtin_return_address(0));
}

bool ring_buffer_pool::enqueue(buffer_waiter& waiter, const void* site) noexcept {
  if (!can_ever_serve(waiter.size())) {
    return false;
  }
  waiter.node_.site = site;
  waiter.node_.now = detail::wait_node::phase::fresh;  // whatever was cancelled, or served, before
  return add_waiter(waiter) != wait_queue::added::stopped;
}

auto ring_buffer_pool::add_waiter(buffer_waiter& waiter) noexcept -> wait_queue::added {
  const bool fits = waiter.size() <= buffer_size_;
  if (waiter.home_ != this) {  // else somebody may be cancelling it already
    waiter.home_ = this;
  }
  waiter.node_.fits = fits;
  waiter.node_.weight = options_.upstream != nullptr ? std::max<std::size_t>(waiter.size(), 1) : 1;
  spill_gate gate{this};
  const void* const name = &waiter;  // it may be served and gone before add returns
  detail::probes::wait_begin(this, buffer_size_, waiter.size(), name);
  const wait_queue::added result = waiters_.add(
      waiter.node_, gate, [this](detail::wait_node& node) { return take_for(node); },
      [this](detail::wait_node& node) { deliver_to(node); });
  if (result == wait_queue::added::stopped) {
    detail::probes::wait_end(this, buffer_size_, name, detail::probes::wait_result::cancelled);
  }
  if (options_.spill.class_count != 0) {
    serve_family();
  }
  return result;
}

auto ring_buffer_pool::remove_waiter(buffer_waiter& waiter, wait_queue::reason why) noexcept
    -> wait_queue::removal {
  using detail::probes::wait_result;
  spill_gate gate{this};
  const void* const name = &waiter;
  const wait_queue::removal result = waiters_.remove(
      waiter.node_, why, gate, [this](detail::wait_node& node) { return take_for(node); },
      [this](detail::wait_node& node) { deliver_to(node); });
  if (result == wait_queue::removal::waited) {
    const bool late = why == wait_queue::reason::timed_out;
    detail::probes::wait_end(this, buffer_size_, name,
                             late ? wait_result::timed_out : wait_result::cancelled);
  }
  if (options_.spill.class_count != 0) {
    serve_family();
  }
  return result;
}

void ring_buffer_pool::serve_waiters() noexcept {
  if (options_.spill.class_count != 0) {
    serve_family();
  } else {
    serve_own_waiters();
  }
}

/// Returns how many it served.
std::size_t ring_buffer_pool::serve_own_waiters() noexcept {
  std::size_t served = 0;
  spill_gate gate{this};
  waiters_.serve(
      gate, [this](detail::wait_node& node) { return take_for(node); },
      [&](detail::wait_node& node) {
        ++served;
        deliver_to(node);
      });
  return served;
}

/// Upstream's budget is the family's: whoever has waited longest comes first, each pool once.
void ring_buffer_pool::serve_waiters_for_upstream() noexcept {
  detail::std_atomics::full_fence();  // between the budget given back and the look at who waits
  static_assert(max_class_count <= 64);
  std::uint64_t served = 0;  // a bit for each of the family
  for (;;) {
    std::size_t oldest = family_size_;
    std::int64_t since = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < family_size_; ++i) {
      const std::int64_t one = family_[i].waiters_.oldest_ns();
      if ((served >> i & 1) == 0 && one < since) {
        since = one;
        oldest = i;
      }
    }
    if (oldest == family_size_) {
      break;
    }
    family_[oldest].serve_own_waiters();
    served |= std::uint64_t{1} << oldest;
  }
  if (options_.spill.class_count != 0) {
    serve_family();
  }
}

/// Under the queue's lock. Whoever's thread this is: its owner_scope is not the waiter's.
bool ring_buffer_pool::take_for(detail::wait_node& node) noexcept {
  const owner_scope nobody(nullptr);
  placement taken = take_fast(node.size);
  if (taken.data == nullptr) {
    taken = take_slow_at(node.size, source::any_for_waiter, form::handle, node.site);
  }
  node.data = taken.data;
  node.slot = taken.slot;
  return taken.data != nullptr;
}

void ring_buffer_pool::deliver_to(detail::wait_node& node) noexcept {
  auto& waiter = reinterpret_cast<buffer_waiter&>(node);  // its first member
  const placement taken{node.data, node.slot};
  using detail::probes::wait_result;  // no data: the pool is going
  detail::probes::wait_end(this, buffer_size_, &waiter,
                           taken.data != nullptr ? wait_result::served : wait_result::cancelled);
  waiter.call_(waiter, home_of(taken).handle(taken, node.size));
}

bool buffer_waiter::cancel() noexcept {
  using queue = ring_buffer_pool::wait_queue;
  return home_ != nullptr &&
         home_->remove_waiter(*this, queue::reason::cancelled) == queue::removal::waited;
}

// ---- A coroutine --------------------------------------------------------------------------------

alloc_awaitable ring_buffer_pool::async_alloc(std::size_t size) noexcept {
  return {*this, size, {}, __builtin_return_address(0)};
}

alloc_awaitable ring_buffer_pool::async_alloc(std::size_t size, async_options options) noexcept {
  return {*this, size, std::move(options), __builtin_return_address(0)};
}

alloc_awaitable::alloc_awaitable(ring_buffer_pool& home, std::size_t size, async_options options,
                                 const void* site) noexcept
    : buffer_waiter(size, &on_served), options_(std::move(options)) {
  home_ = &home;
  node_.site = site;
}

alloc_awaitable::~alloc_awaitable() {
  on_stop_.reset();
  if (pending_) {
    cancel();
  }
}

bool alloc_awaitable::await_ready() noexcept {
  got_ = home_->alloc_unless_waited_for(size(), node_.site);
  return got_ || !home_->can_ever_serve(size()) || options_.stop.stop_requested();
}

/// From enqueue on this object may be gone: the coroutine goes on wherever it is served or stopped.
bool alloc_awaitable::suspend() noexcept {
  pending_ = true;
  if (options_.stop.stop_possible()) {
    on_stop_.emplace(options_.stop, stop_call{this});
  }
  if (home_->add_waiter(*this) != ring_buffer_pool::wait_queue::added::stopped) {
    return true;
  }
  pending_ = false;
  return false;
}

void alloc_awaitable::stop_call::operator()() const noexcept {
  if (self->cancel()) {
    self->go_on();
  }
}

void alloc_awaitable::on_served(buffer_waiter& waiter, buffer&& got) noexcept {
  auto& self = static_cast<alloc_awaitable&>(waiter);
  self.got_ = std::move(got);
  self.go_on();
}

void alloc_awaitable::go_on() noexcept {
  pending_ = false;
  if (options_.resume.post != nullptr) {
    options_.resume.post(options_.resume.context, resume_, coroutine_);
  } else {
    resume_(coroutine_);
  }
}

}  // namespace ringpool
