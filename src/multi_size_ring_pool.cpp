// SPDX-License-Identifier: MIT
#include "ringpool/multi_size_ring_pool.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include "pool_layout.hpp"
#include "ringpool/async_alloc.hpp"

namespace ringpool {
namespace {

detail::failure check_classes(std::span<const size_class> sorted) {
  if (sorted.empty()) {
    return detail::fail(errc::no_classes, "no size classes: accepted are 1 to %zu",
                        max_class_count);
  }
  const auto twice = std::adjacent_find(
      sorted.begin(), sorted.end(),
      [](const size_class& a, const size_class& b) { return a.buffer_size == b.buffer_size; });
  if (twice != sorted.end()) {
    return detail::fail(errc::duplicate_size,
                        "size %zu is given twice: every class needs its own size",
                        twice->buffer_size);
  }
  return {};
}

/// What holds for one class.
pool_options options_of(const size_class& one, const pool_options& set) {
  const class_settings& own = one.settings;
  pool_options made = set;
  made.elastic_capacity = own.elastic_capacity.value_or(set.elastic_capacity);
  made.elastic_floor = own.elastic_floor.value_or(set.elastic_floor);
  made.cache_limit = own.cache_limit.value_or(set.cache_limit);
  made.spill.buffer_limit = own.spill_limit.value_or(set.spill.buffer_limit);
  made.memory.prefault = own.prefault.value_or(set.memory.prefault);
  return made;
}

/// Spill that can never happen is a mistake.
detail::failure check_spill(std::span<const size_class> sorted, const pool_options& set) {
  const auto lends = [&](const size_class& one) {
    return options_of(one, set).spill.buffer_limit != 0;
  };
  if (set.spill.class_count != 0 && std::none_of(sorted.begin(), sorted.end(), lends)) {
    return detail::fail(errc::invalid_option,
                        "spill.class_count %zu, and no class lends a buffer: accepted is a "
                        "spill.buffer_limit, or a class's spill_limit, of 1 to %zu",
                        set.spill.class_count, max_capacity);
  }
  return {};
}

/// The same failure, of the class that the caller knows as number `index`.
detail::failure of_class(const detail::failure& why, std::size_t index, std::size_t buffer_size) {
  return detail::fail(why.code, "class %zu (size %zu): %s", index, buffer_size, why.text);
}

}  // namespace

multi_size_ring_pool::multi_size_ring_pool(std::span<const size_class> classes,
                                           pool_options options)
    : multi_size_ring_pool(nullptr) {
  if (const detail::failure why = build(classes, options); why.failed()) {
    detail::throw_failure(why);
  }
}

multi_size_ring_pool::multi_size_ring_pool(std::initializer_list<size_class> classes,
                                           pool_options options)
    : multi_size_ring_pool(std::span<const size_class>(classes.begin(), classes.size()), options) {}

std::unique_ptr<multi_size_ring_pool> multi_size_ring_pool::create(
    std::span<const size_class> classes, const pool_options& options,
    std::error_code& error) noexcept {
  std::unique_ptr<multi_size_ring_pool> pool(new (std::nothrow) multi_size_ring_pool(nullptr));
  const errc code = pool == nullptr ? errc::out_of_memory : pool->build(classes, options).code;
  error = code == errc{} ? std::error_code{} : make_error_code(code);
  if (error) {
    pool.reset();
  }
  return pool;
}

detail::failure multi_size_ring_pool::build(std::span<const size_class> classes,
                                            const pool_options& options) {
  if (classes.size() > max_class_count) {
    return detail::fail(errc::too_many_classes, "%zu size classes: accepted are 1 to %zu",
                        classes.size(), max_class_count);
  }
  size_class sorted[max_class_count];
  const auto end = std::copy(classes.begin(), classes.end(), sorted);
  std::sort(sorted, end,
            [](const size_class& a, const size_class& b) { return a.buffer_size < b.buffer_size; });
  const std::span<const size_class> in_order(sorted, classes.size());
  detail::failure why = check_classes(in_order);
  if (!why.failed()) {
    why = check_spill(in_order, options);
  }
  std::size_t at = in_order.size();  // whose fault it is, if one class's
  if (!why.failed()) {
    why = place_classes(in_order, options, at);
  }
  if (!why.failed() || at == in_order.size()) {
    return why;
  }
  const auto given = std::find_if(classes.begin(), classes.end(), [&](const size_class& one) {
    return one.buffer_size == in_order[at].buffer_size;
  });
  return of_class(why, static_cast<std::size_t>(given - classes.begin()), given->buffer_size);
}

/// Where the parts of a set lie in its arena:
/// | upstream's buckets | pools | size table | metadata of each class | regions |
struct multi_size_ring_pool::plan {
  detail::pool_layout layouts[max_class_count];
  std::size_t pools_offset = 0;
  std::size_t table_offset = 0;
  std::size_t shared_bytes = 0;  // all before the classes' metadata
  std::size_t first_region = 0;
  std::size_t region_bytes = 0;

