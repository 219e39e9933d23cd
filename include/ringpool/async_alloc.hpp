// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>

#include "ringpool/buffer_waiter.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {

/// Where a coroutine goes on that got its buffer. Without one: at once, on the thread that gave the
/// buffer back, inside that thread's call; it must not block there.
struct resume_hook {
  /// Makes an executor call resume(coroutine), once; called as buffer_waiter's callback is.
  void (*post)(void* context, void (*resume)(void*) noexcept, void* coroutine) noexcept = nullptr;
  void* context = nullptr;
};

struct async_options {
  /// Ends the wait with an empty buffer. For a deadline: the caller's timer asks for the stop.
  std::stop_token stop{};
  resume_hook resume{};
};

/// What `co_await pool.async_alloc(size)` waits on: yields a buffer; an empty one when stopped, or
/// where the pool can never serve that size. Needs no <coroutine>: any handle type will do.
///
/// Invariant: a coroutine that suspended is resumed once; one that is destroyed waits no more.
/// Progress: as buffer_waiter's.
/// Thread-safety: awaited once, by one coroutine; a stop may come from any thread, and the
/// coroutine
///   then goes on there, or by its hook.
/// Cost: in the coroutine's frame; no heap.
class [[nodiscard]] alloc_awaitable : private buffer_waiter {
 public:
  /// `site`: the return address that a census shows.
  alloc_awaitable(ring_buffer_pool& home, std::size_t size, async_options options,
                  const void* site) noexcept;
  ~alloc_awaitable();
  alloc_awaitable(const alloc_awaitable&) = delete;
  alloc_awaitable& operator=(const alloc_awaitable&) = delete;

  /// True where nobody waits and there is a buffer, or there will never be one.
  [[nodiscard]] bool await_ready() noexcept;
  template <class Handle>
  [[nodiscard]] bool await_suspend(Handle coroutine) noexcept {
    coroutine_ = coroutine.address();
    resume_ = [](void* address) noexcept { Handle::from_address(address).resume(); };
    return suspend();
  }
  [[nodiscard]] buffer await_resume() noexcept { return std::move(got_); }

 private:
  struct stop_call {
    alloc_awaitable* self;
    void operator()() const noexcept;
  };
  [[nodiscard]] bool suspend() noexcept;
  void go_on() noexcept;
  static void on_served(buffer_waiter& waiter, buffer&& got) noexcept;

  async_options options_;
  buffer got_;
  void* coroutine_ = nullptr;
  void (*resume_)(void*) noexcept = nullptr;
  bool pending_ = false;
  std::optional<std::stop_callback<stop_call>> on_stop_;
};

}  // namespace ringpool
