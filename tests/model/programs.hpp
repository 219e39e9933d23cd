// SPDX-License-Identifier: MIT
#pragma once

// The concurrent core, its own source, on explored memory; and small programs over it.

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "history.hpp"
#include "model_atomic.hpp"
#include "ringpool/detail/index_cache_impl.hpp"
#include "ringpool/detail/index_ring_impl.hpp"
#include "ringpool/detail/thread_slot_table.hpp"

namespace ringpool::model {

using model_ring = basic_index_ring<model::atomics>;

/// Slots of model threads: thread n has slot n + 1, unless a test moves it, or there is a table.
struct policy {
  using atomics = model::atomics;
  using slot_table = detail::basic_thread_slot_table<atomics, 64>;
  static inline slot_table* table = nullptr;  ///< threads take their slots from it
  static inline std::array<std::uint32_t, max_threads + 1> slots{};
  static inline std::uint32_t live = 1;  ///< as the pool is told: makes caches larger or smaller

  static void light_fence() {}  // the compiler's order: views know no other
  static void full_fence() { model::full_fence(); }
  static detail::heavy_result heavy_fence() {
    model::membarrier();
    return detail::heavy_result::made;
  }
  static void pause(unsigned /*round*/) { model::yield(); }
  static std::size_t thread_cache_offset() {
    return slots[current_thread()] * detail::cache_stride_bytes;
  }
  static std::uint32_t ensure_thread_slot() {
    std::uint32_t& mine = slots[current_thread()];
    if (mine == 0 && table != nullptr && current_thread() != max_threads) {
      mine = table->take_lowest();
    }
    return mine;
  }
  /// As at the end of a thread; what runs on is a new one.
  static void end_thread() {
    if (const std::uint32_t mine = std::exchange(slots[current_thread()], 0); mine != 0) {
      table->release_slot(mine);
    }
  }
  static std::uint32_t live_thread_slots() { return live; }
};
using model_cache = basic_index_cache<policy>;

/// Zeroed storage for objects that production lays over fresh pages. Objects in it are never
/// destroyed: explored memory ends with the execution.
template <class T>
class zeroed {
 public:
  explicit zeroed(std::size_t count)
      : bytes_(new (std::align_val_t{128}) std::byte[count * sizeof(T)]) {
    std::memset(bytes_.get(), 0, count * sizeof(T));
  }
  [[nodiscard]] T* get() const { return reinterpret_cast<T*>(bytes_.get()); }

 private:
  struct release {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{128}); }
  };
  std::unique_ptr<std::byte[], release> bytes_;
};

/// Who owns each buffer, and its payload under the race detector.
class owners {
 public:
  static constexpr unsigned nobody = ~0U;
  explicit owners(std::size_t capacity) : owner_(capacity, nobody), payloads_(capacity) {}

  void take(std::size_t number) {
    require(number < owner_.size(), "a number that is none of the pool's");
    require(owner_[number] == nobody, "one buffer given to two owners");
    owner_[number] = current_thread();
    payloads_[number].write(current_thread());
  }
  void give(std::size_t number) {
    require(payloads_[number].read() == owner_[number], "the payload changed under its owner");
    owner_[number] = nobody;
  }
  /// Ends the ownership of who took the buffer before the threads ran, or since.
  void leave(std::size_t number) {
    owner_[number] == nobody ? payloads_[number].write(0) : give(number);
  }
  [[nodiscard]] std::size_t held() const {
    std::size_t count = 0;
    for (const unsigned owner : owner_) {
      count += owner != nobody ? 1 : 0;
    }
    return count;
  }

 private:
  std::vector<unsigned> owner_;
  std::vector<payload> payloads_;
};

/// Tells whether a refusal was justified: at one moment during the call, every buffer was held, or
/// inside a call of another thread that had not returned. What others did counts as done when it
/// happened before the refused call; from there to now, any moment may be the one. (That a call has
/// returned on a clock on the wall means nothing here: its last stores may still be on their way.)
class refusal_judge {
 public:
  explicit refusal_judge(std::size_t capacity) : capacity_(capacity) {}

  /// `inside`: buffers that the calling thread's call may keep from others.
  void begin(std::size_t inside) {
    note(inside);
    for (unsigned i = 0; i < max_threads; ++i) {
      known_[current_thread()][i] = known_events_of(i);
    }
  }
  void end(std::size_t held) {
    held_[current_thread()] = held;
    note(0);
  }
  void refused() const {
    const unsigned me = current_thread();
    std::size_t taken = held_[me];
    for (unsigned other = 0; other < max_threads; ++other) {
      taken += other == me ? 0 : most_taken_since(other, known_[me][other]);
    }
    require(taken >= capacity_, "refused although a buffer was free all the time");
  }

 private:
  struct event {
    std::uint32_t number;
    std::size_t taken;  ///< held, or inside the call that is under way
  };

