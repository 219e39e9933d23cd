// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#define RINGPOOL_VERSION_MAJOR 0
#define RINGPOOL_VERSION_MINOR 1
#define RINGPOOL_VERSION_PATCH 0

/// 1 where the library may throw; 0 under -fno-exceptions, where the `create` factories report
/// errors and a throwing constructor ends in std::terminate.
#if defined(__cpp_exceptions)
#define RINGPOOL_EXCEPTIONS 1
#else
#define RINGPOOL_EXCEPTIONS 0
#endif

/// Thread-local words of the fast path: one load from the thread pointer, never a call to
/// __tls_get_addr. Costs 8 bytes of the static TLS block when the library is loaded by dlopen.
#define RINGPOOL_FAST_TLS [[gnu::tls_model("initial-exec")]]

/// 1 where static tracepoints are compiled in, see detail/probes.hpp: Linux with SystemTap's
/// <sys/sdt.h> at build time, which no program needs at run time. Set it to 0 to leave them out.
#if !defined(RINGPOOL_USDT)
#if defined(__linux__) && __has_include(<sys/sdt.h>)
#define RINGPOOL_USDT 1
#else
#define RINGPOOL_USDT 0
#endif
#endif

/// Inlined into its caller in every build, so that what it calls knows that caller's address.
#define RINGPOOL_INLINE [[gnu::always_inline]] inline

/// Keeps cold code out of the fast path's instruction lines.
#define RINGPOOL_COLD [[gnu::cold, gnu::noinline]]

namespace ringpool {

/// Number of a buffer inside its pool: ring buffers first, then elastic ones.
enum class slot_index : std::uint32_t {};

[[nodiscard]] constexpr std::uint32_t to_number(slot_index slot) noexcept {
  return static_cast<std::uint32_t>(slot);
}

/// Handles of memory that is no buffer of the pool carry one of these in place of an index.
inline constexpr slot_index upstream_slot{std::numeric_limits<std::uint32_t>::max()};
inline constexpr slot_index empty_slot{std::numeric_limits<std::uint32_t>::max() - 1};

/// Unit of alignment of every buffer, and distance that keeps two threads' data apart.
inline constexpr std::size_t cache_line_bytes = 64;
/// Adjacent-line prefetchers move pairs of lines: contended words keep this distance.
inline constexpr std::size_t contended_line_bytes = 128;

/// Largest buffer, and largest request of any kind, in bytes: with a canary still below 2^32.
inline constexpr std::size_t max_buffer_size =
    std::numeric_limits<std::uint32_t>::max() - 2 * cache_line_bytes + 1;
/// Most buffers in one pool, ring and elastic each.
inline constexpr std::size_t max_capacity = std::size_t{1} << 30;
/// Most size classes in one set.
inline constexpr std::size_t max_class_count = 64;

namespace detail {

/// Threads of the process that can have a cache at one time; further ones use the ring itself.
/// Slot 0 is nobody's: its cache is for ever busy, and so always missed.
inline constexpr std::uint32_t max_thread_slots = 4096;
/// One thread's cache in one pool: a header line, then items.
inline constexpr std::size_t cache_stride_bytes = 1536;

}  // namespace detail
}  // namespace ringpool
