// SPDX-License-Identifier: MIT
#include "ringpool/ring_buffer_pool.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "memory_checker.hpp"
#include "pool_layout.hpp"
#include "ringpool/detail/probes.hpp"
#include "ringpool/fault_plan.hpp"

// All atomics here are relaxed: counters that stand for themselves, and states of buffers that
// belong to the calling thread; the push and pop of a buffer order the rest.

namespace ringpool {
namespace {

constexpr std::uint64_t canary = 0x5ca1ab1e0ddba11dULL;
constexpr std::uint64_t poison = 0xdeadb0ffdeadb0ffULL;
constexpr std::size_t looked_at_bytes = 16;  // of a free buffer, in hardened pools

}  // namespace

// ---- Construction -------------------------------------------------------------------------------

ring_buffer_pool::ring_buffer_pool(std::size_t buffer_size, std::size_t capacity,
                                   const pool_options& options, std::nullptr_t) noexcept
    : buffer_size_(buffer_size),
      capacity_(capacity),
      options_(options),
      fork_node_(this, &on_fork) {
  static_assert(offsetof(ring_buffer_pool, states_) + sizeof(void*) + 2 * sizeof(std::uint64_t) ==
                    cache_line_bytes,
                "the map, the limits, the states and the cache's first two words are one line");
  static_assert(sizeof(buffer) == 24 && sizeof(shared_buffer) == 32);
}

ring_buffer_pool::ring_buffer_pool(std::size_t buffer_size, std::size_t capacity,
                                   pool_options options)
    : ring_buffer_pool(buffer_size, capacity, options, nullptr) {
  if (const detail::failure why = build(); why.failed()) {
    detail::throw_failure(why);
  }
}

std::unique_ptr<ring_buffer_pool> ring_buffer_pool::create(std::size_t buffer_size,
                                                           std::size_t capacity,
                                                           const pool_options& options,
                                                           std::error_code& error) noexcept {
  std::unique_ptr<ring_buffer_pool> pool(
      new (std::nothrow) ring_buffer_pool(buffer_size, capacity, options, nullptr));
  const errc code = pool == nullptr ? errc::out_of_memory : pool->build().code;
  error = code == errc{} ? std::error_code{} : make_error_code(code);
  if (error) {
    pool.reset();
  }
  return pool;
}

detail::failure ring_buffer_pool::build() {
  detail::pool_layout layout;
  if (detail::failure why = layout.plan(buffer_size_, capacity_, options_); why.failed()) {
    return why;
  }
  const std::size_t region = layout.region_offset_after(detail::buckets_bytes);
  if (detail::failure why = own_arena_.reserve(region + layout.region_bytes); why.failed()) {
    return why;
  }
  if (detail::failure why = own_arena_.commit(0, detail::buckets_bytes); why.failed()) {
    return why;
  }
  own_upstream_.reset(options_.upstream, options_.upstream_budget_bytes,
                      reinterpret_cast<detail::upstream_ledger::block**>(own_arena_.data()));
  return place({layout, own_arena_, own_upstream_, detail::buckets_bytes, region});
}

detail::failure ring_buffer_pool::place(const detail::pool_place& place) {
  const detail::pool_layout& layout = place.layout;
  arena& memory = place.memory;
  detail::failure why = memory.commit(place.metadata_offset, layout.metadata_bytes);
  if (!why.failed()) {
    why = memory.commit(place.region_offset, layout.ring_bytes + layout.elastic_bytes);
  }
  if (!why.failed()) {
    why = memory.prepare(place.region_offset, layout.ring_bytes, options_.memory, report_);
  }
  if (!why.failed()) {  // every call writes to them: a fault there is no better than in a buffer
    memory_options small_pages = options_.memory;
    small_pages.pages = huge_pages::none;
    memory_report of_metadata;
    why = memory.prepare(place.metadata_offset, layout.caches_offset, small_pages, of_metadata);
  }
  if (why.failed()) {
    return why;
  }
  report_.reserved_bytes = memory.size_bytes();

  detail::prepare_thread_slots();
  lay_out(layout, memory.data() + place.metadata_offset, memory.data() + place.region_offset);
  upstream_ = &place.upstream;
  return {};
}

/// Points the parts at their places in committed, zeroed memory.
void ring_buffer_pool::lay_out(const detail::pool_layout& layout, std::byte* metadata,
                               std::byte* region) noexcept {
  const bool fenced = !options_.use_membarrier || !detail::membarrier_available();
  region_end_ = region + layout.ring_bytes + layout.elastic_bytes;
  states_ = reinterpret_cast<std::atomic<buffer_state>*>(metadata + layout.states_offset);
  map_ = detail::slot_map::make(reinterpret_cast<std::uintptr_t>(region), layout.stride);
  ring_.reset(reinterpret_cast<index_ring::entry*>(metadata + layout.ring_offset), capacity_);
  cache_.reset(ring_, reinterpret_cast<index_cache::slot_cache*>(metadata + layout.caches_offset),
               options_.cache_limit, fenced);
  if (options_.elastic_capacity != 0) {
    elastic_map_ = detail::slot_map::make(
        reinterpret_cast<std::uintptr_t>(region + layout.ring_bytes), layout.stride);
    elastic_ring_.reset(reinterpret_cast<index_ring::entry*>(metadata + layout.elastic_ring_offset),
                        options_.elastic_capacity);
    elastic_cache_.reset(
        elastic_ring_,
        reinterpret_cast<index_cache::slot_cache*>(metadata + layout.elastic_caches_offset),
        options_.cache_limit, fenced);
  }
  histories_ = options_.hardened
                   ? reinterpret_cast<detail::free_history*>(metadata + layout.histories_offset)
                   : nullptr;
  references_ = reinterpret_cast<detail::reference_count*>(metadata + layout.references_offset);
  samples_ = options_.sampling.interval != 0
                 ? reinterpret_cast<detail::sample_totals*>(metadata + layout.samples_offset)
                 : nullptr;
  checked_ = layout.checked;
  const bool slow = options_.hardened || checked_;
  fast_size_ = slow || options_.faults != nullptr ? 0 : buffer_size_;
  fast_slots_ = slow || options_.zero_on_free != zeroing::none ? 0 : capacity_;
  if (checked_) {
    detail::memory_checker::adopt(region, region_bytes());
  }
  if (samples_ != nullptr) {
    prepare_sampling();
  }
}

ring_buffer_pool::~ring_buffer_pool() {
  if (const std::uint64_t waiting = waiters_.totals().waiting; waiting != 0) {
    detail::report_misuse({misuse_kind::waiting_at_destruction, nullptr, buffer_size_, 0, waiting});
    waiters_.abandon(detail::wait_node::phase::served,
                     [&](detail::wait_node& node) { deliver_to(node); });
  }
  if ((options_.hardened || samples_ != nullptr) && upstream_ != nullptr) {
    const pool_stats last = stats();
    const std::uint64_t upstream_blocks =
        last.upstream_alloc_count - upstream_frees_.load(detail::relaxed);
    const std::uint64_t outstanding = last.in_use + last.elastic_in_use + upstream_blocks;
    if (outstanding != 0 && samples_ != nullptr) {
      detail::report_leak(*this, outstanding);
    }
    if (outstanding != 0 && options_.hardened) {
      detail::report_misuse(
          {misuse_kind::outstanding_buffers, nullptr, buffer_size_, 0, outstanding});
    }
  }
  if (checked_) {
    detail::memory_checker::forget(region_start(), region_bytes());
  }
}

// ---- Giving out ---------------------------------------------------------------------------------

auto ring_buffer_pool::take_slow(std::size_t size, source from, form as) noexcept -> placement {
  return take_slow_at(size, from, as, __builtin_return_address(0));
}

auto ring_buffer_pool::take_slow_at(std::size_t size, source from, form as,
                                    const void* site) noexcept -> placement {
  return samples_ == nullptr ? take_unsampled(size, from, as) : take_sampled(size, from, as, site);
}

auto ring_buffer_pool::take_unsampled(std::size_t size, source from, form as) noexcept
    -> placement {
  if (size == 0) {
    return {empty_address(), empty_slot};
  }
  if (fast_size_ == 0 && from != source::any_for_waiter && refuse_on_purpose(size)) [[unlikely]] {
    return {};
  }
  std::uintptr_t address = 0;
  const std::size_t visible_bytes = as == form::handle ? buffer_size_ : size;
  if (size <= buffer_size_) {
    const bool first_try = fast_size_ == 0;  // else the fast path has missed already
    if (first_try && cache_.try_pop(address)) {
      return hand_out(map_.number_at(address), address, visible_bytes);
    }
    if (cache_.pop(map_, address)) {
      look_for_waiters(from);  // a refill or a raid has given to the ring what it had too many
      return hand_out(map_.number_at(address), address, visible_bytes);
    }
    if (from != source::ring) {
      if (const placement found = take_elastic(visible_bytes, from); found.data != nullptr) {
        return found;
      }
      if (options_.spill.class_count != 0) [[unlikely]] {
        if (const placement found = take_spilled(size, from, as); found.data != nullptr) {
          return found;
        }
      }
    }
  }
  if (from != source::ring) {
    if (const placement found = take_upstream(size); found.data != nullptr) {
      return found;
    }
  }
  if (from != source::any_for_waiter) {
    count_refusal(size);
  }
  return {};
}

void ring_buffer_pool::count_refusal(std::size_t size) noexcept {
  detail::probes::refusal(this, buffer_size_, size);
  if (!cache_.count_refusal()) {
    refusals_.fetch_add(1, detail::relaxed);
  }
}

auto ring_buffer_pool::take_elastic(std::size_t visible_bytes, source from) noexcept -> placement {
  std::uintptr_t address = 0;
  if (options_.elastic_capacity == 0) {
    return {};
  }
  if (!elastic_cache_.try_pop(address)) {
    if (!elastic_cache_.pop(elastic_map_, address)) {
      return {};
    }
    look_for_waiters(from);
  }
  const std::uint64_t number = capacity_ + elastic_map_.number_at(address);
  if (states_[number].load(detail::relaxed) == buffer_state::free) [[unlikely]] {
    elastic_committed_.fetch_add(1, detail::relaxed);
  }
  detail::probes::elastic(this, buffer_size_);
  return hand_out(number, address, visible_bytes);
}

auto ring_buffer_pool::take_upstream(std::size_t size) noexcept -> placement {
  std::byte* const data = size > max_buffer_size ? nullptr : upstream_->allocate(size, this);
  if (data == nullptr) {
    return {};
  }
  detail::probes::upstream(this, buffer_size_, size);
  upstream_allocs_.fetch_add(1, detail::relaxed);
  if (size > buffer_size_) {
    oversize_.fetch_add(1, detail::relaxed);
  }
  return {data, upstream_slot};
}

auto ring_buffer_pool::hand_out(std::uint64_t number, std::uintptr_t address,
                                std::size_t visible_bytes) noexcept -> placement {
  auto* const data = reinterpret_cast<std::byte*>(address);
  if (fast_size_ == 0) [[unlikely]] {
    prepare(number, data, visible_bytes);
  }
  states_[number].store(buffer_state::held, detail::relaxed);  // this thread's buffer now
  return {data, slot_index{static_cast<std::uint32_t>(number)}};
}

/// Hardened and checked pools, and those with a plan of faults: what is due before a buffer is
/// given out.
void ring_buffer_pool::prepare(std::uint64_t number, std::byte* data,
                               std::size_t visible_bytes) noexcept {
  if (checked_) {
    using content = detail::memory_checker::content;
    const bool zero = options_.zero_on_free == zeroing::all;
    detail::memory_checker::give(region_start(), data, visible_bytes,
                                 zero ? content::zero : content::undefined);
  } else if (options_.hardened) {
    guard(number, data);
  }
}

std::size_t ring_buffer_pool::allocate_bulk(std::span<void*> out) noexcept {
  std::size_t filled = 0;
  if (samples_ != nullptr && cache_.tripped() && !out.empty()) {
    const placement first =
        take_sampled(buffer_size_, source::ring, form::handle, __builtin_return_address(0));
    if (first.data == nullptr) {
      return 0;
    }
    out[filled++] = first.data;
  }
  if (fast_size_ != 0) {
    filled += cache_.try_pop_each(
        out.size() - filled, [&, map = map_, states = states_, to = out.subspan(filled)](
                                 std::size_t i, std::uintptr_t address) {
          states[map.number_at(address)].store(buffer_state::held, detail::relaxed);
          to[i] = reinterpret_cast<void*>(address);
        });
  } else if (options_.faults != nullptr) {  // asked for each buffer; the first refused is the end
    for (; filled < out.size(); ++filled) {
      std::byte* const data = take_slow(buffer_size_, source::ring, form::handle).data;
      if (data == nullptr) {
        break;
      }
      out[filled] = data;
    }
    return filled;
  }
  std::uintptr_t addresses[index_cache::max_items];
  while (filled < out.size()) {
    const std::size_t wanted = std::min(out.size() - filled, std::size(addresses));
    const std::size_t got = cache_.pop_bulk(map_, {addresses, wanted});
    for (std::size_t i = 0; i < got; ++i) {
      out[filled++] = hand_out(map_.number_at(addresses[i]), addresses[i], buffer_size_).data;
    }
    if (got < wanted) {
      count_refusal(buffer_size_);
      break;
    }
  }
  look_for_waiters();
  return filled;
}

// ---- Taking back --------------------------------------------------------------------------------

void ring_buffer_pool::give_slow(void* pointer, std::size_t used_bytes) noexcept {
  if (pointer == nullptr || pointer == empty_address()) {
    return;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto* const data = static_cast<std::byte*>(pointer);
  const std::uint64_t number = map_.number_at(address);
  const std::uint64_t elastic_number = elastic_map_.number_at(address);
  if (number < capacity_) {
    const bool first_try = fast_slots_ == 0;  // else the fast path has missed already
    if (take_back(number, data, used_bytes, __builtin_return_address(0))) {
      if (!(first_try && cache_.try_push(address))) {
        cache_.push(map_, address);
        look_for_waiters();
        decay();
      }
    }
  } else if (elastic_number < options_.elastic_capacity) {
    if (take_back(capacity_ + elastic_number, data, used_bytes, __builtin_return_address(0),
                  buffer_state::used)) {
      give_elastic(address);
    }
  } else {
    give_unknown(pointer);
    decay();
  }
}

void ring_buffer_pool::give_elastic(std::uintptr_t address) noexcept {
  if (!elastic_cache_.try_push(address)) {
    elastic_cache_.push(elastic_map_, address);
    look_for_waiters();
    decay();
  }
  if (!elastic_dirty_.load(detail::relaxed)) {  // relaxed: a hint to decay
    elastic_dirty_.store(true, detail::relaxed);
  }
}

void ring_buffer_pool::deallocate_bulk(std::span<void* const> pointers) noexcept {
  const auto next_fast = [&, map = map_, states = states_, slots = fast_slots_](std::size_t i) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointers[i]);
    const std::uint64_t number = map.number_at(address);
    if (number >= slots || states[number].load(detail::relaxed) != buffer_state::held) {
      return std::uintptr_t{0};
    }
    states[number].store(buffer_state::free, detail::relaxed);  // published by the push
    return address;
  };
  if (fast_slots_ != 0) {
    pointers = pointers.subspan(cache_.try_push_each(pointers.size(), next_fast));
  }
  if (pointers.empty()) {
    return;
  }
  std::uintptr_t addresses[index_cache::max_items];
  std::size_t count = 0;
  for (void* const pointer : pointers) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    const std::uint64_t number = map_.number_at(address);
    if (number >= capacity_) {
      give_slow(pointer, max_buffer_size);
    } else if (take_back(number, static_cast<std::byte*>(pointer), max_buffer_size,
                         __builtin_return_address(0))) {
      addresses[count++] = address;
    }
    if (count == std::size(addresses)) {
      cache_.push_bulk(map_, {addresses, std::exchange(count, 0)});
    }
  }
  cache_.push_bulk(map_, {addresses, count});
  look_for_waiters();
}

