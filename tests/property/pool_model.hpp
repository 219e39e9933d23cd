// SPDX-License-Identifier: MIT
#pragma once

//   words --> operation --> pool      --> what it did  --+
//                      \--> the model --> what is right --+--> equal, after every step
//
// One thread drives a set of pools through any sequence of calls. The model knows, for every call,
// whether it must succeed and from where; every buffer is stamped when it is taken and looked at
// until it is given back; and all statistics must equal the model's after each step.
// The Pool is a template parameter, so that pools with seeded bugs run through the same body.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "../support/misuse_recorder.hpp"
#include "pool_records.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool::test {

template <class Pool>
class pool_against_model {
 public:
  explicit pool_against_model(const pool_setup& setup)
      : options_(setup.options), pool_(setup.classes, setup.options) {
    for (const size_class& one : setup.classes) {
      class_model made;
      made.buffer_size = one.buffer_size;
      made.ring_size = one.capacity;
      const class_settings& own = one.settings;
      made.elastic_capacity = own.elastic_capacity.value_or(setup.options.elastic_capacity);
      made.lends = own.spill_limit.value_or(setup.options.spill.buffer_limit);
      classes_.push_back(made);
    }
  }
  ~pool_against_model() { give_back_without_looking(); }
  pool_against_model(const pool_against_model&) = delete;
  pool_against_model& operator=(const pool_against_model&) = delete;

  /// The first thing that was wrong, or "".
  [[nodiscard]] std::string run(const words& operations) {
    for (step_ = 0; step_ < operations.size() && problem_.empty(); ++step_) {
      do_one(operations[step_]);
      compare_statistics();
    }
    while (!held_.empty() && problem_.empty()) {
      give(held_.begin());
      compare_statistics();
    }
    return problem_;
  }

 private:
  using held_map = std::map<std::byte*, held_buffer>;
  enum class call : std::uint8_t { alloc, try_alloc, allocate, try_allocate };

  void wrong(const std::string& what) {
    if (problem_.empty()) {
      problem_ = "step " + std::to_string(step_) + ": " + what;
    }
  }
  void must(bool condition, const char* what) {
    if (!condition) {
      wrong(what);
    }
  }

  void do_one(std::uint32_t word) {
    const std::uint32_t rest = word / 16;
    switch (word % 16) {
      case 0:
      case 1: return take(call::alloc, pick_size(rest));
      case 2: return take(call::try_alloc, pick_size(rest));
      case 3:
      case 4: return take(call::allocate, pick_size(rest));
      case 5: return take(call::try_allocate, pick_size(rest));
      case 6: return take_bulk(pick_size(rest), 1 + rest / 64 % 7);
      case 7:
      case 8:
      case 9: return give_any(rest);
      case 10: return give_bulk(1 + rest % 7, rest / 8);
      case 11: return resize(rest);
      case 12: return take_nothing();
      case 13: return free_again(rest);
      case 14: return free_inside(rest);
      default: return (void)(rest % 2 == 0 ? pool_.trim(rest / 2 % 5) : pool_.decay());
    }
  }

  // ---- Taking
  // ------------------------------------------------------------------------------------

