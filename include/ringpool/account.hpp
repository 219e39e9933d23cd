// SPDX-License-Identifier: MIT
#pragma once

//   server   limit 1 GiB   <--- charge: all or nothing, up the chain ---+
//     room     limit 8 MiB   <--- room.alloc(pool, size) ---------------+---> charged_buffer
//
//   used  ----- limit: refused
//         ----- high:  on_mark(high), once     } between the two nothing is called
//         ----- low:   on_mark(low), once      }
//
// Edges (release -> acquire):
//   R1 -> A1  refund_own -> charge_own   what was done with the bytes before they were refunded

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "ringpool/detail/atomics.hpp"
#include "ringpool/error.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {

/// The marks of an account that its used bytes cross: high upwards, then low downwards.
enum class watermark : std::uint8_t { high, low };

template <class Account>
class basic_charged_buffer;

/// A budget of bytes, below the budget of a parent.
///
/// Invariant: used_bytes = charged - refunded, never less than 0 or above the limit; a mark is
/// crossed when pressed() changes,
///   high and low in turn, in one step with the bytes.
/// Progress: lock-free, a step for each account up the chain; on_mark is the user's.
/// Thread-safety: every member but construction and destruction, from any thread. Threads may be in
///   on_mark of one account at one time, and the later crossing's may end first: pressed() tells.
/// Cost: one compare-exchange of a shared line for each account up the chain, each way.
template <class Atomics>
class basic_account {
 public:
  static constexpr std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max() >> 1;

  struct settings {
    std::uint64_t limit_bytes = max_bytes;
    /// on_mark(high) when used bytes come to this; on_mark(low) when they are down to low_bytes,
    /// which is less. Marks above the limit are never reached.
    std::uint64_t high_bytes = max_bytes;
    std::uint64_t low_bytes = 0;
    /// Called on the thread that crossed the mark, with nothing locked: it may charge and refund.
    void (*on_mark)(basic_account& account, watermark crossed, void* context) noexcept = nullptr;
    void* context = nullptr;
    /// Charged too, and first to refuse for others; nullptr: none. Outlives this account.
    basic_account* parent = nullptr;
  };

  explicit basic_account(const settings& how) noexcept : settings_(how) {
    settings_.limit_bytes = std::min(settings_.limit_bytes, max_bytes);
  }
  basic_account(const basic_account&) = delete;
  basic_account& operator=(const basic_account&) = delete;

  /// Here and in every account above, or nowhere. False: one of them would be beyond its limit. A
  /// charge refused above is in the accounts below it for a moment: it may cross their marks, and
  /// refuse others.
  [[nodiscard]] bool try_charge(std::uint64_t bytes) noexcept {
    for (basic_account* one = this; one != nullptr; one = one->settings_.parent) {
      if (!one->charge_own(bytes)) {
        refund_below(one, bytes);
        one->refusals_.fetch_add(1, detail::relaxed);  // a count that stands for itself
        return false;
      }
    }
    return true;
  }
  /// What was charged, whole or in parts. More than is charged here, or above, is
  /// misuse_kind::excess_refund, and refunds nothing from there on.
  void refund(std::uint64_t bytes) noexcept { refund_below(nullptr, bytes); }

  /// A buffer of `pool`, charged with its capacity. Empty when an account refuses or the pool is
  /// spent. The account outlives the buffer. A pool is asked only after `size` bytes are charged.
  template <class Pool>
  [[nodiscard]] basic_charged_buffer<basic_account> alloc(Pool& pool, std::size_t size) noexcept;

  // relaxed, all: a snapshot; nothing is read on the strength of it
  [[nodiscard]] std::uint64_t used_bytes() const noexcept {
    return word_.load(detail::relaxed) >> 1;
  }
  /// The high mark was crossed, and the low mark not since.
  [[nodiscard]] bool pressed() const noexcept { return (word_.load(detail::relaxed) & 1) != 0; }
  /// Charges that this account refused, to itself and to those below.
  [[nodiscard]] std::uint64_t refusal_count() const noexcept {
    return refusals_.load(detail::relaxed);
  }
  [[nodiscard]] std::uint64_t limit_bytes() const noexcept { return settings_.limit_bytes; }
  [[nodiscard]] basic_account* parent() const noexcept { return settings_.parent; }
  [[nodiscard]] void* context() const noexcept { return settings_.context; }

 private:
  template <class T>
  using atomic = typename Atomics::template atomic<T>;

  [[nodiscard]] bool charge_own(std::uint64_t bytes) noexcept {
    std::uint64_t seen = word_.load(detail::relaxed);  // the exchange decides
    std::uint64_t next = 0;
    do {
      if (bytes > settings_.limit_bytes || (seen >> 1) > settings_.limit_bytes - bytes) {
        return false;
      }
      const std::uint64_t used = (seen >> 1) + bytes;
      next = used << 1 | (used >= settings_.high_bytes ? 1 : seen & 1);
      // A1 <- R1
    } while (!word_.compare_exchange_weak(seen, next, detail::acquire, detail::relaxed));
    tell(seen, next);
    return true;
  }