  [[nodiscard]] detail::failure make(std::span<const size_class> sorted,
                                     const pool_options& options, std::size_t& at);
};

detail::failure multi_size_ring_pool::plan::make(std::span<const size_class> sorted,
                                                 const pool_options& options, std::size_t& at) {
  std::size_t metadata_bytes = 0;
  std::size_t widest = arena::huge_page_bytes;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    detail::pool_layout& layout = layouts[i];
    if (detail::failure why = layout.plan(sorted[i].buffer_size, sorted[i].capacity,
                                          options_of(sorted[i], options), i);
        why.failed()) {
      at = i;
      return why;
    }
    metadata_bytes += layout.metadata_bytes;
    widest = std::max(widest, layout.region_bytes);
  }
  const std::size_t page = arena::page_bytes();
  pools_offset = detail::round_up(detail::buckets_bytes, alignof(ring_buffer_pool));
  table_offset = detail::round_up(pools_offset + sorted.size() * sizeof(ring_buffer_pool), page);
  shared_bytes = detail::round_up(
      table_offset + size_class_table::entry_count(sorted.back().buffer_size), page);
  first_region = detail::round_up(shared_bytes + metadata_bytes, arena::huge_page_bytes);
  region_bytes = std::bit_ceil(widest);
  constexpr std::size_t most = std::size_t{1} << 47;
  if (region_bytes > most / sorted.size()) {
    return detail::fail(errc::too_large,
                        "%zu classes of up to %zu bytes: accepted are %zu bytes in all, each class "
                        "counted as the largest, rounded up to a power of two",
                        sorted.size(), widest, most);
  }
  return {};
}

detail::failure multi_size_ring_pool::place_classes(std::span<const size_class> sorted,
                                                    const pool_options& options, std::size_t& at) {
  plan where;
  detail::failure why = where.make(sorted, options, at);
  if (!why.failed()) {
    why = arena_.reserve(where.first_region + where.region_bytes * sorted.size());
  }
  if (!why.failed()) {
    why = arena_.commit(0, where.shared_bytes);
  }
  if (why.failed()) {
    return why;
  }
  std::byte* const data = arena_.data();
  upstream_.reset(options.upstream, options.upstream_budget_bytes,
                  reinterpret_cast<detail::upstream_ledger::block**>(data));
  table_.reset(sorted, reinterpret_cast<std::uint8_t*>(data + where.table_offset));
  classes_ = reinterpret_cast<ring_buffer_pool*>(data + where.pools_offset);
  first_region_ = reinterpret_cast<std::uintptr_t>(data + where.first_region);
  region_shift_ = static_cast<unsigned>(std::countr_zero(where.region_bytes));

  std::size_t metadata_offset = where.shared_bytes;
  for (std::size_t i = 0; i < sorted.size() && !why.failed(); ++i) {
    auto* pool = ::new (classes_ + i) ring_buffer_pool(sorted[i].buffer_size, sorted[i].capacity,
                                                       options_of(sorted[i], options), nullptr);
    ++class_count_;
    why = pool->place({where.layouts[i], arena_, upstream_, metadata_offset,
                       where.first_region + i * where.region_bytes});
    metadata_offset += where.layouts[i].metadata_bytes;
    at = why.failed() ? i : at;
  }
  for (std::size_t i = 0; i < class_count_; ++i) {
    classes_[i].family_ = classes_;
    classes_[i].family_size_ = class_count_;
  }
  return why;
}

