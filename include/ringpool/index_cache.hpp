// SPDX-License-Identifier: MIT
#pragma once

//   thread slot      1          2          3               gate_: one word that all owners read
//                +--------+ +--------+ +--------+          +------------------------------+
//                | seq    | | seq    | | seq    |          | raiders | target | ofcp  | L  |
//                | count  | | count  | | count  |          +------------------------------+
//                | items  | | items  | | items  |            L: items a cache may hold on the
//                |  ...   | |  ...   | |  ...   |               fast path, 0 while closed
//                +---|----+ +---|----+ +---|----+
//          refill / flush half  |          |  raid: everything, when the ring is empty
//                +---v----------v----------v----+
//                |          index_ring          |
//                +------------------------------+
//
// A stack of free buffers per thread slot, owned by the pool. The owner of a slot works with plain
// loads and stores between two marks in `seq` (odd: a call is under way). Any thread may take what
// is in other threads' caches (a raid), so that no buffer is stranded: the raider closes the gate
// for all, makes every thread pass a fence, and empties the caches whose owners are not under way.
// One comparison on the owner's fast path, items against L, finds all of: never used, empty, full,
// closed for a raid, closed under pressure, and shrunk.
//
// Edges (release -> acquire):
//   R1 -> A1  owner's end of a call -> raider, snapshot   items and level, once seq is even
//   R2 -> A2  change of the gate -> owner's look at it    a raider's level = 1
// Store-load pair (each side stores, fences, loads; at least one sees the other):
//   owner:  seq odd;   light_fence;  gate_        raider:  gate_ closed;  heavy_fence;  seq
// Where membarrier is refused L stays 0, every call takes the slow path, and that path fences.
// The same pair with a waiter in the raider's place: it closes the gate, fences, and waits for the
// calls that it sees under way; then it raids. Later calls miss, go to the ring and look at
// `waited`.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringpool/config.hpp"
#include "ringpool/detail/asymmetric_fence.hpp"
#include "ringpool/detail/counters.hpp"
#include "ringpool/detail/gate_state.hpp"
#include "ringpool/detail/slot_cache.hpp"
#include "ringpool/detail/slot_map.hpp"
#include "ringpool/detail/thread_slot.hpp"
#include "ringpool/index_ring.hpp"

namespace ringpool {

/// The caches of one pool over its ring of free indices. An item is a buffer's address.
///
/// Invariant: capacity = free in the ring + cached + held + inside unfinished calls.
/// Progress: try_pop, try_push: wait-free, bounded. The others: lock-free; a raid looks at all
///   caches once more only if an owner that kept items from it has ended a call meanwhile.
///   pop refuses only if at one moment every buffer was held, or inside another's unfinished call
///   (the cache of a suspended owner is inside its call).
/// Thread-safety: any thread, signal handlers included (a re-entered cache is missed, not touched).
/// Cost: hit: no read-modify-write, one quiet shared line. Miss: a bulk move of half a cache, and
///   one relaxed count. Raid: one membarrier, two exchanges, one line per cache.
template <class Policy>
class basic_index_cache {
 public:
  using slot_cache = detail::slot_cache<Policy>;
  using ring_type = basic_index_ring<typename Policy::atomics>;
  using slot_map = detail::slot_map;
  static constexpr std::size_t max_items = slot_cache::item_count;
  static_assert(sizeof(slot_cache) == detail::cache_stride_bytes);

  /// `ring` outlives the caches. `caches`: max_thread_slots zeroed slot_caches. `limit`: most items
  /// in one cache, at most max_items; 0 for no caches. `fenced`: membarrier is refused.
  void reset(ring_type& ring, slot_cache* caches, std::size_t limit, bool fenced) noexcept;

  /// Fast path: true and the hottest item, or false with nothing changed.
  [[nodiscard]] bool try_pop(std::uintptr_t& item) noexcept;
  /// Fast path: false with nothing changed when the cache is full, closed or re-entered.
  [[nodiscard]] bool try_push(std::uintptr_t item) noexcept;
  /// Fast path for many: take(i, item) for the hottest, at most `most`; returns how many.
  template <class Take>
  [[nodiscard]] std::size_t try_pop_each(std::size_t most, Take take) noexcept;
  /// Fast path for many: next(i) is item i, or 0, which no item is, to stop; at most `most`, while
  /// there is room.
  template <class Next>
  [[nodiscard]] std::size_t try_push_each(std::size_t most, Next next) noexcept;

  /// Own cache, ring, raid. False: refused (see Progress).
  [[nodiscard]] bool pop(const slot_map& map, std::uintptr_t& item) noexcept;
  void push(const slot_map& map, std::uintptr_t item) noexcept;

