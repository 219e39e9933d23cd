// SPDX-License-Identifier: MIT
#pragma once

// io_uring over a pool: target ringpool::uring, needs liburing 2.3 or newer and Linux 6.1.
//
//   pool --try_alloc--> receive_buffers --entry--> kernel          (kernel-owned: refill())
//                            |  ^                     |
//                            |  '---- empty slot      | completion with a buffer id
//                            v                        v
//                       buffer, size() = bytes received            (user-owned: take())
//                            |
//                            '--> dies on any thread, back to the pool          (free)
//
// What take() returns is an ordinary buffer of the pool: it may be kept, handed on, sent, freed on
// any thread and in any order. Its place in the kernel's ring is filled by refill() with the buffer
// that the pool has hottest, not with the one that was taken from it.
//
// Guarantees
// - A buffer is the kernel's, the user's, or free, and never two of these: the slot of a buffer id
//   holds its handle while the kernel may write to it, and take() empties it.
// - No buffer is lost: ~receive_buffers takes the ring from the kernel first, then frees its slots.
// - Bytes that the kernel reads for a send stay held until it says that it is done: send_ledger.
//
// Not used, and why: incremental consumption and bundles, see docs/millions.md.

#include <liburing.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool::uring {

/// Most entries of one provided-buffer ring (io_uring_register_buf_ring(3)).
inline constexpr unsigned max_ring_entries = 32768;
/// Bytes that one registered buffer can cover (io_uring_register_buffers(3)).
inline constexpr std::size_t max_registered_bytes = std::size_t{1} << 30;

/// What this kernel, or what filters its system calls, lacks of what is used here, as a sentence
/// for a person: empty when nothing is. Tries each thing out, on a ring of its own.
[[nodiscard]] std::string find_missing();

/// Throws std::system_error: `error` (positive) of the call `what`.
[[noreturn]] void throw_error(int error, const char* what);

/// Fewer entries, by halves, where the kernel has not the memory for as many.
struct ring_options {
  unsigned submission_entries = 256;   ///< rounded up to a power of two by the kernel
  unsigned completion_entries = 1024;  ///< likewise; what is beyond them waits in the kernel
  /// Entries of its table of sockets that have no descriptor number; at most RLIMIT_NOFILE, for
  /// each ring anew (io_uring_register_files_sparse(3)). 0: none.
  unsigned direct_descriptors = 0;
};

/// An io_uring of one thread, whose work the kernel puts off until that thread enters it
/// (IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN: Linux 6.1).
///
/// Invariant: entries handed out by next_entry() are submitted in order.
/// Progress: submit() and wait() are system calls; only wait() sleeps.
/// Thread-safety: made on any thread, the rest on the one that called enable().
/// Cost: about 64 bytes a submission and 16 a completion entry, kept by the kernel and mapped.
class ring {
 public:
  explicit ring(const ring_options& options);  // throws std::system_error
  ~ring();
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  /// Ties the ring to the calling thread. Throws std::system_error.
  void enable();

  /// The next submission entry, zeroed but for what io_uring_prep_*() sets. Submits first when all
  /// are taken. Never nullptr while completions are taken off in time: see room().
  [[nodiscard]] ::io_uring_sqe* next_entry() noexcept;
  /// True when `count` entries are free, after submitting those before if need be.
  [[nodiscard]] bool room(unsigned count) noexcept;

  /// Gives the kernel what was prepared and runs what it put off. One system call.
  void submit() noexcept;
  /// Likewise, and sleeps until there is a completion or `milliseconds` are over; -1: no limit.
  void submit_and_wait(int milliseconds) noexcept;

  /// Entries that were prepared and are not submitted.
  [[nodiscard]] unsigned prepared() const noexcept { return io_uring_sq_ready(&ring_); }
  /// The oldest completion, nullptr: none. Call seen() when it was dealt with.
  [[nodiscard]] ::io_uring_cqe* peek() noexcept {
    ::io_uring_cqe* found = nullptr;
    unsigned available = 0;
    return ::__io_uring_peek_cqe(&ring_, &found, &available) == 0 ? found : nullptr;
  }
  void seen(::io_uring_cqe* completion) noexcept { ::io_uring_cqe_seen(&ring_, completion); }
  /// True when no completion waits to be seen, neither here nor in the kernel.
  [[nodiscard]] bool all_seen() const noexcept {
    return io_uring_cq_ready(&ring_) == 0 && !io_uring_cq_has_overflow(&ring_);
  }