  void note(std::size_t inside) {
    if (current_thread() != max_threads) {
      log_[current_thread()].push_back({new_event(), held_[current_thread()] + inside});
    }
  }
  [[nodiscard]] std::size_t most_taken_since(unsigned thread, std::uint32_t known) const {
    std::size_t most = 0;
    for (const event& one : log_[thread]) {
      most = one.number <= known ? one.taken : std::max(most, one.taken);
    }
    return most;
  }

  std::size_t capacity_;
  std::array<std::size_t, max_threads + 1> held_{};
  std::array<std::vector<event>, max_threads> log_;
  std::array<std::array<std::uint32_t, max_threads>, max_threads + 1> known_{};
};

/// One thread's script: 'a' takes a buffer, 'f' gives the oldest back, 'A' and 'F' two at once;
/// 't' takes all that is free out, as trim does, and back; 'x' ends the thread and starts another.
struct script_set {
  std::size_t capacity = 1;
  std::vector<std::string> threads;
  std::uint64_t first_cycle = 1;  ///< of the ring's tags
  bool fenced = false;            ///< caches: membarrier is refused
  std::uint32_t live = 1;         ///< caches: threads the pool believes in
  bool slots_from_table = false;  ///< caches: as threads come and go
};

/// Scripts over Pool, which has take(span) and give(span) of numbers, and inside() of a call.
template <class Pool>
class script_program final : public program {
 public:
  explicit script_program(const script_set& scripts)
      : scripts_(scripts),
        pool_(scripts),
        owners_(scripts.capacity),
        judge_(scripts.capacity),
        history_(scripts.capacity) {}

  [[nodiscard]] unsigned thread_count() const override {
    return static_cast<unsigned>(scripts_.threads.size());
  }

  void run_thread(unsigned number) override {
    for (const char command : scripts_.threads[number]) {
      switch (command) {
        case 'a': take(1); break;
        case 'A': take(2); break;
        case 'f': give(1); break;
        case 'F': give(2); break;
        case 't': trim(); break;
        case 'x': policy::end_thread(); break;
        default: require(false, "a command that there is not");
      }
    }
  }

  /// What nobody holds, and no parked thread keeps inside its call, can be had; and nothing more.
  void check_at_end(unsigned parked) override {
    const std::size_t held = owners_.held();
    const std::size_t inside = parked == max_threads ? 0 : inside_[parked];
    std::size_t got = 0;
    for (slot_index one{}; got <= scripts_.capacity && pool_.take({&one, 1}) == 1; ++got) {
      owners_.take(to_number(one));
    }
    require(held + got <= scripts_.capacity, "more buffers than there are");
    require(held + got + inside >= scripts_.capacity, "a buffer is lost");
    require(parked != max_threads || pool_.counted(allocs_ + got) == allocs_ + got,
            "the counters do not add up");
    if constexpr (requires { requires Pool::linearizable; }) {
      require(parked != max_threads || history_.is_linearizable(), "the calls have no order");
    }
  }

 private:
  void take(std::size_t count) {
    std::array<slot_index, 2> got{};
    begin(count);
    const std::size_t number = pool_.take({got.data(), count});
    history_.end(false, number);
    if (number == 0) {
      judge_.refused();
    }
    for (std::size_t i = 0; i < number; ++i) {
      owners_.take(to_number(got[i]));
      held_[current_thread()].push_back(got[i]);
    }
    allocs_ += number;
    end();
  }

  void give(std::size_t count) {
    std::vector<slot_index>& mine = held_[current_thread()];
    count = std::min(count, mine.size());
    const std::vector<slot_index> given(mine.begin(), mine.begin() + static_cast<int>(count));
    mine.erase(mine.begin(), mine.begin() + static_cast<int>(count));
    begin(count);
    for (const slot_index one : given) {
      owners_.give(to_number(one));
    }
    pool_.give(given);
    history_.end(true, given.size());
    end();
  }

  /// All that is free is inside this call.
  void trim() {
    inside_[current_thread()] = scripts_.capacity;
    judge_.begin(scripts_.capacity);
    if constexpr (requires { pool_.trim(); }) {
      pool_.trim();
    }
    end();
  }

  void begin(std::size_t count) {
    inside_[current_thread()] = pool_.inside(count);
    judge_.begin(inside_[current_thread()]);
    history_.begin();
  }
  void end() {
    inside_[current_thread()] = 0;
    judge_.end(held_[current_thread()].size());
  }

  script_set scripts_;
  Pool pool_;
  owners owners_;
  refusal_judge judge_;
  bag_history history_;
  std::array<std::vector<slot_index>, max_threads> held_;
  std::array<std::size_t, max_threads + 1> inside_{};
  std::size_t allocs_ = 0;
};

