// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringpool/error.hpp"

namespace ringpool {

/// What the pages behind a pool's ring buffers should be, and what they turned out to be.
enum class huge_pages : std::uint8_t {
  none,         ///< base pages
  transparent,  ///< madvise(MADV_HUGEPAGE): the kernel may give huge pages
  reserved,     ///< MAP_HUGETLB, 2 MiB, from the reserved huge pages; falls back to transparent
};

/// In a pool, prefault, numa_node and lock are for the ring's entries and the buffers' states as
/// well as for the ring's buffers: 17 bytes a buffer.
struct memory_options {
  bool prefault = true;  ///< make the ring's buffers resident before the first use
  huge_pages pages = huge_pages::none;
  int numa_node = -1;  ///< bind the ring's buffers to this node; -1: no binding
  bool lock = false;   ///< mlock the ring's buffers
};

/// What was really obtained for the ring's buffers; bytes.
struct memory_report {
  std::size_t reserved_bytes = 0;   ///< address space, of the whole pool or set
  std::size_t resident_bytes = 0;   ///< prefaulted or locked at construction
  std::size_t huge_page_bytes = 0;  ///< of resident_bytes: on huge pages, as smaps tells
  std::size_t locked_bytes = 0;
  huge_pages pages = huge_pages::none;
  int numa_node = -1;
};

/// One reserved range of addresses. Nothing in it is usable until committed; committed memory costs
/// nothing until touched.
///
/// Invariant: every byte is either unreachable (PROT_NONE) or committed, private and zeroed.
/// Progress: all calls are system calls and may block.
/// Thread-safety: discard from any thread for bytes that nobody uses; the rest during set-up.
/// Cost: one mapping; alignment to 2 MiB, so that huge pages fit.
class arena {
 public:
  arena() noexcept = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena();

  static constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
  [[nodiscard]] static std::size_t page_bytes() noexcept;

  /// errc::reservation_failed when the kernel refuses.
  [[nodiscard]] detail::failure reserve(std::size_t bytes);
  /// Makes [offset, offset + bytes) usable: page multiples. errc::commit_failed when refused.
  [[nodiscard]] detail::failure commit(std::size_t offset, std::size_t bytes);
  /// Applies `options` to committed bytes and adds what was obtained to `report`. Huge pages fall
  /// back; prefault, node and lock are errors when refused. Never leaves memory that could raise
  /// SIGBUS: reserved huge pages are kept only if populating them succeeded.
  [[nodiscard]] detail::failure prepare(std::size_t offset, std::size_t bytes,
                                        const memory_options& options, memory_report& report);
  /// Gives committed pages back to the kernel (MADV_DONTNEED); they read as zero afterwards.
  static void discard(std::byte* start, std::size_t bytes) noexcept;

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  [[nodiscard]] static detail::failure lay_pages(std::byte* start, std::size_t bytes,
                                                 const memory_options& options, huge_pages& got);
  [[nodiscard]] static detail::failure make_resident(std::byte* start, std::size_t bytes,
                                                     const memory_options& options,
                                                     memory_report& report);

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
};

}  // namespace ringpool