multi_size_ring_pool::~multi_size_ring_pool() {
  for (std::size_t i = class_count_; i > 0; --i) {
    classes_[i - 1].~ring_buffer_pool();
  }
}

ring_buffer_pool& multi_size_ring_pool::smallest_fit(std::size_t size) const noexcept {
  if (size == 0 || size > max_size()) {
    return classes_[size == 0 ? 0 : class_count_ - 1];  // the largest sends it upstream
  }
  std::size_t fit = table_.covers(size) ? table_.class_of(size) : 0;
  while (classes_[fit].buffer_size() < size) {
    ++fit;
  }
  return classes_[fit];
}

auto multi_size_ring_pool::take_slow(std::size_t size, source from, form as) noexcept -> choice {
  ring_buffer_pool& home = smallest_fit(size);
  if (const placement hit = home.take_fast(size); hit.data != nullptr) {
    return {&home, hit};
  }
  const placement taken = home.take_slow_at(size, from, as, __builtin_return_address(0));
  return {&home.home_of(taken), taken};
}

buffer multi_size_ring_pool::alloc_for(std::size_t size,
                                       std::chrono::nanoseconds timeout) noexcept {
  return smallest_fit(size).alloc_until(size, detail::deadline_after(timeout),
                                        __builtin_return_address(0));
}

buffer multi_size_ring_pool::alloc_until(std::size_t size,
                                         std::chrono::steady_clock::time_point deadline) noexcept {
  return smallest_fit(size).alloc_until(size, deadline, __builtin_return_address(0));
}

alloc_awaitable multi_size_ring_pool::async_alloc(std::size_t size) noexcept {
  return {smallest_fit(size), size, {}, __builtin_return_address(0)};
}

alloc_awaitable multi_size_ring_pool::async_alloc(std::size_t size,
                                                  async_options options) noexcept {
  return {smallest_fit(size), size, std::move(options), __builtin_return_address(0)};
}

buffer multi_size_ring_pool::alloc_unless_waited_for(std::size_t size) noexcept {
  return smallest_fit(size).alloc_unless_waited_for(size, __builtin_return_address(0));
}

bool multi_size_ring_pool::enqueue(buffer_waiter& waiter) noexcept {
  return smallest_fit(waiter.size()).enqueue(waiter, __builtin_return_address(0));
}

std::size_t multi_size_ring_pool::allocate_bulk(std::size_t size, std::span<void*> out) noexcept {
  return size == 0 || size > max_size() ? 0 : smallest_fit(size).allocate_bulk(out);
}

void multi_size_ring_pool::deallocate_bulk(std::span<void* const> pointers) noexcept {
  // Runs of one class go together: bulk allocations come back that way.
  while (!pointers.empty()) {
    ring_buffer_pool& home = home_of(pointers.front());
    const auto end = std::find_if(pointers.begin(), pointers.end(),
                                  [&](const void* pointer) { return &home_of(pointer) != &home; });
    const auto run = static_cast<std::size_t>(end - pointers.begin());
    home.deallocate_bulk(pointers.first(run));
    pointers = pointers.subspan(run);
  }
}

std::size_t multi_size_ring_pool::trim() noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < class_count_; ++i) {
    bytes += classes_[i].trim();
  }
  return bytes;
}

std::size_t multi_size_ring_pool::trim(std::size_t keep_count) noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < class_count_; ++i) {
    bytes += classes_[i].trim(keep_count);
  }
  return bytes;
}

std::size_t multi_size_ring_pool::decay() noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < class_count_; ++i) {
    bytes += classes_[i].decay();
  }
  return bytes;
}

multi_size_stats multi_size_ring_pool::stats() const {
  multi_size_stats now;
  now.classes.reserve(class_count_);
  for (const ring_buffer_pool& pool : classes()) {
    now.classes.push_back(pool.stats());
    now.oversize_count += now.classes.back().oversize_count;
  }
  now.upstream_in_use_bytes = upstream_.in_use_bytes();
  return now;
}

bool multi_size_ring_pool::owns(const void* pointer) const noexcept {
  return home_of(pointer).owns(pointer);
}

}  // namespace ringpool
