// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringpool/arena.hpp"
#include "ringpool/detail/upstream.hpp"
#include "ringpool/error.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool::detail {

/// The hash table of upstream blocks, once per pool or set.
inline constexpr std::size_t buckets_bytes =
    upstream_ledger::bucket_count * sizeof(upstream_ledger::block*);

/// Where the parts of a pool lie. All in bytes; parts have pages of their own.
///
///   metadata:  states | ring entries | caches | elastic entries | elastic caches | histories |
///              references | samples
///   region:    ring buffers | elastic buffers | unreachable page
struct pool_layout {
  std::uint32_t stride = 0;  ///< buffer_size and what guards it, in whole cache lines
  bool checked = false;      ///< memory_checker watches the buffers
  std::size_t states_offset = 0;
  std::size_t ring_offset = 0;
  std::size_t caches_offset = 0;
  std::size_t elastic_ring_offset = 0;
  std::size_t elastic_caches_offset = 0;
  std::size_t histories_offset = 0;
  std::size_t references_offset = 0;  ///< behind what is prefaulted: few pools share buffers
  std::size_t samples_offset = 0;     ///< likewise: of samples alone
  std::size_t metadata_bytes = 0;

  std::size_t ring_bytes = 0;
  std::size_t elastic_bytes = 0;
  std::size_t region_bytes = 0;

  /// Checks the arguments of a pool and lays it out. `place_in_set`: 0 where it is alone.
  [[nodiscard]] failure plan(std::size_t buffer_size, std::size_t capacity,
                             const pool_options& options, std::size_t place_in_set = 0);
  /// Offset of the region in an arena whose metadata starts at `metadata_offset`.
  [[nodiscard]] std::size_t region_offset_after(std::size_t metadata_offset) const noexcept;

 private:
  void place_metadata(std::size_t capacity, const pool_options& options,
                      std::size_t shift_bytes) noexcept;
};

/// A pool's place in an arena, which a set shares among its classes.
struct pool_place {
  const pool_layout& layout;
  arena& memory;
  upstream_ledger& upstream;
  std::size_t metadata_offset;
  std::size_t region_offset;
};

[[nodiscard]] std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept;
[[nodiscard]] failure check_options(const pool_options& options);

}  // namespace ringpool::detail