  [[nodiscard]] bool refund_own(std::uint64_t bytes) noexcept {
    std::uint64_t seen = word_.load(detail::relaxed);  // the exchange decides
    std::uint64_t next = 0;
    do {
      if (bytes > seen >> 1) [[unlikely]] {
        detail::report_misuse({misuse_kind::excess_refund, this, 0, 0, bytes - (seen >> 1)});
        return false;
      }
      const std::uint64_t used = (seen >> 1) - bytes;
      next = used << 1 | (used <= settings_.low_bytes ? 0 : seen & 1);
      // R1 -> A1 (charge_own): the bytes are free for others, and what was done with them is done
    } while (!word_.compare_exchange_weak(seen, next, detail::release, detail::relaxed));
    tell(seen, next);
    return true;
  }

  void refund_below(const basic_account* end, std::uint64_t bytes) noexcept {
    for (basic_account* one = this; one != end;) {
      basic_account* const above = one->settings_.parent;  // `one` may die once it is refunded
      if (!one->refund_own(bytes)) {
        return;
      }
      one = above;
    }
  }

  void tell(std::uint64_t before, std::uint64_t after) noexcept {
    if (((before ^ after) & 1) != 0 && settings_.on_mark != nullptr) [[unlikely]] {
      settings_.on_mark(*this, (after & 1) != 0 ? watermark::high : watermark::low,
                        settings_.context);
    }
  }

  settings settings_;
  // A line of its own: bytes used << 1 | pressed, so that marks are crossed in one step.
  alignas(contended_line_bytes) atomic<std::uint64_t> word_{0};
  atomic<std::uint64_t> refusals_{0};
};

using account = basic_account<detail::std_atomics>;
using charged_buffer = basic_charged_buffer<account>;

/// A buffer with its charge: gives the one back to its pool, then the other to its account.
///
/// Invariant: false exactly when it owns nothing; charged_bytes() are charged while it lives.
/// Progress: as the pool's deallocate, then account's refund.
/// Thread-safety: as a unique_ptr; may be handed to, and die on, any thread.
/// Cost: 40 bytes; destruction costs what the buffer's does, and a refund.
template <class Account>
class basic_charged_buffer {
 public:
  basic_charged_buffer() noexcept = default;
  /// Takes charge of both: `bytes` are charged to `payer` already.
  basic_charged_buffer(buffer&& owned, Account& payer, std::uint64_t bytes) noexcept
      : buffer_(std::move(owned)), account_(&payer), bytes_(bytes) {}
  basic_charged_buffer(basic_charged_buffer&& other) noexcept
      : buffer_(std::move(other.buffer_)),
        account_(std::exchange(other.account_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  basic_charged_buffer& operator=(basic_charged_buffer&& other) noexcept {
    basic_charged_buffer taken(std::move(other));
    buffer_.swap(taken.buffer_);
    std::swap(account_, taken.account_);
    std::swap(bytes_, taken.bytes_);
    return *this;
  }
  basic_charged_buffer(const basic_charged_buffer&) = delete;
  basic_charged_buffer& operator=(const basic_charged_buffer&) = delete;
  ~basic_charged_buffer() {
    buffer_.reset();  // first: bytes that are refunded can be had
    if (account_ != nullptr) {
      account_->refund(bytes_);
    }
  }

  // As buffer's.
  [[nodiscard]] std::byte* data() const noexcept { return buffer_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return buffer_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return buffer_.capacity(); }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return buffer_.span(); }
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }
  void resize(std::size_t size) noexcept { buffer_.resize(size); }
  void reset() noexcept { basic_charged_buffer(std::move(*this)); }

  [[nodiscard]] std::uint64_t charged_bytes() const noexcept { return bytes_; }
  [[nodiscard]] Account* payer() const noexcept { return account_; }
  /// The buffer alone: its charge is refunded now.
  [[nodiscard]] buffer uncharged() && noexcept {
    basic_charged_buffer taken(std::move(*this));
    return std::move(taken.buffer_);
  }

 private:
  buffer buffer_;
  Account* account_ = nullptr;
  std::uint64_t bytes_ = 0;
};

template <class Atomics>
template <class Pool>
auto basic_account<Atomics>::alloc(Pool& pool, std::size_t size) noexcept
    -> basic_charged_buffer<basic_account> {
  if (!try_charge(size)) {
    return {};
  }
  buffer got = pool.alloc(size, std::nothrow);
  const std::uint64_t whole_bytes = got ? got.capacity() : 0;
  if (!got || !try_charge(whole_bytes - size)) {
    got.reset();
    refund(size);
    return {};
  }
  return {std::move(got), *this, whole_bytes};
}

/// Accounts to choose from, when somebody has to go.
///
/// Invariant: an account is in it once at most.
/// Progress: blocking: a lock.
/// Thread-safety: every member but destruction, from any thread; not from signal handlers.
/// Cost: add, largest: the number of accounts; remove too.
class account_set {
 public:
  struct entry {
    account* who = nullptr;
    std::uint64_t used_bytes = 0;  ///< when it was looked at
  };

  /// In it already: nothing happens. It leaves the set before it dies. Throws std::bad_alloc.
  void add(account& one);
  /// Not in it: nothing happens.
  void remove(account& one) noexcept;
  [[nodiscard]] std::size_t size() const;
  /// The `count` that use most, or all, the largest first. Throws std::bad_alloc. Whoever uses them
  /// makes sure that none dies meanwhile.
  [[nodiscard]] std::vector<entry> largest(std::size_t count) const;

 private:
  mutable std::mutex mutex_;
  std::vector<account*> accounts_;
};

}  // namespace ringpool
