// SPDX-License-Identifier: MIT
#pragma once

//              alloc(size)                                   ~buffer / deallocate(pointer)
//                  |                                                     ^
//                  v                       hit: no lock prefix, no call  |
//   index_cache of this thread  ---- items are addresses ----------------+
//                  | empty                                          full |
//                  v                                                     v
//   index_ring      lock-free bag of free numbers   <--- half a cache ---+
//                  | empty
//                  v
//   raid            take what other threads' caches hold
//                  | nothing anywhere: try_alloc refuses, truly
//                  v
//   elastic         further buffers of the same range, committed on use, given back when idle
//                  | spent, or none
//                  v
//   spill           in a set: the rings of larger classes, within what they lend
//                  | spent, or none
//                  v
//   upstream        std::pmr::memory_resource within a budget of bytes
//                  | spent, or none: std::bad_alloc, nullptr

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <system_error>

#include "ringpool/arena.hpp"
#include "ringpool/buffer.hpp"
#include "ringpool/buffer_waiter.hpp"
#include "ringpool/config.hpp"
#include "ringpool/detail/buffer_state.hpp"
#include "ringpool/detail/fork_list.hpp"
#include "ringpool/detail/reference_count.hpp"
#include "ringpool/detail/sampling.hpp"
#include "ringpool/detail/slot_map.hpp"
#include "ringpool/detail/spill_budget.hpp"
#include "ringpool/detail/upstream.hpp"
#include "ringpool/detail/wait_queue.hpp"
#include "ringpool/error.hpp"
#include "ringpool/index_cache.hpp"
#include "ringpool/index_ring.hpp"
#include "ringpool/pool_options.hpp"
#include "ringpool/shared_buffer.hpp"
#include "ringpool/stats.hpp"

namespace ringpool {

namespace detail {
struct pool_layout;
struct pool_place;
}  // namespace detail

class alloc_awaitable;
struct async_options;
using shared_buffer = basic_shared_buffer<ring_buffer_pool>;

/// `capacity` buffers of `buffer_size` bytes each, cache-line aligned, on one range of addresses.
///
/// Invariant: ring_size = available + in_use at quiescence; a buffer has one owner.
/// Progress: try_allocate, try_alloc, allocate_bulk, deallocate, deallocate_bulk and handles:
///   wait-free on a cache hit, else lock-free; any thread may be suspended at any instruction.
///   allocate and alloc likewise until upstream is reached, which may block, as does the free of
///   an upstream block. trim, decay, construction and destruction may block in the kernel.
/// Thread-safety: every member but construction and destruction, from any thread; all but upstream
///   calls from signal handlers too. A forked child may use the pool.
/// Cost: hit: no read-modify-write; the pool's one hot line is shared and read only.
class alignas(2048) ring_buffer_pool {  // its size: a set goes from class to pool by a shift
 public:
  /// buffer_size: 1 .. max_buffer_size bytes. capacity: a power of two up to max_capacity.
  /// Throws std::system_error with a ringpool::errc, and a text of what was wrong and is accepted.
  ring_buffer_pool(std::size_t buffer_size, std::size_t capacity, pool_options options = {});
  /// As the constructor, without exceptions: nullptr and `error`. The handle's heap block is the
  /// one heap allocation.
  [[nodiscard]] static std::unique_ptr<ring_buffer_pool> create(std::size_t buffer_size,
                                                                std::size_t capacity,
                                                                const pool_options& options,
                                                                std::error_code& error) noexcept;
  /// Every buffer must have been given back: its memory goes. Upstream blocks are given back.
  ~ring_buffer_pool();
  ring_buffer_pool(const ring_buffer_pool&) = delete;
  ring_buffer_pool& operator=(const ring_buffer_pool&) = delete;