  /// As pop and push, many at once. pop_bulk returns less than asked for only if it was refused.
  [[nodiscard]] std::size_t pop_bulk(const slot_map& map, std::span<std::uintptr_t> out) noexcept;
  void push_bulk(const slot_map& map, std::span<const std::uintptr_t> items) noexcept;

  /// Gives what the caches of idle owners hold to the ring.
  void drain(const slot_map& map) noexcept;

  /// While somebody waits the gate is closed, so that every free takes the slow path and looks.
  /// Each queue of waiters, of at most 127, says so in turn: true, then false.
  void set_waited(bool waited) noexcept;
  /// After set_waited(true): returns when the other threads' calls that may not have seen it have
  /// ended, and what they cached can be raided. False: no fence was to be had, some may not.
  [[nodiscard]] bool settle() noexcept;
  /// After a slow call, or a push elsewhere: whether somebody waits who may have missed it.
  [[nodiscard]] bool waited() const noexcept {
    Policy::light_fence();
    return gate_state::waited_of(gate_.load(detail::seq_cst));
  }

  /// From now on, and before any call: about one pop in `interval` takes the slow path, at random.
  void set_sampling(std::size_t interval) noexcept { sample_interval_ = interval; }
  /// This thread's next pop is one of those.
  [[nodiscard]] bool tripped() const noexcept {
    return (own_cache().seq.load(detail::relaxed) & slot_cache::trip_bit) != 0;  // own word
  }
  /// Ends that, where no pop from the cache has.
  void rearm() noexcept;

  /// Counts a call that ended with nothing. False: no cache at hand; count it elsewhere.
  bool count_refusal() noexcept;

  [[nodiscard]] detail::cache_totals totals() const noexcept;
  [[nodiscard]] std::uint64_t raid_count() const noexcept { return raids_.load(detail::relaxed); }
  /// Items that one cache may hold now; 0 while closed.
  [[nodiscard]] std::size_t limit() const noexcept;

  /// In a forked child: ends the calls of threads that are no more.
  void after_fork(std::uint32_t own_slot) noexcept;

 private:
  template <class T>
  using atomic = typename Policy::atomics::template atomic<T>;
  using gate_state = detail::gate_state;

  /// An owner's call on its cache: marked in seq, the gate seen after the mark.
  struct visit {
    slot_cache* cache;  ///< nullptr: no cache, or re-entered
    std::uint64_t seq;
    std::size_t limit;  ///< items that the cache may hold; 0: hands off
  };

  [[nodiscard]] slot_cache& own_cache() const noexcept;
  static void end_missed(slot_cache& cache, std::uint64_t seq, std::uint64_t level) noexcept;
  [[nodiscard]] visit enter_fast() noexcept;
  [[nodiscard]] visit enter() noexcept;
  static void leave(const visit& now, bool served) noexcept;
  template <class Take>
  [[nodiscard]] static std::size_t take_items(const visit& now, std::size_t most,
                                              Take take) noexcept;
  template <class Next>
  [[nodiscard]] static std::size_t put_items(const visit& now, std::size_t most,
                                             Next next) noexcept;

  [[nodiscard]] std::uint64_t rearmed(const slot_cache& cache, std::uint64_t seq) const noexcept;
  [[nodiscard]] std::size_t take_own(std::span<std::uintptr_t> out) noexcept;
  [[nodiscard]] bool refill(const slot_map& map, std::uintptr_t& item) noexcept;
  [[nodiscard]] std::size_t stash(const slot_map& map, std::span<const slot_index> slots) noexcept;
  [[nodiscard]] std::size_t put_own(const visit& now, const slot_map& map,
                                    std::span<const std::uintptr_t> items,
                                    std::span<slot_index> out, std::size_t& out_count) noexcept;
  [[nodiscard]] std::size_t remove_coldest(slot_cache& cache, const slot_map& map,
                                           std::size_t count, std::span<slot_index> out) noexcept;
  void push_to_ring(std::span<const slot_index> slots) noexcept;