/// Ends the caller's ownership: the buffer may be pushed. False: misuse, nothing changed.
bool ring_buffer_pool::take_back(std::uint64_t number, std::byte* data, std::size_t bytes,
                                 const void* site, buffer_state free) noexcept {
  const buffer_state seen = states_[number].load(detail::relaxed);
  if (options_.hardened) {
    if (!hardened_take_back(number, data, site, free)) {
      return false;
    }
  } else if (!detail::is_out(seen)) {
    misused(misuse_kind::double_free, data, number);
    return false;
  } else {
    states_[number].store(free, detail::relaxed);  // published by the push
  }
  if (seen != buffer_state::held) [[unlikely]] {
    end_special(number, seen);
  }
  if (fast_slots_ == 0) [[unlikely]] {
    clean(data, bytes);
  }
  return true;
}

/// Zeroing and checked pools: what is due once a buffer has no owner.
void ring_buffer_pool::clean(std::byte* data, std::size_t bytes) noexcept {
  if (options_.zero_on_free != zeroing::none) {
    // Hardened pools check the first bytes at the next allocation, used or not.
    const std::size_t least = options_.hardened ? looked_at_bytes : 0;
    const std::size_t wanted =
        options_.zero_on_free == zeroing::all ? buffer_size_ : std::max(bytes, least);
    if (checked_) {
      detail::memory_checker::open(data, buffer_size_);
    }
    std::memset(data, 0, std::min(wanted, buffer_size_));
  }
  if (checked_) {
    detail::memory_checker::take_back(region_start(), data, buffer_size_);
  }
}