  /// Puts descriptors into the table from `first` on; they stay open. Throws std::system_error.
  void set_direct(unsigned first, std::span<const int> descriptors);

  /// From now on `event_fd`, an eventfd(2), is signalled when there are completions or work that
  /// was put off: for a thread that waits for several rings with epoll(7). The ring's own
  /// descriptor does not become readable for work that was put off. Throws std::system_error.
  void signal_to(int event_fd);
  /// Between false and true nothing is signalled: for as long as the ring is being looked at. After
  /// true look at has_work() once more: what came before is not signalled.
  void signal_completions(bool on) noexcept {
    static_cast<void>(::io_uring_cq_eventfd_toggle(&ring_, on));
    // Kernel: work, then "is it on?". Here: it is on, then "is there work?". One of them sees the
    // other, which takes a store that is not put off behind the load.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  /// True when there are completions, or work that submit() would run.
  [[nodiscard]] bool has_work() const noexcept {
    return ::io_uring_cq_ready(&ring_) != 0 || has_put_off();
  }
  [[nodiscard]] bool has_put_off() const noexcept {
    return (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0;
  }

  [[nodiscard]] ::io_uring& native() noexcept { return ring_; }

 private:
  ::io_uring ring_{};
};

namespace detail {

/// One provided-buffer ring as the kernel knows it.
class buffer_ring {
 public:
  buffer_ring(ring& owner, std::uint16_t group, unsigned entries);  // throws std::system_error
  ~buffer_ring();
  buffer_ring(const buffer_ring&) = delete;
  buffer_ring& operator=(const buffer_ring&) = delete;

  void add(std::byte* data, std::size_t bytes, std::uint16_t id, unsigned offset) noexcept {
    ::io_uring_buf_ring_add(ring_, data, static_cast<unsigned>(bytes), id,
                            static_cast<int>(entries_ - 1), static_cast<int>(offset));
  }
  void publish(unsigned count) noexcept {
    ::io_uring_buf_ring_advance(ring_, static_cast<int>(count));
  }
  /// Takes it from the kernel, with what is in it.
  void close() noexcept;
  /// Gives it to the kernel again, empty. 0, or an errno: it stays closed. Nothing if it is open.
  [[nodiscard]] int open() noexcept;

 private:
  ring& owner_;
  ::io_uring_buf_ring* ring_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  unsigned entries_;
  std::uint16_t group_;
  bool open_ = false;
};

}  // namespace detail

/// ring_buffer_pool, multi_size_ring_pool, or anything that gives out `buffer`s.
// clang-format off
template <class Pool>
concept buffer_pool = requires(Pool& pool, std::size_t size) {
  { pool.try_alloc(size) } noexcept -> std::same_as<buffer>;
};
// clang-format on

struct receive_options {
  std::uint16_t first_group = 0;  ///< buffer group id; further groups follow it
  unsigned entries = 256;         ///< most buffers the kernel may own; a power of two
  std::size_t buffer_bytes = 0;   ///< of each, as asked of the pool
};

/// Buffers of a pool that receives may fill, in as many provided-buffer rings as are needed: a ring
/// has at most 32,768 entries, and receives are spread over the rings by pick_group().
///
/// Invariant: entries = kernel_owned() + empty slots; a slot holds a buffer while the kernel may
///   write to it.
/// Progress: as the pool's try_alloc; no system call but in construction and destruction.
/// Thread-safety: the ring's thread. The buffers that take() returns: any.
/// Cost: one try_alloc a received buffer; 26 bytes an entry and the kernel's 16.
template <buffer_pool Pool>
class receive_buffers {
 public:
  /// Throws std::system_error: entries is no power of two, or what the kernel says.
  receive_buffers(ring& owner, Pool& pool, const receive_options& options)
      : owner_(owner), pool_(pool), options_(options) {
    if (options.entries == 0 || (options.entries & (options.entries - 1)) != 0) {
      throw_error(EINVAL, "receive_buffers: entries must be a power of two");
    }
    for (unsigned left = options.entries; left != 0;) {
      const unsigned some = left < max_ring_entries ? left : max_ring_entries;
      groups_.push_back(std::make_unique<group>(
          owner, static_cast<std::uint16_t>(options.first_group + groups_.size()), some));
      left -= some;
    }
  }
  receive_buffers(const receive_buffers&) = delete;
  receive_buffers& operator=(const receive_buffers&) = delete;

  /// Gives the kernel buffers until it owns `target` (at most entries) or the pool has none left.
  /// Returns how many it owns. Receives that ended with ENOBUFS are armed again by the caller, no
  /// more of them than this, with IORING_RECVSEND_POLL_FIRST: without it an armed receive on an
  /// empty ring ends at once, again and again.
  unsigned refill(unsigned target) noexcept {
    const auto count = static_cast<unsigned>(groups_.size());
    for (auto& one : groups_) {
      const unsigned share = target / count + (one == groups_.front() ? target % count : 0);
      kernel_owned_ += one->refill(pool_, options_.buffer_bytes, share);
    }
    return kernel_owned_;
  }

  /// Takes what the kernel owns beyond `target` back into the pool: the rings are made anew, with
  /// two system calls each. On the ring's thread nothing is received meanwhile, and receives that
  /// are armed go on. Nothing happens while completions wait to be seen: they may name buffers.
  /// Where the kernel has no memory for the new ring, receives end with ENOBUFS until refill() gets
  /// one.
  void shrink(unsigned target) noexcept {
    if (kernel_owned_ > target && owner_.all_seen()) {
      for (auto& one : groups_) {
        one->recall();
      }
      kernel_owned_ = 0;
      refill(target);
    }
  }

  /// The buffer that this completion of a receive filled, its size() what came; an empty handle if
  /// it has none. `group_id` is what the receive was armed with. Once a completion.
  [[nodiscard]] buffer take(const ::io_uring_cqe& completion, std::uint16_t group_id) noexcept {
    if ((completion.flags & IORING_CQE_F_BUFFER) == 0) {
      return {};
    }
    group& from = *groups_[static_cast<std::size_t>(group_id - options_.first_group)];
    buffer taken =
        from.take(static_cast<std::uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT));
    --kernel_owned_;
    taken.resize(completion.res > 0 ? static_cast<std::size_t>(completion.res) : 0);
    return taken;
  }

  /// The group to arm the next receive with: the one whose kernel-owned buffers are most.
  [[nodiscard]] std::uint16_t pick_group() const noexcept {
    std::size_t best = 0;
    for (std::size_t i = 1; i < groups_.size(); ++i) {
      best = groups_[i]->owned() > groups_[best]->owned() ? i : best;
    }
    return static_cast<std::uint16_t>(options_.first_group + best);
  }

  [[nodiscard]] unsigned kernel_owned() const noexcept { return kernel_owned_; }
  [[nodiscard]] unsigned entries() const noexcept { return options_.entries; }
  [[nodiscard]] std::size_t group_count() const noexcept { return groups_.size(); }

 private:
  class group {
   public:
    group(ring& owner, std::uint16_t id, unsigned entries)
        : slots_(entries), entry_ring_(owner, id, entries) {
      empty_.reserve(entries);
      for (unsigned i = entries; i != 0; --i) {
        empty_.push_back(static_cast<std::uint16_t>(i - 1));
      }
    }

    unsigned refill(Pool& pool, std::size_t bytes, unsigned target) noexcept {
      unsigned added = 0;
      if (entry_ring_.open() != 0) [[unlikely]] {
        return 0;
      }
      while (!empty_.empty() && owned() < target) {
        buffer fresh = pool.try_alloc(bytes);
        if (!fresh) {
          break;
        }
        const std::uint16_t id = empty_.back();
        empty_.pop_back();
        entry_ring_.add(fresh.data(), bytes, id, added++);
        slots_[id] = std::move(fresh);
      }
      if (added != 0) {
        entry_ring_.publish(added);
      }
      return added;
    }
    void recall() noexcept {
      entry_ring_.close();
      for (std::size_t id = 0; id < slots_.size(); ++id) {
        if (slots_[id]) {
          static_cast<void>(take(static_cast<std::uint16_t>(id)));
        }
      }
    }
    [[nodiscard]] buffer take(std::uint16_t id) noexcept {
      empty_.push_back(id);
      return std::move(slots_[id]);
    }
    [[nodiscard]] unsigned owned() const noexcept {
      return static_cast<unsigned>(slots_.size() - empty_.size());
    }

   private:
    std::vector<buffer> slots_;  // by buffer id; dies after entry_ring_, so after the kernel let go
    std::vector<std::uint16_t> empty_;
    detail::buffer_ring entry_ring_;
  };

  ring& owner_;
  Pool& pool_;
  receive_options options_;
  std::vector<std::unique_ptr<group>> groups_;
  unsigned kernel_owned_ = 0;
};

/// What the kernel reads from for sends under way. A send's completion is not always its end: one
/// with IORING_CQE_F_MORE (zero copy) is followed by another with IORING_CQE_F_NOTIF, and only then
/// may the bytes change.
///
/// Invariant: in_flight() = start() - sends that ended.
/// Progress: start() grows the table where all places are taken, else no call waits or allocates.
/// Thread-safety: the ring's thread.
/// Cost: sizeof(Handle) + 8 bytes a place.
template <std::movable Handle>
class send_ledger {
 public:
  /// Keeps `held` until its send has ended; a number for the entry's user_data.
  [[nodiscard]] std::uint32_t start(Handle&& held) {
    if (free_ == none) {
      places_.push_back({});
      places_.back().next = none;
      free_ = static_cast<std::uint32_t>(places_.size() - 1);
    }
    const std::uint32_t number = free_;
    free_ = places_[number].next;
    places_[number].held = std::move(held);
    ++in_flight_;
    return number;
  }
  /// A completion with this number. True when it was the last: what was held has been let go.
  bool complete(std::uint32_t number, const ::io_uring_cqe& completion) noexcept {
    if ((completion.flags & IORING_CQE_F_MORE) != 0) {
      return false;
    }
    places_[number].held = Handle{};
    places_[number].next = free_;
    free_ = number;
    --in_flight_;
    return true;
  }
  [[nodiscard]] const Handle& held(std::uint32_t number) const noexcept {
    return places_[number].held;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  struct place {
    Handle held{};
    std::uint32_t next = none;
  };
  std::vector<place> places_;
  std::uint32_t free_ = none;
  std::size_t in_flight_ = 0;
};

/// A pool's ring buffers, registered with a ring once and for all: sends and receives that name
/// them by index_of() spare the kernel the look-up of pages (io_uring_register_buffers(3)). Makes
/// all of that memory resident, and counts against RLIMIT_MEMLOCK where that is limited.
///
/// Invariant: every ring buffer of the pool lies whole in one registered piece.
/// Progress: construction and destruction are system calls.
/// Thread-safety: construction and destruction on the ring's thread, index_of() anywhere.
/// Cost: an index for each GiB or class; index_of() is a binary search over them.
class registered_memory {
 public:
  registered_memory(ring& owner, std::span<const ring_buffer_pool> pools);  // throws
  registered_memory(ring& owner, const ring_buffer_pool& pool)
      : registered_memory(owner, std::span(&pool, 1)) {}
  registered_memory(ring& owner, const multi_size_ring_pool& pool)
      : registered_memory(owner, pool.classes()) {}
  ~registered_memory();
  registered_memory(const registered_memory&) = delete;
  registered_memory& operator=(const registered_memory&) = delete;

  /// For io_uring_sqe::buf_index; -1: elastic, upstream, or of another pool.
  [[nodiscard]] int index_of(const void* data) const noexcept;

 private:
  ring& owner_;
  std::vector<::iovec> pieces_;  // by rising address
};

}  // namespace ringpool::uring