  /// Ring, elastic, upstream; a size above buffer_size() goes to upstream. size 0: a valid handle
  /// that uses no buffer. Throws std::bad_alloc when all are spent.
  [[nodiscard]] buffer alloc(std::size_t size);
  /// As alloc; an empty handle when all are spent.
  [[nodiscard]] buffer alloc(std::size_t size, const std::nothrow_t&) noexcept;
  /// The ring alone: an empty handle when every buffer is held, or size is above buffer_size().
  [[nodiscard]] buffer try_alloc(std::size_t size) noexcept;
  /// As alloc; when all are spent, or others wait already, waits: first come, first served. An
  /// empty handle at the deadline, and at once where the pool can never serve this size. Not from
  /// signal handlers.
  [[nodiscard]] buffer alloc_for(std::size_t size, std::chrono::nanoseconds timeout) noexcept;
  [[nodiscard]] buffer alloc_until(std::size_t size,
                                   std::chrono::steady_clock::time_point deadline) noexcept;
  /// `co_await pool.async_alloc(size)`: a buffer, without blocking the thread. See async_alloc.hpp.
  [[nodiscard]] alloc_awaitable async_alloc(std::size_t size) noexcept;
  [[nodiscard]] alloc_awaitable async_alloc(std::size_t size, async_options options) noexcept;
  /// Makes the waiter wait for its size; its callback may come before this returns. False: it will
  /// not be called, as the pool can never serve this size.
  [[nodiscard]] bool enqueue(buffer_waiter& waiter) noexcept;
  /// The first step of those: as alloc, uncounted where it fails; empty too where others wait.
  [[nodiscard]] buffer alloc_unless_waited_for(std::size_t size) noexcept;
  /// The same as letting the handle die.
  void free(buffer&& handle) noexcept { handle.reset(); }

  /// As alloc and try_alloc, raw; nullptr when all are spent.
  [[nodiscard]] void* allocate(std::size_t size) noexcept;
  [[nodiscard]] void* try_allocate(std::size_t size) noexcept;
  /// From any thread. nullptr: nothing happens. Pointers that are not out: the misuse handler.
  void deallocate(void* pointer) noexcept;

  /// The ring alone, buffer_size() bytes each. Returns how many it filled, from the front.
  [[nodiscard]] std::size_t allocate_bulk(std::span<void*> out) noexcept;
  void deallocate_bulk(std::span<void* const> pointers) noexcept;

  /// Gives the memory of free elastic buffers back to the system, until options().elastic_floor, or
  /// `keep_count`, have any; returns bytes. Meanwhile the free ones are in this call, and not to be
  /// had by others.
  std::size_t trim() noexcept { return trim(options_.elastic_floor); }
  std::size_t trim(std::size_t keep_count) noexcept;
  /// Trims if no elastic buffer was allocated for options().elastic_decay. Slow paths call it now
  /// and then; a server's timer makes sure of it.
  std::size_t decay() noexcept;

  [[nodiscard]] pool_stats stats() const noexcept;
  /// Calls visit(context, sample) for every held buffer that was sampled, see census.hpp.
  void each_sample(void (*visit)(void*, const detail::sample&), void* context) const noexcept;
  [[nodiscard]] const detail::sample_totals* samples() const noexcept { return samples_; }
  [[nodiscard]] std::size_t buffer_size() const noexcept { return buffer_size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] const pool_options& options() const noexcept { return options_; }
  [[nodiscard]] const memory_report& memory() const noexcept { return report_; }
  /// True for every address inside the pool's own range of buffers.
  [[nodiscard]] bool owns(const void* pointer) const noexcept;
  /// The memory of the ring's buffers, for whoever has to register it with a device or the kernel:
  /// capacity() pieces of equal size, each beginning with a buffer. Not to be read or written.
  [[nodiscard]] std::span<std::byte> ring_storage() const noexcept;

  // What handles ask for: see buffer_home and shared_buffer_home.
  void release(slot_index slot, std::byte* data, std::size_t used_bytes) noexcept;
  [[nodiscard]] std::size_t capacity_of(slot_index slot, const std::byte* data) const noexcept;
  [[nodiscard]] buffer_origin origin_of(slot_index slot) const noexcept;
  void shrink(std::byte* data, std::size_t to, std::size_t from) noexcept;
  void reject_resize(const std::byte* data) noexcept;
  [[nodiscard]] detail::reference_count* references_of(slot_index slot,
                                                       const std::byte* data) const noexcept;
  void reject_slice(const std::byte* data) noexcept;
  void reject_copy(const std::byte* data) noexcept;

