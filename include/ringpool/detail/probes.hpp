// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringpool/config.hpp"

#if RINGPOOL_USDT
#include <sys/sdt.h>
#endif

/// Static tracepoints (USDT) of provider `ringpool`: a nop each, with a note in the binary that
/// tells bpftrace, perf, gdb and SystemTap where it is and where its arguments are. None on a cache
/// hit.
///
/// `region` is the address of the pool's first buffer of its kind, ring or elastic, the same for
/// the pool's life; `stride` the distance of its buffers in bytes. docs/tracing.md lists them.
namespace ringpool::detail::probes {

enum class wait_result : std::uint8_t { served, timed_out, cancelled };

/// A miss took `count` buffers from the ring: one for the caller, the rest for its cache.
inline void refill([[maybe_unused]] std::uintptr_t region, [[maybe_unused]] std::uint32_t stride,
                   [[maybe_unused]] std::size_t count) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE3(ringpool, refill, region, stride, count);
#endif
}

/// `count` buffers went to the ring: what a full cache had too many, or a closed one would not
/// take.
inline void flush([[maybe_unused]] std::uintptr_t region, [[maybe_unused]] std::uint32_t stride,
                  [[maybe_unused]] std::size_t count) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE3(ringpool, flush, region, stride, count);
#endif
}

/// Ring and own cache were empty: what other threads' caches hold is looked for.
inline void raid_begin([[maybe_unused]] std::uintptr_t region,
                       [[maybe_unused]] std::uint32_t stride) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE2(ringpool, raid_begin, region, stride);
#endif
}

/// `found`: buffers that the raid took; 0: a refusal by the ring.
inline void raid_end([[maybe_unused]] std::uintptr_t region, [[maybe_unused]] std::uint32_t stride,
                     [[maybe_unused]] std::size_t found) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE3(ringpool, raid_end, region, stride, found);
#endif
}

/// An elastic buffer was given out.
inline void elastic([[maybe_unused]] const void* pool,
                    [[maybe_unused]] std::size_t buffer_size) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE2(ringpool, elastic, pool, buffer_size);
#endif
}

/// `size` bytes came from the upstream resource.
inline void upstream([[maybe_unused]] const void* pool, [[maybe_unused]] std::size_t buffer_size,
                     [[maybe_unused]] std::size_t size) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE3(ringpool, upstream, pool, buffer_size, size);
#endif
}

/// A request for `size` bytes got nothing.
inline void refusal([[maybe_unused]] const void* pool, [[maybe_unused]] std::size_t buffer_size,
                    [[maybe_unused]] std::size_t size) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE3(ringpool, refusal, pool, buffer_size, size);
#endif
}

inline void wait_begin([[maybe_unused]] const void* pool, [[maybe_unused]] std::size_t buffer_size,
                       [[maybe_unused]] std::size_t size,
                       [[maybe_unused]] const void* waiter) noexcept {
#if RINGPOOL_USDT
  DTRACE_PROBE4(ringpool, wait_begin, pool, buffer_size, size, waiter);
#endif
}

/// Of the same waiter as its wait_begin; on whatever thread ended it.
inline void wait_end([[maybe_unused]] const void* pool, [[maybe_unused]] std::size_t buffer_size,
                     [[maybe_unused]] const void* waiter,
                     [[maybe_unused]] wait_result result) noexcept {
#if RINGPOOL_USDT
  const auto number = static_cast<std::uint32_t>(result);
  DTRACE_PROBE4(ringpool, wait_end, pool, buffer_size, waiter, number);
#endif
}

}  // namespace ringpool::detail::probes