void ring_buffer_pool::give_unknown(void* pointer) noexcept {
  if (owns(pointer)) {
    misused(misuse_kind::interior_pointer, pointer, ~std::uint64_t{0});
    return;
  }
  const auto removed = upstream_->deallocate(pointer, options_.zero_on_free != zeroing::none);
  if (!removed.found) {
    misused(misuse_kind::foreign_pointer, pointer, ~std::uint64_t{0});
    return;
  }
  static_cast<ring_buffer_pool*>(removed.owner)->upstream_frees_.fetch_add(1, detail::relaxed);
  serve_waiters_for_upstream();
}

void ring_buffer_pool::misused(misuse_kind kind, const void* pointer,
                               std::uint64_t number) noexcept {
  misuses_.fetch_add(1, detail::relaxed);
  misuse what{kind, pointer, buffer_size_, 0, 0};
  if (histories_ != nullptr && number < capacity_ + options_.elastic_capacity) {
    what.last_freer_thread_id = histories_[number].last_freer.load(detail::relaxed);
    what.last_freer_site = histories_[number].site.load(detail::relaxed);
  }
  detail::report_misuse(what);
}

// ---- Hardened pools -----------------------------------------------------------------------------

/// Checks that nobody wrote to the buffer while it was free, and sets its canary.
void ring_buffer_pool::guard(std::uint64_t number, std::byte* data) noexcept {
  const bool ever_freed = histories_[number].free_count.load(detail::relaxed) != 0;
  if (ever_freed && !starts_with(data, free_word())) {
    misused(misuse_kind::write_after_free, data, number);
  }
  std::memcpy(data + buffer_size_, &canary, sizeof canary);
}

