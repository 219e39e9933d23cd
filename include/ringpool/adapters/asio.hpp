// SPDX-License-Identifier: MIT
#pragma once

// Waiting for buffers, and buffers to read and write, for Asio (1.22 and newer, without Boost).
//
//   async_alloc(pool, size, token)          a buffer, when there is one
//   async_read_pooled(socket, pool, token)  readable? --> a buffer --> what has come, in it
//   bytes_of(handle)                        what a handle or a chain shows, as Asio's buffers
//   handler_allocator(pool)                 Asio's own blocks, in the pool
//
// An idle connection holds no buffer: async_read_pooled waits for bytes first.

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/bind_allocator.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_state.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/socket_base.hpp>
#include <asio/system_executor.hpp>
#include <cstddef>
#include <iterator>
#include <memory>
#include <memory_resource>
#include <new>
#include <system_error>
#include <utility>

#include "ringpool/account.hpp"
#include "ringpool/buffer_chain.hpp"
#include "ringpool/buffer_waiter.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ring_buffer_pool.hpp"
#include "ringpool/shared_buffer.hpp"

namespace ringpool::asio {

// ---- Bytes to send and to receive into ----------------------------------------------------------

/// The pieces of a chain as a sequence of Asio's buffers, ConstBufferSequence or
/// MutableBufferSequence. A view: the chain outlives the operation, and does not change meanwhile.
///
/// Invariant: as many elements as the chain has pieces.
/// Progress: wait-free.
/// Thread-safety: as the chain's.
/// Cost: 8 bytes; no heap; an element is made of a piece when it is asked for.
template <class Buffer>
class chain_buffers {
 public:
  using value_type = Buffer;
  class const_iterator {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = Buffer;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Buffer;

    const_iterator() noexcept = default;
    explicit const_iterator(buffer_chain::const_iterator at) noexcept : at_(at) {}
    [[nodiscard]] Buffer operator*() const noexcept;
    const_iterator& operator++() noexcept { return ++at_, *this; }
    const_iterator& operator--() noexcept { return --at_, *this; }
    const_iterator operator++(int) noexcept { return const_iterator(at_++); }
    const_iterator operator--(int) noexcept { return const_iterator(at_--); }
    [[nodiscard]] bool operator==(const const_iterator&) const noexcept = default;

   private:
    buffer_chain::const_iterator at_;
  };

  explicit chain_buffers(const buffer_chain& chain) noexcept : chain_(&chain) {}
  [[nodiscard]] const_iterator begin() const noexcept { return const_iterator(chain_->begin()); }
  [[nodiscard]] const_iterator end() const noexcept { return const_iterator(chain_->end()); }

 private:
  const buffer_chain* chain_;
};

/// What a handle shows, as Asio's buffers; the handle outlives the operation. What has one owner
/// may be received into; what may have several is for sending.
[[nodiscard]] inline ::asio::mutable_buffer bytes_of(const buffer& one) noexcept {
  return {one.data(), one.size()};
}
[[nodiscard]] inline ::asio::mutable_buffer bytes_of(const charged_buffer& one) noexcept {
  return {one.data(), one.size()};
}
[[nodiscard]] inline ::asio::const_buffer bytes_of(const shared_buffer& one) noexcept {
  return {one.data(), one.size()};
}
[[nodiscard]] inline chain_buffers<::asio::const_buffer> bytes_of(
    const buffer_chain& chain) noexcept {
  return chain_buffers<::asio::const_buffer>(chain);
}
/// To receive into what could have several owners: empty where it has, piece by piece.
[[nodiscard]] inline ::asio::mutable_buffer writable_bytes_of(shared_buffer& one) noexcept {
  std::byte* const bytes = one.try_write();
  return {bytes, bytes == nullptr ? 0 : one.size()};
}
[[nodiscard]] inline chain_buffers<::asio::mutable_buffer> writable_bytes_of(
    buffer_chain& chain) noexcept {
  return chain_buffers<::asio::mutable_buffer>(chain);
}

template <>
inline ::asio::const_buffer chain_buffers<::asio::const_buffer>::const_iterator::operator*()
    const noexcept {
  return bytes_of(*at_);
}
template <>
inline ::asio::mutable_buffer chain_buffers<::asio::mutable_buffer>::const_iterator::operator*()
    const noexcept {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): made of a chain that may be changed
  return writable_bytes_of(const_cast<shared_buffer&>(*at_));
}

// ---- Memory for handlers ------------------------------------------------------------------------