 private:
  friend class multi_size_ring_pool;
  friend class buffer_waiter;
  friend class alloc_awaitable;

  using buffer_state = detail::buffer_state;
  enum class source : std::uint8_t { ring, any, any_for_waiter };
  enum class form : std::uint8_t { pointer, handle };  // to what was asked for, on all of a buffer

  /// A buffer given out, or nothing.
  struct placement {
    std::byte* data = nullptr;
    slot_index slot = empty_slot;
  };
  /// Not usable until place() succeeded.
  ring_buffer_pool(std::size_t buffer_size, std::size_t capacity, const pool_options& options,
                   std::nullptr_t /*unplaced*/) noexcept;
  [[nodiscard]] detail::failure build();
  [[nodiscard]] detail::failure place(const detail::pool_place& place);
  void lay_out(const detail::pool_layout& layout, std::byte* metadata, std::byte* region) noexcept;

  [[nodiscard]] placement take(std::size_t size, source from, form as) noexcept;
  [[nodiscard]] buffer handle(const placement& taken, std::size_t size) noexcept;
  [[nodiscard]] placement take_fast(std::size_t size) noexcept;
  [[nodiscard]] bool give_fast(std::uint64_t number, std::uintptr_t address) noexcept;
  RINGPOOL_COLD placement take_slow(std::size_t size, source from, form as) noexcept;
  [[gnu::noinline]] placement take_unsampled(std::size_t size, source from, form as) noexcept;
  placement take_sampled(std::size_t size, source from, form as, const void* site) noexcept;
  placement take_slow_at(std::size_t size, source from, form as, const void* site) noexcept;
  void prepare_sampling() noexcept;
  [[nodiscard]] bool miss_is_due() noexcept;
  void begin_sample(std::uint64_t number, std::size_t size, const void* site) noexcept;
  void end_special(std::uint64_t number, buffer_state seen) noexcept;
  RINGPOOL_COLD void give_slow(void* pointer, std::size_t used_bytes) noexcept;

  using wait_queue = detail::basic_wait_queue<detail::wait_policy>;
  struct sleeper;
  /// What a queue sees of the caches: the gates of ring and elastic, and of lenders' rings.
  struct spill_gate {
    ring_buffer_pool* pool;
    void set_waited(bool waited) const noexcept;
    [[nodiscard]] bool settle() const noexcept;
  };
  // The public ones, called from `site`.
  [[nodiscard]] buffer alloc_until(std::size_t size, std::chrono::steady_clock::time_point deadline,
                                   const void* site) noexcept;
  [[nodiscard]] buffer alloc_unless_waited_for(std::size_t size, const void* site) noexcept;
  [[nodiscard]] bool enqueue(buffer_waiter& waiter, const void* site) noexcept;
  [[nodiscard]] bool can_ever_serve(std::size_t size) const noexcept;
  [[nodiscard]] bool take_for(detail::wait_node& node) noexcept;
  void deliver_to(detail::wait_node& node) noexcept;
  /// After each step that may have put a buffer where one who waits has looked already.
  void look_for_waiters(source from = source::any) noexcept {
    if (cache_.waited() && from != source::any_for_waiter) [[unlikely]] {
      serve_waiters();
    }
  }
  RINGPOOL_COLD void serve_waiters() noexcept;
  std::size_t serve_own_waiters() noexcept;
  void serve_family() noexcept;
  void serve_waiters_for_upstream() noexcept;
  [[nodiscard]] wait_queue::added add_waiter(buffer_waiter& waiter) noexcept;
  [[nodiscard]] wait_queue::removal remove_waiter(buffer_waiter& waiter,
                                                  wait_queue::reason why) noexcept;

