// SPDX-License-Identifier: MIT
#include "pool_layout.hpp"

#include <bit>

#include "memory_checker.hpp"

namespace ringpool::detail {
namespace {

constexpr std::size_t canary_bytes = 8;
constexpr std::size_t gap_bytes = 16;  // of nobody, so that a memory checker sees an overflow
/// A quarter of the 47 bits of address space that Linux gives a process on x86-64 and aarch64.
constexpr std::size_t most_region_bytes = std::size_t{1} << 45;

failure check_shape(std::size_t buffer_size, std::size_t capacity) {
  if (buffer_size == 0 || buffer_size > max_buffer_size) {
    return fail(errc::invalid_size, "buffer size %zu: accepted are 1 to %zu bytes", buffer_size,
                max_buffer_size);
  }
  if (!std::has_single_bit(capacity) || capacity > max_capacity) {
    return fail(errc::invalid_capacity,
                "capacity %zu of size %zu: accepted are powers of two from 1 to %zu", capacity,
                buffer_size, max_capacity);
  }
  return {};
}

}  // namespace

std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

failure check_options(const pool_options& options) {
  if (options.elastic_capacity > max_capacity) {
    return fail(errc::invalid_option, "elastic_capacity %zu: accepted are 0 to %zu",
                options.elastic_capacity, max_capacity);
  }
  if (options.elastic_floor > options.elastic_capacity) {
    return fail(errc::invalid_option,
                "elastic_floor %zu: accepted are 0 to elastic_capacity, which is %zu",
                options.elastic_floor, options.elastic_capacity);
  }
  if (options.spill.class_count >= max_class_count) {
    return fail(errc::invalid_option, "spill.class_count %zu: accepted are 0 to %zu",
                options.spill.class_count, max_class_count - 1);
  }
  if (options.spill.buffer_limit > max_capacity) {
    return fail(errc::invalid_option, "spill.buffer_limit %zu: accepted are 0 to %zu",
                options.spill.buffer_limit, max_capacity);
  }
  if (options.cache_limit > index_cache::max_items) {
    return fail(errc::invalid_option, "cache_limit %zu: accepted are 0 to %zu", options.cache_limit,
                index_cache::max_items);
  }
  if (options.sampling.interval > max_sample_interval) {
    return fail(errc::invalid_option, "sampling.interval %zu: accepted are 0 to %zu",
                options.sampling.interval, max_sample_interval);
  }
  if (options.sampling.depth < 1 || options.sampling.depth > max_sample_depth) {
    return fail(errc::invalid_option, "sampling.depth %zu: accepted are 1 to %zu",
                options.sampling.depth, max_sample_depth);
  }
  if (options.memory.numa_node < -1) {
    return fail(errc::invalid_option, "numa_node %d: accepted are -1 (no binding) to 1023",
                options.memory.numa_node);
  }
  if (options.elastic_decay.count() < 0) {
    return fail(errc::invalid_option, "elastic_decay %lld ms: accepted are 0 ms and more",
                static_cast<long long>(options.elastic_decay.count()));
  }
  return {};
}

failure pool_layout::plan(std::size_t buffer_size, std::size_t capacity,
                          const pool_options& options, std::size_t place_in_set) {
  failure why = check_shape(buffer_size, capacity);
  if (!why.failed()) {
    why = check_options(options);
  }
  if (why.failed()) {
    return why;
  }
  checked = memory_checker::wanted();
  const std::size_t guards = (options.hardened ? canary_bytes : 0) + (checked ? gap_bytes : 0);
  const std::size_t wide_stride = round_up(buffer_size + guards, cache_line_bytes);
  const std::size_t elastic = options.elastic_capacity;
  static_assert(max_capacity <= std::size_t{1} << 30, "so that the products cannot overflow");
  if (capacity * wide_stride > most_region_bytes || elastic * wide_stride > most_region_bytes) {
    return fail(errc::too_large,
                "%zu + %zu buffers of %zu bytes: accepted are at most %zu bytes of each", capacity,
                elastic, buffer_size, most_region_bytes);
  }
  stride = static_cast<std::uint32_t>(wide_stride);
  const std::size_t page = arena::page_bytes();
  const std::size_t unit = options.memory.pages == huge_pages::none ? page : arena::huge_page_bytes;
  ring_bytes = round_up(capacity * stride, unit);
  elastic_bytes = round_up(elastic * stride, page);
  region_bytes = ring_bytes + elastic_bytes + page;

  // Pools of a set keep out of each other's lines of the first-level cache, which are chosen by the
  // last bits of an address: mixed sizes cost 7 % less.
  const std::size_t shift_bytes = place_in_set % 12 * 5 * cache_line_bytes;
  place_metadata(capacity, options, shift_bytes);
  return {};
}

void pool_layout::place_metadata(std::size_t capacity, const pool_options& options,
                                 std::size_t shift_bytes) noexcept {
  const std::size_t elastic = options.elastic_capacity;
  const std::size_t buffers = capacity + elastic;
  constexpr std::size_t caches_bytes = std::size_t{max_thread_slots} * cache_stride_bytes;
  const std::size_t page = arena::page_bytes();
  std::size_t end = 0;
  const auto part = [&](std::size_t bytes) {
    const std::size_t start = end + shift_bytes;
    end = round_up(start + bytes, page);
    return start;
  };
  const auto entries_bytes = [](std::size_t count) {
    return count == 0 ? 0 : index_ring::entry_count(count) * sizeof(index_ring::entry);
  };
  states_offset = part(buffers);
  ring_offset = part(entries_bytes(capacity));
  caches_offset = part(caches_bytes);
  elastic_ring_offset = part(entries_bytes(elastic));
  elastic_caches_offset = part(elastic == 0 ? 0 : caches_bytes);
  histories_offset = part(options.hardened ? buffers * sizeof(free_history) : 0);
  references_offset = part(buffers * sizeof(reference_count));
  samples_offset = part(
      options.sampling.interval == 0 ? 0 : sizeof(sample_totals) + buffers * sizeof(sample_record));
  metadata_bytes = end;
}

std::size_t pool_layout::region_offset_after(std::size_t metadata_offset) const noexcept {
  return round_up(metadata_offset + metadata_bytes, arena::huge_page_bytes);
}

}  // namespace ringpool::detail