/// Asio's own blocks, one for each operation under way, from a pool:
///
///   socket.async_read_some(into, asio::bind_allocator(ringpool::asio::handler_allocator(pool), f))
///
/// The ring of the smallest class that fits; `upstream` where that is spent, and for what no buffer
/// is large or aligned enough for. So a handler is not refused because the buffers are gone: a pool
/// of its own, with classes of 128 to 1024 bytes, keeps the two apart. What any_io_executor takes
/// for itself is not from there: for none at all, sockets need a concrete executor. pmr's
/// pool_allocator throws where the pool is spent and has no upstream, as a container wants it.
///
/// Invariant: equal exactly when pool and upstream are the same objects; both outlive it and what
///   was allocated.
/// Progress: as the pool's try_allocate and deallocate; as upstream where that serves.
/// Thread-safety: any thread, also to free what another allocated.
/// Cost: the pool's, and a comparison of the address. 16 bytes in the handler.
template <class T, class Pool>
class handler_allocator {
 public:
  using value_type = T;

  explicit handler_allocator(
      Pool& pool, std::pmr::memory_resource* upstream = std::pmr::new_delete_resource()) noexcept
      : pool_(&pool), upstream_(upstream) {}
  template <class U>
  // NOLINTNEXTLINE(google-explicit-constructor): as [allocator.requirements] has it
  handler_allocator(const handler_allocator<U, Pool>& other) noexcept
      : pool_(&other.pool()), upstream_(other.upstream()) {}

  /// Throws what upstream throws.
  [[nodiscard]] T* allocate(std::size_t count) const {
    if (count > max_buffer_size / sizeof(T)) {
      ringpool::detail::throw_bad_alloc();
    }
    if constexpr (alignof(T) <= cache_line_bytes) {
      if (void* const taken = pool_->try_allocate(bytes_for(count)); taken != nullptr) [[likely]] {
        return static_cast<T*>(taken);
      }
    }
    return static_cast<T*>(upstream_->allocate(bytes_for(count), alignof(T)));
  }
  void deallocate(T* pointer, std::size_t count) const noexcept {
    if (pool_->owns(pointer)) [[likely]] {
      pool_->deallocate(pointer);
    } else {
      upstream_->deallocate(pointer, bytes_for(count), alignof(T));
    }
  }

  [[nodiscard]] Pool& pool() const noexcept { return *pool_; }
  [[nodiscard]] std::pmr::memory_resource* upstream() const noexcept { return upstream_; }
  template <class U>
  [[nodiscard]] bool operator==(const handler_allocator<U, Pool>& other) const noexcept {
    return pool_ == &other.pool() && upstream_ == other.upstream();
  }

 private:
  /// Not 0: an address of no bytes is no buffer's.
  [[nodiscard]] static std::size_t bytes_for(std::size_t count) noexcept {
    return count == 0 ? 1 : count * sizeof(T);
  }

  Pool* pool_;
  std::pmr::memory_resource* upstream_;
};
template <class Pool>
handler_allocator(Pool&) -> handler_allocator<std::byte, Pool>;
template <class Pool>
handler_allocator(Pool&, std::pmr::memory_resource*) -> handler_allocator<std::byte, Pool>;

// ---- Waiting, and reading -----------------------------------------------------------------------

namespace detail {

/// One async_alloc under way. Owns itself while it waits; what cancels it owns it too.
///
/// Invariant: the handler is called once, by its own executor.
/// Progress: as buffer_waiter's.
/// Thread-safety: served on any thread; cancelled where the handler's executor runs, as Asio asks.
/// Cost: a block of the handler's allocator, and one for the way through the executor.
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
    const auto memory = ::asio::get_associated_allocator(handler_);
    auto finish = [self = std::move(waiting_), error, got = std::move(got)]() mutable {
      ::asio::get_associated_cancellation_slot(self->handler_).clear();
      Handler handler(std::move(self->handler_));
      self->work_.reset();
      self.reset();  // its block is free again before the handler runs, as Asio promises
      std::move(handler)(error, std::move(got));
    };
    ::asio::post(work_.get_executor(), ::asio::bind_allocator(memory, std::move(finish)));
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
/// size. What it needs is from the handler's allocator.
template <class Pool, class Token>
auto async_alloc(Pool& pool, std::size_t size, Token&& token) {
  return ::asio::async_initiate<Token, void(std::error_code, buffer)>(
      [&pool, size](auto handler) {
        using operation = detail::alloc_operation<decltype(handler)>;
        const auto memory = ::asio::get_associated_allocator(handler);
        std::allocate_shared<operation>(memory, size, std::move(handler))->start(pool);
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