  /// Sizes around the classes' borders, some above the largest.
  [[nodiscard]] std::size_t pick_size(std::uint32_t rest) const {
    const std::size_t border = classes_[rest % classes_.size()].buffer_size;
    const std::size_t near[] = {border, border + 1, border > 1 ? border - 1 : 1, 1, border / 2 + 1};
    return near[rest / 8 % 5];
  }
  [[nodiscard]] std::size_t class_for(std::size_t size) const {
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      if (classes_[i].buffer_size >= size) {
        return i;
      }
    }
    return classes_.size() - 1;
  }

  /// Where a request must be served from, and by which class; none: it must be refused.
  struct source {
    buffer_origin origin;
    std::size_t class_number;
    bool lent = false;
  };
  [[nodiscard]] source right_source(std::size_t size, bool ring_alone) const {
    const std::size_t asked = class_for(size);
    const class_model& one = classes_[asked];
    const bool fits = size <= one.buffer_size;
    if (fits && one.ring_held < one.ring_size) {
      return {buffer_origin::ring, asked};
    }
    if (ring_alone) {
      return {buffer_origin::none, asked};
    }
    if (fits && one.elastic_held < one.elastic_capacity) {
      return {buffer_origin::elastic, asked};
    }
    const std::size_t end = std::min(asked + 1 + options_.spill.class_count, classes_.size());
    for (std::size_t i = asked + 1; fits && i < end; ++i) {
      if (classes_[i].lent < classes_[i].lends && classes_[i].ring_held < classes_[i].ring_size) {
        return {buffer_origin::ring, i, true};
      }
    }
    const bool within = upstream_bytes_ + size <= options_.upstream_budget_bytes;
    return {options_.upstream != nullptr && within ? buffer_origin::upstream : buffer_origin::none,
            asked};
  }

  void take(call how, std::size_t size) {
    const source right = right_source(size, how == call::try_alloc || how == call::try_allocate);
    buffer handle;
    std::byte* data = nullptr;
    switch (how) {
      case call::alloc: try { handle = pool_.alloc(size);
        } catch (const std::bad_alloc&) {
        }
        data = handle.data();
        break;
      case call::try_alloc:
        handle = pool_.try_alloc(size);
        data = handle.data();
        break;
      case call::allocate: data = static_cast<std::byte*>(pool_.allocate(size)); break;
      case call::try_allocate: data = static_cast<std::byte*>(pool_.try_allocate(size)); break;
    }
    if (handle) {
      must(handle.size() == size, "a handle has another size than asked for");
      must(handle.origin() == right.origin, "a handle has another origin than it must");
    }
    took(std::move(handle), data, size, right);
  }

  void take_bulk(std::size_t size, std::size_t count) {
    if (size > classes_.back().buffer_size) {
      return;
    }
    class_model& one = classes_[class_for(size)];
    void* out[8] = {};
    const std::size_t got = pool_.allocate_bulk(size, std::span(out).first(count));
    const std::uint64_t right = std::min<std::uint64_t>(count, one.ring_size - one.ring_held);
    must(got == right, "a bulk got another number than it must");
    for (std::size_t i = 0; i < got && problem_.empty(); ++i) {
      took({}, static_cast<std::byte*>(out[i]), one.buffer_size,
           {buffer_origin::ring, class_for(size)});
    }
    one.refusals += right < count ? 1 : 0;
  }

  void took(buffer handle, std::byte* data, std::size_t size, const source& from) {
    class_model& one = classes_[from.class_number];
    const buffer_origin right = from.origin;
    if (right == buffer_origin::none) {
      ++one.refusals;
      return must(data == nullptr, "served beyond what there is");
    }
    if (data == nullptr) {
      return wrong("refused though there was a buffer");
    }
    must(reinterpret_cast<std::uintptr_t>(data) % cache_line_bytes == 0, "not aligned");
    // Raw pointers are for what was asked for, as a memory checker sees it.
    const bool whole = static_cast<bool>(handle) && right != buffer_origin::upstream;
    const std::size_t visible = whole ? one.buffer_size : size;
    held_buffer taken{std::move(handle), from.class_number, from.lent, size, visible, right,
                      ++stamp_};
    must(!taken.handle || taken.handle.capacity() == taken.capacity, "another capacity");
    if (overlaps(data, taken.capacity)) {
      (void)taken.handle.release();
      return wrong("a buffer overlaps one that is held");
    }
    count_taken(one, taken);
    classes_[class_for(size)].spills += from.lent ? 1 : 0;
    // Upstream memory is whatever it is.
    must(options_.zero_on_free != zeroing::all || right == buffer_origin::upstream ||
             is_all(data, taken.capacity, 0),
         "stale bytes");
    std::memset(data, taken.stamp, taken.capacity);
    held_.emplace(data, std::move(taken));
  }

  void count_taken(class_model& one, const held_buffer& taken) {
    const bool ring = taken.origin == buffer_origin::ring;
    const bool elastic = taken.origin == buffer_origin::elastic;
    const bool upstream = taken.origin == buffer_origin::upstream;
    one.ring_held += ring;
    one.ring_allocs += ring;
    one.lent += taken.lent;
    one.elastic_held += elastic;
    one.elastic_allocs += elastic;
    one.upstream_held += upstream;
    one.upstream_allocs += upstream;
    one.oversize += upstream && taken.size > one.buffer_size;
    upstream_bytes_ += upstream ? taken.size : 0;
  }

  [[nodiscard]] bool overlaps(const std::byte* data, std::size_t bytes) const {
    auto next = held_.lower_bound(const_cast<std::byte*>(data));
    if (next != held_.end() && next->first < data + bytes) {
      return true;
    }
    return next != held_.begin() && (--next, next->first + next->second.capacity > data);
  }

  void take_nothing() {
    const buffer none = pool_.alloc(0);
    must(static_cast<bool>(none) && none.size() == 0, "alloc(0) is no valid handle of size 0");
    void* const raw = pool_.allocate(0);
    must(raw != nullptr, "allocate(0) gave nullptr");
    pool_.deallocate(raw);
    pool_.deallocate(nullptr);
  }

  // ---- Giving back
  // -------------------------------------------------------------------------------

  [[nodiscard]] static bool is_all(const std::byte* data, std::size_t bytes, unsigned char value) {
    return bytes == 0 || (*data == std::byte{value} && std::memcmp(data, data + 1, bytes - 1) == 0);
  }
  [[nodiscard]] static bool is_stamped(const std::byte* data, const held_buffer& one) {
    return is_all(data, one.capacity, one.stamp);
  }

  typename held_map::iterator pick(std::uint32_t rest) {
    auto one = held_.begin();
    std::advance(one, static_cast<std::ptrdiff_t>(rest % held_.size()));
    return one;
  }
  void give_any(std::uint32_t rest) {
    if (!held_.empty()) {
      give(pick(rest));
    }
  }

  /// Ends the model's part; the caller tells the pool.
  held_buffer forget(typename held_map::iterator where) {
    must(is_stamped(where->first, where->second), "a buffer changed while it was held");
    held_buffer one = std::move(where->second);
    class_model& home = classes_[one.class_number];
    home.ring_held -= one.origin == buffer_origin::ring;
    home.lent -= one.lent;
    home.elastic_held -= one.origin == buffer_origin::elastic;
    home.upstream_held -= one.origin == buffer_origin::upstream;
    upstream_bytes_ -= one.origin == buffer_origin::upstream ? one.size : 0;
    last_given_ = where->first;
    held_.erase(where);
    return one;
  }
  void give(typename held_map::iterator where) {
    std::byte* const data = where->first;
    held_buffer one = forget(where);
    if (!one.handle) {
      pool_.deallocate(data);
    } else if (one.stamp % 3 == 0) {
      pool_.deallocate(one.handle.release());
    } else {
      pool_.free(std::move(one.handle));
    }
  }

  void give_bulk(std::size_t count, std::uint32_t rest) {
    std::vector<void*> back;
    for (std::size_t i = 0; i < count && !held_.empty(); ++i) {
      const auto where = pick(rest + static_cast<std::uint32_t>(i) * 7);
      back.push_back(where->first);
      (void)forget(where).handle.release();
    }
    pool_.deallocate_bulk(back);
  }

  void resize(std::uint32_t rest) {
    if (held_.empty() || !pick(rest)->second.handle) {
      return;
    }
    const auto where = pick(rest);
    held_buffer& one = where->second;
    const std::size_t size = rest / 16 % (one.capacity + 2);  // one size is beyond the capacity
    const std::size_t before = one.handle.size();
    must(is_stamped(where->first, one), "a buffer changed while it was held");
    one.handle.resize(size);
    misuses_ += size > one.capacity ? 1 : 0;
    must(one.handle.size() == (size > one.capacity ? before : size), "resize set another size");
    must(one.handle.data() == where->first, "resize moved the buffer");
    std::memset(where->first, one.stamp, one.capacity);
  }

  // ---- Misuse
  // ------------------------------------------------------------------------------------

  void free_again(std::uint32_t rest) {
    if (last_given_ == nullptr || overlaps(last_given_, 1)) {
      return;
    }
    ++misuses_;
    if (rest % 2 == 0) {
      pool_.deallocate(last_given_);
    } else {
      void* const one[] = {last_given_};
      pool_.deallocate_bulk(one);
    }
  }
  void free_inside(std::uint32_t rest) {
    if (!held_.empty() && pick(rest)->second.capacity > 1) {
      ++misuses_;
      pool_.deallocate(pick(rest)->first + 1);
    }
  }

  // ---- Comparing
  // ---------------------------------------------------------------------------------

  void compare_statistics() {
    const multi_size_stats now = pool_.stats();
    std::uint64_t misuses = 0;
    std::uint64_t oversize = 0;
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      compare_class(classes_[i], now.classes[i]);
      must(now.classes[i].upstream_in_use_bytes == upstream_bytes_, "upstream_in_use_bytes");
      misuses += now.classes[i].misuse_count;
      oversize += classes_[i].oversize;
    }
    must(misuses == misuses_, "misuse_count");
    must(recorder_.count() == misuses_, "calls of the misuse handler");
    must(now.oversize_count == oversize, "oversize_count of the set");
    must(now.upstream_in_use_bytes == upstream_bytes_, "upstream_in_use_bytes of the set");
  }

  void compare_class(const class_model& right, const pool_stats& now) {
    must(now.buffer_size == right.buffer_size, "buffer_size");
    must(now.ring_size == right.ring_size, "ring_size");
    must(now.in_use == right.ring_held, "in_use");
    must(now.available == right.ring_size - right.ring_held, "available");
    must(now.alloc_count == right.allocs(), "alloc_count");
    must(now.free_count == right.allocs() - right.held(), "free_count");
    must(now.fallback_count == right.elastic_allocs + right.upstream_allocs, "fallback_count");
    must(now.elastic_capacity == right.elastic_capacity, "elastic_capacity");
    must(now.elastic_in_use == right.elastic_held, "elastic_in_use");
    must(now.elastic_alloc_count == right.elastic_allocs, "elastic_alloc_count");
    must(now.upstream_alloc_count == right.upstream_allocs, "upstream_alloc_count");
    must(now.oversize_count == right.oversize, "oversize_count");
    must(now.refusal_count == right.refusals, "refusal_count");
    must(now.spill_count == right.spills, "spill_count");
    must(now.spill_in_use == right.lent, "spill_in_use");
    must(now.cached <= now.available, "cached");
    must(now.peak_in_use >= now.in_use && now.peak_in_use <= now.ring_size, "peak_in_use");
  }

  /// After a problem nothing can be relied on: raw pointers are left to the pool's death.
  void give_back_without_looking() {
    for (auto& [data, one] : held_) {
      (void)one.handle.release();
    }
  }

  misuse_recorder recorder_;  // outlives the pool
  pool_options options_;
  Pool pool_;
  std::vector<class_model> classes_;
  held_map held_;
  std::byte* last_given_ = nullptr;
  std::uint64_t upstream_bytes_ = 0;
  std::uint64_t misuses_ = 0;
  std::size_t step_ = 0;
  unsigned char stamp_ = 0;
  std::string problem_;
};

}  // namespace ringpool::test