/// What the first bytes of a free buffer are made of.
std::uint64_t ring_buffer_pool::free_word() const noexcept {
  return options_.zero_on_free == zeroing::none ? poison : 0;
}

/// Compares the first bytes: two words where there are, since a size that the compiler does not
/// know costs a call.
bool ring_buffer_pool::starts_with(const std::byte* data, std::uint64_t word) const noexcept {
  if (buffer_size_ < looked_at_bytes) {
    const std::uint64_t expected[] = {word, word};
    return std::memcmp(data, expected, buffer_size_) == 0;
  }
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::memcpy(&first, data, sizeof first);
  std::memcpy(&second, data + sizeof first, sizeof second);
  return first == word && second == word;
}

bool ring_buffer_pool::canary_intact(const std::byte* data) const noexcept {
  return std::memcmp(data + buffer_size_, &canary, sizeof canary) == 0;
}

bool ring_buffer_pool::hardened_take_back(std::uint64_t number, std::byte* data, const void* site,
                                          buffer_state free) noexcept {
  buffer_state seen = states_[number].load(detail::relaxed);
  if (detail::is_out(seen) && !checked_ && !canary_intact(data)) {
    misused(misuse_kind::canary_overwritten, data, number);
    return false;
  }
  // relaxed: of two racing frees one wins, by this word alone; the push publishes the rest
  if (!detail::is_out(seen) ||
      !states_[number].compare_exchange_strong(seen, free, detail::relaxed, detail::relaxed)) {
    misused(misuse_kind::double_free, data, number);
    return false;
  }
  histories_[number].site.store(site, detail::relaxed);
  histories_[number].last_freer.store(detail::thread_id(), detail::relaxed);
  detail::add_single_writer(histories_[number].free_count, 1U);  // the winner's alone
  if (options_.zero_on_free == zeroing::none && !checked_) {
    constexpr std::uint64_t words[looked_at_bytes / 8] = {poison, poison};
    buffer_size_ < looked_at_bytes ? std::memcpy(data, words, buffer_size_)
                                   : std::memcpy(data, words, looked_at_bytes);
  }
  return true;
}