  void count_refusal(std::size_t size) noexcept;
  [[nodiscard]] RINGPOOL_COLD bool refuse_on_purpose(std::size_t size) noexcept;
  [[nodiscard]] placement take_elastic(std::size_t visible_bytes, source from) noexcept;
  [[nodiscard]] placement take_spilled(std::size_t size, source from, form as) noexcept;
  [[nodiscard]] placement lend(std::size_t visible_bytes, source from) noexcept;
  [[nodiscard]] ring_buffer_pool* lenders_end() noexcept;
  [[nodiscard]] ring_buffer_pool& home_of(const placement& taken) noexcept;
  void recount_lent() noexcept;
  [[nodiscard]] placement take_upstream(std::size_t size) noexcept;
  placement hand_out(std::uint64_t number, std::uintptr_t address,
                     std::size_t visible_bytes) noexcept;
  void prepare(std::uint64_t number, std::byte* data, std::size_t visible_bytes) noexcept;
  void clean(std::byte* data, std::size_t bytes) noexcept;
  [[nodiscard]] bool take_back(std::uint64_t number, std::byte* data, std::size_t bytes,
                               const void* site, buffer_state free = buffer_state::free) noexcept;
  [[nodiscard]] bool hardened_take_back(std::uint64_t number, std::byte* data, const void* site,
                                        buffer_state free) noexcept;
  void give_elastic(std::uintptr_t address) noexcept;
  void give_unknown(void* pointer) noexcept;
  void misused(misuse_kind kind, const void* pointer, std::uint64_t number) noexcept;

  void guard(std::uint64_t number, std::byte* data) noexcept;
  [[nodiscard]] std::uint64_t free_word() const noexcept;
  [[nodiscard]] bool starts_with(const std::byte* data, std::uint64_t word) const noexcept;
  [[nodiscard]] bool canary_intact(const std::byte* data) const noexcept;
  void collect_returned_elastic() noexcept;
  [[nodiscard]] std::size_t first_to_discard(std::size_t keep_count) const noexcept;
  std::size_t discard_collected_elastic(std::size_t keep_count) noexcept;
  std::size_t discard_run(std::size_t begin, std::size_t end) noexcept;
  void return_collected_elastic() noexcept;
  static void on_fork(void* self, detail::fork_phase phase) noexcept;

  [[nodiscard]] std::byte* empty_address() const noexcept { return region_end_; }
  [[nodiscard]] std::byte* region_start() const noexcept;
  [[nodiscard]] std::size_t region_bytes() const noexcept {
    return reinterpret_cast<std::uintptr_t>(region_end_) - map_.base;
  }

  // ---- Hot: one line, read by every call, written by raids alone (the gate, in cache_).
  detail::slot_map map_;          // of the ring's buffers
  std::uint64_t fast_slots_ = 0;  // frees below it may go fast; 0: hardened, checked, zeroing
  std::uint64_t fast_size_ = 0;   // requests of 1 .. it may; 0: hardened, checked, faults
  std::atomic<buffer_state>* states_ = nullptr;
  index_cache cache_;

  // ---- Warm: misses.
  index_ring ring_;

  // ---- Cold.
  std::size_t buffer_size_;
  std::size_t capacity_;
  pool_options options_;
  detail::reference_count* references_ = nullptr;  // its pages untouched until a buffer is shared
  detail::sample_totals* samples_ = nullptr;       // and a record for each buffer behind them
  std::byte* region_end_ = nullptr;                // unreachable: what a request of 0 bytes gets
  detail::slot_map elastic_map_;
  index_ring elastic_ring_;
  index_cache elastic_cache_;
  detail::free_history* histories_ = nullptr;
  bool checked_ = false;  // detail::memory_checker watches the buffers
  memory_report report_;
  detail::upstream_ledger* upstream_ = nullptr;  // own_upstream_, or the set's

  std::atomic<std::uint64_t> upstream_allocs_{0};
  std::atomic<std::uint64_t> upstream_frees_{0};
  std::atomic<std::uint64_t> oversize_{0};
  std::atomic<std::uint64_t> refusals_{0};
  std::atomic<std::uint64_t> misuses_{0};
  std::atomic<std::uint64_t> injected_{0};

  wait_queue waiters_;
  ring_buffer_pool* family_ = this;  // the pools that share upstream_, by rising size
  std::size_t family_size_ = 1;
  detail::spill_budget lent_;
  std::atomic<std::uint64_t> spills_{0};