  [[nodiscard]] bool raid(const slot_map& map, std::uintptr_t& item) noexcept;
  struct sweep_result {
    std::size_t found = 0;          ///< items taken, in `out`
    std::uint64_t fingerprint = 0;  ///< as fingerprint(), at the moments of the looks
    bool every_owner_was_idle = true;
  };
  [[nodiscard]] sweep_result sweep(const slot_map& map, std::span<slot_index> out) noexcept;
  [[nodiscard]] std::size_t empty_out(slot_cache& cache, const slot_map& map,
                                      std::span<slot_index> out) noexcept;
  [[nodiscard]] std::uint64_t fingerprint() const noexcept;
  [[nodiscard]] static std::uint64_t mix(std::uint32_t slot, std::uint64_t seq) noexcept;
  struct raid_start {
    gate_state gate;
    bool ordered;  ///< owners have seen the closed gate, or are seen under way
  };
  [[nodiscard]] raid_start begin_raid() noexcept;
  enum class pressure : std::uint8_t { none, felt };
  void end_raid(bool clean, pressure why) noexcept;

  template <class Change>
  gate_state change_gate(Change change) noexcept;
  [[nodiscard]] gate_state gate() const noexcept;
  void reopen_if_slack() noexcept;
  void open_gate() noexcept;
  void retune() noexcept;
  [[nodiscard]] bool slack() const noexcept;
  [[nodiscard]] bool surely_spent() const noexcept;
  [[nodiscard]] std::uint16_t fair_share() const noexcept;

  // The first two words belong to the pool's hot line: see ring_buffer_pool.
  slot_cache* caches_ = nullptr;
  atomic<std::uint64_t> gate_{0};

  ring_type* ring_ = nullptr;
  std::size_t max_limit_ = 0;
  std::size_t sample_interval_ = 0;
  atomic<std::uint32_t> top_slot_{0};    ///< highest slot that ever used these caches
  atomic<std::uint32_t> calm_moves_{0};  ///< bulk moves since the last raid
  atomic<std::uint64_t> raids_{0};
  atomic<std::uint64_t> openings_{0};  ///< of the gate, counted before each
};

template <class Policy>
inline auto basic_index_cache<Policy>::own_cache() const noexcept -> slot_cache& {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): an array of slot_cache, by bytes
  return *reinterpret_cast<slot_cache*>(reinterpret_cast<std::byte*>(caches_) +
                                        Policy::thread_cache_offset());
}

/// Ends a call that was not served. It counts as ended (see raid) where it kept items from raiders.
template <class Policy>
inline void basic_index_cache<Policy>::end_missed(slot_cache& cache, std::uint64_t seq,
                                                  std::uint64_t level) noexcept {
  // R1 -> A1 (sweep, fingerprint, totals): level, items
  cache.seq.store(seq + (level > 1 ? 2 : 0), detail::release);
}

template <class Policy>
inline bool basic_index_cache<Policy>::try_pop(std::uintptr_t& item) noexcept {
  slot_cache& cache = own_cache();
  const std::uint64_t seq = cache.seq.load(detail::relaxed);  // own word
  if ((seq & (1 | slot_cache::trip_bit)) != 0) [[unlikely]] {
    return false;  // re-entered by a signal handler, or no slot; or its turn to be sampled
  }
  cache.seq.store(seq + 1, detail::relaxed);  // ordered by the fence pair
  Policy::light_fence();
  const std::uint64_t limit = gate_state::fast_limit(gate_.load(detail::acquire));  // A2 <- R2
  const std::uint64_t level = cache.level.load(detail::relaxed);  // own, or a raider's by A2
  const std::uint64_t top = level - 2;                            // wraps where there is no item
  if (top >= limit) [[unlikely]] {
    end_missed(cache, seq, level);
    return false;
  }
  item = cache.items[top].load(detail::relaxed);
  cache.level.store(level - 1, detail::relaxed);
  detail::add_single_writer(cache.allocs, std::uint64_t{1});
  // R1 -> A1 (sweep, fingerprint, totals): level, items
  cache.seq.store(seq + slot_cache::pop_step, detail::release);
  return true;
}

template <class Policy>
inline bool basic_index_cache<Policy>::try_push(std::uintptr_t item) noexcept {
  slot_cache& cache = own_cache();
  const std::uint64_t seq = cache.seq.load(detail::relaxed);  // own word
  if ((seq & 1) != 0) [[unlikely]] {
    return false;
  }
  cache.seq.store(seq + 1, detail::relaxed);  // ordered by the fence pair
  Policy::light_fence();
  const std::uint64_t limit = gate_state::fast_limit(gate_.load(detail::acquire));  // A2 <- R2
  const std::uint64_t level = cache.level.load(detail::relaxed);  // own, or a raider's by A2
  const std::uint64_t end = level - 1;  // wraps where the cache was never used
  if (end >= limit) [[unlikely]] {
    end_missed(cache, seq, level);
    return false;
  }
  cache.items[end].store(item, detail::relaxed);
  Policy::light_fence();  // a fork between the two stores: the child goes by level
  cache.level.store(level + 1, detail::relaxed);
  detail::add_single_writer(cache.frees, std::uint64_t{1});
  cache.seq.store(seq + 2, detail::release);  // R1 -> A1 (sweep, fingerprint, totals): level, items
  return true;
}