// ---- Looking at it ------------------------------------------------------------------------------

std::span<std::byte> ring_buffer_pool::ring_storage() const noexcept {
  return {region_start(), capacity_ * map_.stride};
}

std::byte* ring_buffer_pool::region_start() const noexcept {
  return reinterpret_cast<std::byte*>(map_.base);
}

bool ring_buffer_pool::owns(const void* pointer) const noexcept {
  const auto* const address = static_cast<const std::byte*>(pointer);
  return reinterpret_cast<std::uintptr_t>(address) >= map_.base && address < region_end_;
}

std::size_t ring_buffer_pool::capacity_of(slot_index slot, const std::byte* data) const noexcept {
  if (slot == upstream_slot) {
    return detail::upstream_ledger::bytes_of(data);
  }
  return slot == empty_slot ? 0 : buffer_size_;
}

buffer_origin ring_buffer_pool::origin_of(slot_index slot) const noexcept {
  if (slot == upstream_slot || slot == empty_slot) {
    return slot == upstream_slot ? buffer_origin::upstream : buffer_origin::none;
  }
  return to_number(slot) < capacity_ ? buffer_origin::ring : buffer_origin::elastic;
}

void ring_buffer_pool::shrink(std::byte* data, std::size_t to, std::size_t from) noexcept {
  if (options_.zero_on_free == zeroing::used) {
    std::memset(data + to, 0, from - to);
  }
}

