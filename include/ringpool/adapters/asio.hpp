// SPDX-License-Identifier: MIT
#pragma once

// Waiting for buffers, and buffers to read and write, for Asio (1.22 and newer, without Boost).
//
//   async_alloc(pool, size, token)          a buffer, when there is one
//   async_read_pooled(socket, pool, token)  readable? --> a buffer --> what has come, in it
//
// An idle connection holds no buffer: async_read_pooled waits for bytes first.

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_state.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/socket_base.hpp>
#include <asio/system_executor.hpp>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include "ringpool/buffer_waiter.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/shared_buffer.hpp"

namespace ringpool::asio {

/// The bytes of a handle, as Asio's buffers. The handle must outlive the operation.
[[nodiscard]] inline ::asio::mutable_buffer bytes_of(const buffer& one) noexcept {
  return {one.data(), one.size()};
}
[[nodiscard]] inline ::asio::const_buffer bytes_of(const shared_buffer& one) noexcept {
  return {one.data(), one.size()};
}

namespace detail {

/// One async_alloc under way. Owns itself while it waits; what cancels it owns it too.
///
/// Invariant: the handler is called once, by its own executor.
/// Progress: as buffer_waiter's.
/// Thread-safety: served on any thread; cancelled where the handler's executor runs, as Asio asks.
/// Cost: one heap block.
template <class Handler>
class alloc_operation : public buffer_waiter,
                        public std::enable_shared_from_this<alloc_operation<Handler>> {
 public:
  alloc_operation(std::size_t size, Handler&& handler)
      : buffer_waiter(size, &on_served),
        handler_(std::move(handler)),
        work_(::asio::get_associated_executor(handler_, ::asio::system_executor())) {}

  template <class Pool>
  void start(Pool& pool) {
    if (auto cancels = ::asio::get_associated_cancellation_slot(handler_); cancels.is_connected()) {
      cancels.assign([self = this->shared_from_this()](::asio::cancellation_type type) {
        if (type != ::asio::cancellation_type::none && self->cancel()) {
          self->complete(::asio::error::operation_aborted, {});
        }
      });
    }
    waiting_ = this->shared_from_this();
    if (buffer got = pool.alloc_unless_waited_for(this->size())) {
      complete({}, std::move(got));
    } else if (!pool.enqueue(*this)) {
      complete(::asio::error::no_memory, {});
    }
  }

 private:
  static void on_served(buffer_waiter& waiter, buffer&& got) noexcept {
    auto& self = static_cast<alloc_operation&>(waiter);
    const std::error_code error =
        got ? std::error_code() : std::error_code(::asio::error::operation_aborted);
    self.complete(error, std::move(got));
  }

  void complete(std::error_code error, buffer got) {
    ::asio::post(work_.get_executor(),
                 [self = std::move(waiting_), error, got = std::move(got)]() mutable {
                   ::asio::get_associated_cancellation_slot(self->handler_).clear();
                   Handler handler(std::move(self->handler_));
                   self->work_.reset();
                   self.reset();
                   std::move(handler)(error, std::move(got));
                 });
  }

  Handler handler_;
  ::asio::executor_work_guard<::asio::associated_executor_t<Handler, ::asio::system_executor>>
      work_;
  std::shared_ptr<alloc_operation> waiting_;
};

/// What async_read_pooled goes through.
template <class Socket, class Pool>
struct read_pooled {
  Socket& socket;
  Pool& pool;
  std::size_t size;
  buffer held{};

  template <class Self>
  void operator()(Self& self) {
    self.reset_cancellation_state(::asio::enable_total_cancellation());
    socket.async_wait(::asio::socket_base::wait_read, std::move(self));
  }
  /// Readable, or not any more.
  template <class Self>
  void operator()(Self& self, std::error_code error);
  /// A buffer.
  template <class Self>
  void operator()(Self& self, std::error_code error, buffer got);
  /// Bytes.
  template <class Self>
  void operator()(Self& self, std::error_code error, std::size_t count) {
    error ? held.reset() : held.resize(count);
    self.complete(error, std::move(held));
  }
};

}  // namespace detail

/// Waits for a buffer of `size` bytes: first come, first served. Completes by the handler's
/// executor with void(std::error_code, buffer): operation_aborted when cancelled by the handler's
/// slot (any cancellation type), or where the pool dies; no_memory where it can never serve that
/// size.
template <class Pool, class Token>
auto async_alloc(Pool& pool, std::size_t size, Token&& token) {
  return ::asio::async_initiate<Token, void(std::error_code, buffer)>(
      [&pool, size](auto handler) {
        using operation = detail::alloc_operation<decltype(handler)>;
        std::make_shared<operation>(size, std::move(handler))->start(pool);
      },
      token);
}

/// Waits until the socket is readable, with no buffer; then for a buffer of `size` bytes; and reads
/// what has come, at most that much, into it: size() of it. void(std::error_code, buffer); an empty
/// buffer with an error, asio::error::eof at the end.
template <class Socket, class Pool, class Token>
auto async_read_pooled(Socket& socket, Pool& pool, std::size_t size, Token&& token) {
  return ::asio::async_compose<Token, void(std::error_code, buffer)>(
      detail::read_pooled<Socket, Pool>{socket, pool, size}, token, socket);
}
/// The largest buffers of the pool.
template <class Socket, class Token>
auto async_read_pooled(Socket& socket, ring_buffer_pool& pool, Token&& token) {
  return async_read_pooled(socket, pool, pool.buffer_size(), std::forward<Token>(token));
}
template <class Socket, class Token>
auto async_read_pooled(Socket& socket, multi_size_ring_pool& pool, Token&& token) {
  return async_read_pooled(socket, pool, pool.max_size(), std::forward<Token>(token));
}

namespace detail {

template <class Socket, class Pool>
template <class Self>
void read_pooled<Socket, Pool>::operator()(Self& self, std::error_code error) {
  if (error) {
    self.complete(error, {});
    return;
  }
  Pool& from = pool;
  ringpool::asio::async_alloc(from, size, std::move(self));
}

template <class Socket, class Pool>
template <class Self>
void read_pooled<Socket, Pool>::operator()(Self& self, std::error_code error, buffer got) {
  if (error) {
    self.complete(error, {});
    return;
  }
  held = std::move(got);
  const ::asio::mutable_buffer into = bytes_of(held);
  socket.async_read_some(into, std::move(self));
}

}  // namespace detail
}  // namespace ringpool::asio
