// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <type_traits>

namespace ringpool {

/// Why a pool could not be made. `std::system_error::what()` adds the value that was given.
enum class errc {
  invalid_size = 1,    ///< buffer size is 0 or above max_buffer_size
  invalid_capacity,    ///< capacity is 0, not a power of two, or above max_capacity
  duplicate_size,      ///< two classes of one set have the same buffer size
  no_classes,          ///< a set without any class
  too_many_classes,    ///< more than max_class_count classes
  invalid_option,      ///< a pool_options member outside of its range
  too_large,           ///< sizes and capacities overflow the address space
  reservation_failed,  ///< the kernel refused the address range (RLIMIT_AS, vm.overcommit)
  commit_failed,       ///< the kernel refused to make memory usable or resident
  lock_failed,         ///< mlock refused (RLIMIT_MEMLOCK)
  numa_failed,         ///< the NUMA node does not exist or mbind is refused
  out_of_memory,       ///< the pool object itself could not be allocated
  invalid_metric,      ///< metrics_writer: a name, label or value that cannot be written
};

[[nodiscard]] const std::error_category& error_category() noexcept;
[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

/// What a caller did wrong. Every kind leaves the pool as it was, if the handler returns.
enum class misuse_kind : std::uint8_t {
  double_free,             ///< the buffer is free already (racing frees: hardened pools only)
  foreign_pointer,         ///< not from this pool, or an upstream block that is freed already
  interior_pointer,        ///< into a buffer but not its first byte, misaligned ones included
  canary_overwritten,      ///< hardened: bytes behind the buffer were changed while it was held
  write_after_free,        ///< hardened: the buffer was changed while it was free
  invalid_resize,          ///< buffer::resize beyond capacity()
  outstanding_buffers,     ///< hardened: the pool was destroyed while buffers were held
  invalid_slice,           ///< shared_buffer::slice beyond size()
  too_many_references,     ///< a copy of a shared_buffer of which there are 2^31
  waiting_at_destruction,  ///< the pool was destroyed while somebody waited for a buffer
  excess_refund,           ///< an account was to refund more than is charged to it
};

[[nodiscard]] const char* to_string(misuse_kind kind) noexcept;

struct misuse {
  misuse_kind kind;
  const void* pointer;                ///< what the caller passed; excess_refund: the account
  std::size_t buffer_size;            ///< of the pool that was called, in bytes; 0: no pool
  std::int32_t last_freer_thread_id;  ///< hardened pools: gettid() of the last free; 0: unknown
  std::uint64_t outstanding_count;    ///< outstanding_buffers, waiting_at_destruction only;
                                      ///< excess_refund: bytes beyond what is charged
  /// Hardened pools: the return address of the last free, into the code that made it; nullptr:
  /// unknown. symbol_of (census.hpp) names it.
  const void* last_freer_site = nullptr;
};

using misuse_handler = void (*)(const misuse&) noexcept;

/// Replaces the process-wide handler and returns the one before; nullptr restores the default,
/// which writes one line to standard error and calls std::abort. A handler that returns makes
/// the misused call have no effect. Any thread; lock-free.
misuse_handler set_misuse_handler(misuse_handler handler) noexcept;

namespace detail {

/// An error on its way out of a constructor: the code, and what was wrong and what is accepted.
/// Made without heap: memory may be what is missing.
struct failure {
  errc code{};
  char text[232] = {};
  [[nodiscard]] bool failed() const noexcept { return code != errc{}; }
};
/// The text is as printf makes it.
[[nodiscard, gnu::format(printf, 2, 3)]] failure fail(errc code, const char* format, ...) noexcept;

/// Throws std::system_error; std::terminate under -fno-exceptions.
[[noreturn]] void throw_failure(const failure& why);
[[noreturn]] void throw_bad_alloc();
void report_misuse(const misuse& what) noexcept;

}  // namespace detail
}  // namespace ringpool

template <>
struct std::is_error_code_enum<ringpool::errc> : std::true_type {};
