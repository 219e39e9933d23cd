// SPDX-License-Identifier: MIT
#pragma once

//   loop      used = what its connections hold
//     connection  used = half frames + frames to be sent     limit: --connection-budget
//                 ----- high: --send-queue-bytes, not read from here on
//                 ----- low:  half of it, read again
//   room      used = frames that wait for its members        limit: --room-budget

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ringpool/account.hpp>

namespace ringpool::tools {

/// Atomics of accounts that one thread changes and any thread reads: no read-modify-write.
struct loop_atomics {
  template <class T>
  class atomic {
   public:
    explicit atomic(T value) noexcept : value_(value) {}
    [[nodiscard]] T load(std::memory_order order) const noexcept { return value_.load(order); }
    // relaxed: there is one writer, and whoever else reads takes a snapshot
    bool compare_exchange_weak(T& /*seen*/, T next, std::memory_order /*success*/,
                               std::memory_order /*failure*/) noexcept {
      value_.store(next, std::memory_order_relaxed);
      return true;
    }
    T fetch_add(T amount, std::memory_order /*order*/) noexcept {
      const T before = value_.load(std::memory_order_relaxed);
      value_.store(before + amount, std::memory_order_relaxed);
      return before;
    }

   private:
    std::atomic<T> value_;
  };
};

using loop_account = basic_account<loop_atomics>;

/// What one connection holds while it is active: charged to it, and to its room where it has one.
///
/// Invariant: used_bytes() = bytes of its buffers; what is queued is charged to both or to none.
/// Progress: wait-free; a room's account lock-free.
/// Thread-safety: the loop's thread; used_bytes() from any.
/// Cost: 384 bytes an active connection; two loads and stores a charge, and with a room's budget
///   one read-modify-write.
class connection_budget {
 public:
  explicit connection_budget(const loop_account::settings& how) noexcept : own_(how) {}
  connection_budget(const connection_budget&) = delete;
  connection_budget& operator=(const connection_budget&) = delete;
  ~connection_budget() { own_.refund(own_.used_bytes()); }  // input; what was queued is refunded

  /// nullptr: none. While nothing is charged to it with try_charge().
  void enter(account* room) noexcept { room_ = room; }
  [[nodiscard]] account* room() const noexcept { return room_; }

  [[nodiscard]] bool try_charge(std::uint64_t bytes) noexcept {
    if (!own_.try_charge(bytes)) {
      return false;
    }
    if (room_ != nullptr && !room_->try_charge(bytes)) [[unlikely]] {
      own_.refund(bytes);
      return false;
    }
    return true;
  }
  void refund(std::uint64_t bytes) noexcept {
    own_.refund(bytes);
    if (room_ != nullptr) [[unlikely]] {
      room_->refund(bytes);
    }
  }

  /// From now on the connection's alone; `queued_bytes`: of what try_charge() charged.
  void leave(std::uint64_t queued_bytes) noexcept {
    if (room_ != nullptr) {
      room_->refund(queued_bytes);
      room_ = nullptr;
    }
  }

  /// What came and is no frame yet: the connection's alone.
  [[nodiscard]] bool try_charge_input(std::uint64_t bytes) noexcept {
    return own_.try_charge(bytes);
  }
  void refund_input(std::uint64_t bytes) noexcept { own_.refund(bytes); }

  [[nodiscard]] std::uint64_t used_bytes() const noexcept { return own_.used_bytes(); }
  [[nodiscard]] bool pressed() const noexcept { return own_.pressed(); }

 private:
  loop_account own_;
  account* room_ = nullptr;
};

/// A connection and what it holds.
struct heavy_peer {
  std::uint64_t bytes = 0;
  ::sockaddr_storage peer{};  ///< ss_family 0: unknown, as with direct descriptors
};

/// Those that hold most, the largest first, of all that were added; no heap.
class holder_list {
 public:
  static constexpr std::size_t most = 5;

  /// `fd`: of its socket; -1: its address is not to be had.
  void add(std::uint64_t bytes, int fd) noexcept;
  [[nodiscard]] const heavy_peer* begin() const noexcept { return holders_.data(); }
  [[nodiscard]] const heavy_peer* end() const noexcept { return holders_.data() + count_; }

 private:
  std::array<heavy_peer, most> holders_{};
  std::size_t count_ = 0;
};

}  // namespace ringpool::tools
