// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "ringpool/buffer.hpp"
#include "ringpool/detail/wait_queue.hpp"

namespace ringpool {

class ring_buffer_pool;
using buffer = basic_buffer<ring_buffer_pool>;

/// A place in a pool's queue for a buffer: what alloc_until and async_alloc are made of. Intrusive,
/// no heap: it stays where it is, and alive, from enqueue() until cancel() has returned true or the
/// callback has been called. Then it may be enqueued anew, also by the callback itself.
///
///   ring_buffer_pool::enqueue(waiter) --> waits --> callback(waiter, buffer)
///                                           |
///                                           +-----> cancel(): true, and no callback
///
/// Invariant: of callback and a true cancel() there is exactly one for each enqueue().
/// Progress: cancel: waits for a thread that serves the queue, which runs no callbacks meanwhile.
/// Thread-safety: cancel: any thread, and callbacks; not signal handlers.
/// Cost: 80 bytes; no heap.
class buffer_waiter {
 public:
  /// Called on the thread that gave the buffer back, or inside enqueue() where there is one, with
  /// no lock held. An empty buffer: the pool is being destroyed, which is misuse. What the callback
  /// frees serves the next waiter when it has returned; it must not block.
  using callback = void (*)(buffer_waiter& waiter, buffer&& got) noexcept;

  buffer_waiter(std::size_t size, callback call) noexcept : call_(call) { node_.size = size; }
  ~buffer_waiter() = default;
  buffer_waiter(const buffer_waiter&) = delete;
  buffer_waiter& operator=(const buffer_waiter&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return node_.size; }
  /// True: it was still waiting, and is no more. False: the callback was called, or is about to be,
  /// or it never waited.
  bool cancel() noexcept;

 private:
  friend class ring_buffer_pool;
  friend class alloc_awaitable;

  detail::wait_node node_;  // a member, first: derived classes inherit none of its names
  ring_buffer_pool* home_ = nullptr;
  callback call_;
};
static_assert(std::is_standard_layout_v<buffer_waiter>, "the queue goes from node to waiter");

}  // namespace ringpool