/// As enter, where the cache is in use already and membarrier does the fencing.
template <class Policy>
inline auto basic_index_cache<Policy>::enter_fast() noexcept -> visit {
  slot_cache& cache = own_cache();
  const std::uint64_t seq = cache.seq.load(detail::relaxed);  // own word
  if ((seq & 1) != 0) {
    return {nullptr, 0, 0};
  }
  cache.seq.store(seq + 1, detail::relaxed);  // ordered by the fence pair
  Policy::light_fence();
  const std::uint64_t limit = gate_state::fast_limit(gate_.load(detail::acquire));  // A2 <- R2
  return {&cache, seq, cache.level.load(detail::relaxed) == 0 ? 0 : limit};
}

template <class Policy>
inline void basic_index_cache<Policy>::leave(const visit& now, bool served) noexcept {
  if (now.cache == nullptr) {
    return;
  }
  if (served) {
    // R1 -> A1 (sweep, fingerprint, totals): level, items
    now.cache->seq.store(now.seq + 2, detail::release);
  } else {
    end_missed(*now.cache, now.seq, now.cache->level.load(detail::relaxed));
  }
}

template <class Policy>
inline bool basic_index_cache<Policy>::count_refusal() noexcept {
  const visit now = enter_fast();  // for the mark: the count has one writer
  const bool in_use = now.cache != nullptr && now.cache->level.load(detail::relaxed) != 0;
  if (in_use) {  // or totals would not look here
    detail::add_single_writer(now.cache->refusals, std::uint64_t{1});
  }
  leave(now, false);
  return in_use;
}

template <class Policy>
template <class Take>
inline std::size_t basic_index_cache<Policy>::take_items(const visit& now, std::size_t most,
                                                         Take take) noexcept {
  if (now.limit == 0) {
    return 0;
  }
  slot_cache& cache = *now.cache;
  const std::uint64_t level = cache.level.load(detail::relaxed);
  const std::size_t count = std::min<std::size_t>(most, level - 1);
  for (std::size_t i = 0; i < count; ++i) {
    take(i, cache.items[level - 2 - i].load(detail::relaxed));
  }
  cache.level.store(level - count, detail::relaxed);
  detail::add_single_writer(cache.allocs, std::uint64_t{count});
  return count;
}

template <class Policy>
template <class Next>
inline std::size_t basic_index_cache<Policy>::put_items(const visit& now, std::size_t most,
                                                        Next next) noexcept {
  if (now.limit == 0) {
    return 0;
  }
  slot_cache& cache = *now.cache;
  const std::uint64_t held = cache.level.load(detail::relaxed) - 1;
  const std::size_t room = held < now.limit ? std::min<std::size_t>(most, now.limit - held) : 0;
  std::size_t count = 0;
  for (std::uintptr_t item = 0; count < room && (item = next(count)) != 0; ++count) {
    cache.items[held + count].store(item, detail::relaxed);
  }
  Policy::light_fence();  // as in try_push
  cache.level.store(held + count + 1, detail::relaxed);
  detail::add_single_writer(cache.frees, std::uint64_t{count});
  return count;
}

template <class Policy>
template <class Take>
inline std::size_t basic_index_cache<Policy>::try_pop_each(std::size_t most, Take take) noexcept {
  visit now = enter_fast();
  const std::size_t count = take_items(now, most, take);
  now.seq += count == 0 ? 0 : count * slot_cache::pop_step - 2;
  leave(now, count != 0);
  return count;
}

template <class Policy>
template <class Next>
inline std::size_t basic_index_cache<Policy>::try_push_each(std::size_t most, Next next) noexcept {
  const visit now = enter_fast();
  const std::size_t count = put_items(now, most, next);
  leave(now, count != 0);
  return count;
}

namespace detail {

/// Production's policy: std::atomic, membarrier, slots of real threads.
struct production : asymmetric_atomics {
  using atomics = std_atomics;
  [[nodiscard]] static std::size_t thread_cache_offset() noexcept {
    return detail::thread_cache_offset();
  }
  static std::uint32_t ensure_thread_slot() noexcept { return detail::ensure_thread_slot(); }
  [[nodiscard]] static std::uint32_t live_thread_slots() noexcept {
    return detail::live_thread_slots();
  }
};

}  // namespace detail

using index_cache = basic_index_cache<detail::production>;
extern template class basic_index_cache<detail::production>;

}  // namespace ringpool