  std::atomic<bool> trimming_{false};
  std::atomic<std::uint64_t> decay_seen_allocs_{0};
  std::atomic<std::int64_t> decay_looked_ms_{0};
  std::atomic<std::int64_t> decay_changed_ms_{0};
  std::atomic<bool> elastic_dirty_{false};
  std::atomic<std::uint64_t> elastic_committed_{0};  // buffers

  arena own_arena_;                       // empty in a set
  detail::upstream_ledger own_upstream_;  // unused in a set
  detail::fork_node fork_node_;
};

// ---- Fast path ----------------------------------------------------------------------------------

inline auto ring_buffer_pool::take_fast(std::size_t size) noexcept -> placement {
  std::uintptr_t address = 0;
  if (size - 1 >= fast_size_ || !cache_.try_pop(address)) [[unlikely]] {
    return {};
  }
  const std::uint64_t number = map_.number_at(address);
  states_[number].store(buffer_state::held, detail::relaxed);  // this thread's buffer now
  // NOLINTNEXTLINE(performance-no-int-to-ptr): items are addresses
  return {reinterpret_cast<std::byte*>(address), slot_index{static_cast<std::uint32_t>(number)}};
}

inline bool ring_buffer_pool::give_fast(std::uint64_t number, std::uintptr_t address) noexcept {
  if (number >= fast_slots_) [[unlikely]] {
    return false;
  }
  // relaxed: the caller owns the buffer, or misuses it; racing misuse is for hardened pools
  if (states_[number].load(detail::relaxed) != buffer_state::held) [[unlikely]] {
    return false;
  }
  states_[number].store(buffer_state::free, detail::relaxed);  // published by the push
  if (cache_.try_push(address)) [[likely]] {
    return true;
  }
  states_[number].store(buffer_state::held, detail::relaxed);
  return false;
}

RINGPOOL_INLINE auto ring_buffer_pool::take(std::size_t size, source from, form as) noexcept
    -> placement {
  if (const placement hit = take_fast(size); hit.data != nullptr) [[likely]] {
    return hit;
  }
  return take_slow(size, from, as);
}

inline buffer ring_buffer_pool::handle(const placement& taken, std::size_t size) noexcept {
  return taken.data == nullptr ? buffer{} : buffer{*this, taken.data, size, taken.slot};
}

RINGPOOL_INLINE buffer ring_buffer_pool::alloc(std::size_t size) {
  const placement taken = take(size, source::any, form::handle);
  if (taken.data == nullptr) [[unlikely]] {
    detail::throw_bad_alloc();
  }
  return {*this, taken.data, size, taken.slot};
}

RINGPOOL_INLINE buffer ring_buffer_pool::alloc(std::size_t size, const std::nothrow_t&) noexcept {
  return handle(take(size, source::any, form::handle), size);
}

RINGPOOL_INLINE buffer ring_buffer_pool::try_alloc(std::size_t size) noexcept {
  return handle(take(size, source::ring, form::handle), size);
}

RINGPOOL_INLINE void* ring_buffer_pool::allocate(std::size_t size) noexcept {
  return take(size, source::any, form::pointer).data;
}

RINGPOOL_INLINE void* ring_buffer_pool::try_allocate(std::size_t size) noexcept {
  return take(size, source::ring, form::pointer).data;
}

RINGPOOL_INLINE void ring_buffer_pool::deallocate(void* pointer) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (!give_fast(map_.number_at(address), address)) [[unlikely]] {
    give_slow(pointer, max_buffer_size);
  }
}

RINGPOOL_INLINE void ring_buffer_pool::release(slot_index slot, std::byte* data,
                                               std::size_t used_bytes) noexcept {
  if (!give_fast(to_number(slot), reinterpret_cast<std::uintptr_t>(data))) [[unlikely]] {
    give_slow(data, used_bytes);
  }
}

// ---- Shared handles -----------------------------------------------------------------------------

inline detail::reference_count* ring_buffer_pool::references_of(
    slot_index slot, const std::byte* data) const noexcept {
  if (to_number(slot) < to_number(empty_slot)) [[likely]] {
    return references_ + to_number(slot);
  }
  return slot == upstream_slot ? &detail::upstream_ledger::references_of(data) : nullptr;
}

}  // namespace ringpool