/// The ring alone.
class ring_pool {
 public:
  static constexpr bool linearizable = true;
  explicit ring_pool(const script_set& scripts)
      : entries_(model_ring::entry_count(scripts.capacity)), ring_(1) {
    ring_.get()->reset(entries_.get(), scripts.capacity, scripts.first_cycle);
  }
  std::size_t take(std::span<slot_index> out) { return ring_.get()->pop_bulk(out); }
  void give(std::span<const slot_index> slots) { ring_.get()->push_bulk(slots); }
  [[nodiscard]] static std::size_t inside(std::size_t count) { return count; }
  [[nodiscard]] static std::size_t counted(std::size_t made) { return made; }  // it counts nothing

 private:
  zeroed<model_ring::entry> entries_;
  zeroed<model_ring> ring_;
};

/// The caches over the ring, as ring_buffer_pool uses them. No memory stands behind the addresses.
/// Not linearizable: a call may be refused what is in the cache of a thread inside a call.
class cached_pool {
 public:
  explicit cached_pool(const script_set& scripts)
      : caches_(max_threads + 1),
        entries_(model_ring::entry_count(scripts.capacity)),
        ring_(1),
        cache_(1),
        table_(1) {
    policy::slots = {1, 2, 3, 4, 0};
    policy::table = nullptr;
    if (scripts.slots_from_table) {
      policy::slots = {};
      policy::table = table_.get();
      table_.get()->leave_only(0);
    }
    policy::live = scripts.live;
    ring_.get()->reset(entries_.get(), scripts.capacity, scripts.first_cycle);
    cache_.get()->reset(*ring_.get(), caches_.get(), model_cache::max_items, scripts.fenced);
    largest_ = cache_.get()->limit();
  }

  std::size_t take(std::span<slot_index> out) {
    std::size_t count = 0;
    std::uintptr_t item = 0;
    if (out.size() == 1) {
      count = cache_.get()->try_pop(item) || cache_.get()->pop(map_, item) ? 1 : 0;
      out[0] = slot_at(item);
    } else {
      std::array<std::uintptr_t, 2> items{};
      count = cache_.get()->try_pop_each(
          items.size(), [&](std::size_t i, std::uintptr_t popped) { items[i] = popped; });
      count += cache_.get()->pop_bulk(map_, std::span(items).subspan(count));
      for (std::size_t i = 0; i < count; ++i) {
        out[i] = slot_at(items[i]);
      }
    }
    return count;
  }

  void give(std::span<const slot_index> slots) {
    std::array<std::uintptr_t, 2> items{};
    for (std::size_t i = 0; i < slots.size(); ++i) {
      items[i] = map_.address_of(to_number(slots[i]));
    }
    if (slots.size() != 1) {
      const std::span<const std::uintptr_t> given(items.data(), slots.size());
      const std::size_t kept =
          cache_.get()->try_push_each(given.size(), [&](std::size_t i) { return given[i]; });
      cache_.get()->push_bulk(map_, given.subspan(kept));
    } else if (!cache_.get()->try_push(items[0])) {
      cache_.get()->push(map_, items[0]);
    }
  }

  /// The steps of ring_buffer_pool::trim, by the same calls.
  void trim() {
    cache_.get()->drain(map_);
    std::vector<slot_index> collected;
    for (slot_index one{}; ring_.get()->pop_returned({&one, 1}) == 1;) {
      collected.push_back(one);
    }
    for (const slot_index& one : collected) {
      ring_.get()->push_bulk({&one, 1});
    }
  }

  [[nodiscard]] std::size_t counted(std::size_t /*made*/) const {
    return cache_.get()->totals().alloc_count;
  }
  /// What a call may keep: what it was given or asks for, its thread's cache, and a refill's share
  /// or, for a raider, the largest cache that it can find.
  [[nodiscard]] std::size_t inside(std::size_t count) const {
    const std::uint32_t slot = policy::slots[current_thread()];
    std::uint64_t level = caches_.get()[slot].level.peek();
    for (std::uint32_t any = 1; slot == 0 && any <= max_threads; ++any) {  // it may get any slot
      level = std::max(level, caches_.get()[any].level.peek());
    }
    return count + (level == 0 ? 0 : level - 1) + largest_;
  }

 protected:
  [[nodiscard]] slot_index slot_at(std::uintptr_t item) const {
    return slot_index{static_cast<std::uint32_t>(map_.number_at(item))};
  }

  detail::slot_map map_ = detail::slot_map::make(4096, 64);
  zeroed<model_cache::slot_cache> caches_;
  zeroed<model_ring::entry> entries_;
  zeroed<model_ring> ring_;
  zeroed<model_cache> cache_;
  zeroed<policy::slot_table> table_;
  std::size_t largest_ = 0;
};

template <class Pool>
[[nodiscard]] program_factory factory(const script_set& scripts) {
  return [scripts] { return std::make_unique<script_program<Pool>>(scripts); };
}

}  // namespace ringpool::model