void ring_buffer_pool::reject_resize(const std::byte* data) noexcept {
  misused(misuse_kind::invalid_resize, data, ~std::uint64_t{0});
}

void ring_buffer_pool::reject_slice(const std::byte* data) noexcept {
  misused(misuse_kind::invalid_slice, data, ~std::uint64_t{0});
}

void ring_buffer_pool::reject_copy(const std::byte* data) noexcept {
  misused(misuse_kind::too_many_references, data, ~std::uint64_t{0});
}

void ring_buffer_pool::on_fork(void* self, detail::fork_phase phase) noexcept {
  auto& pool = *static_cast<ring_buffer_pool*>(self);
  if (phase == detail::fork_phase::prepare) {
    pool.waiters_.lock();
  } else if (phase == detail::fork_phase::parent && pool.waiters_.unlock()) {
    pool.serve_waiters();
  } else if (phase == detail::fork_phase::child) {
    pool.waiters_.after_fork();
  }
  if (phase != detail::fork_phase::child || pool.upstream_ == nullptr) {
    return;
  }
  detail::forget_thread_id();
  const std::uint32_t own_slot = detail::thread_slot();
  pool.cache_.after_fork(own_slot);
  pool.recount_lent();
  if (pool.options_.elastic_capacity != 0) {
    pool.elastic_cache_.after_fork(own_slot);
    if (pool.trimming_.exchange(false, detail::relaxed)) {
      pool.return_collected_elastic();
    }
  }
}

}  // namespace ringpool
