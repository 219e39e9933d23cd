// SPDX-License-Identifier: MIT
#include "ringpool/error.hpp"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"
#include "ringpool/detail/symbol.hpp"

// Edges (release -> acquire):
//   R1 -> A1  set_misuse_handler -> report_misuse   what the handler works on

namespace ringpool {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "ringpool"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::invalid_size: return "buffer size must be 1 to 4294967168 bytes";
      case errc::invalid_capacity: return "capacity must be a power of two, 1 to 1073741824";
      case errc::duplicate_size: return "every class of a set must have its own buffer size";
      case errc::no_classes: return "a set needs at least one class";
      case errc::too_many_classes: return "a set has at most 64 classes";
      case errc::invalid_option: return "a pool option is outside of its range";
      case errc::too_large: return "sizes and capacities exceed the address space";
      case errc::reservation_failed: return "address space could not be reserved";
      case errc::commit_failed: return "memory could not be committed";
      case errc::lock_failed: return "memory could not be locked";
      case errc::numa_failed: return "the NUMA node cannot be used";
      case errc::out_of_memory: return "out of memory";
      case errc::invalid_metric: return "a metric's name, label or value cannot be written";
    }
    return "unknown ringpool error";
  }
};

void print_and_abort(const misuse& what) noexcept {
  char line[512];
  const bool pool = what.kind != misuse_kind::excess_refund;
  const int length =
      pool ? std::snprintf(line, sizeof line, "ringpool: %s: pointer %p, pool of %zu-byte buffers",
                           to_string(what.kind), what.pointer, what.buffer_size)
           : std::snprintf(line, sizeof line, "ringpool: %s: account %p", to_string(what.kind),
                           what.pointer);
  auto end = static_cast<std::size_t>(length > 0 ? length : 0);
  if (what.last_freer_thread_id != 0) {
    end += static_cast<std::size_t>(std::snprintf(
        line + end, sizeof line - end, ", last freed by thread %d", what.last_freer_thread_id));
  }
  if (what.last_freer_site != nullptr) {
    end += static_cast<std::size_t>(std::snprintf(line + end, sizeof line - end, " at "));
    end += detail::write_symbol(what.last_freer_site, {line + end, sizeof line - end});
  }
  if (what.outstanding_count != 0) {
    end += static_cast<std::size_t>(
        std::snprintf(line + end, sizeof line - end, ", %llu %s",
                      static_cast<unsigned long long>(what.outstanding_count),
                      !pool                                              ? "bytes too many"
                      : what.kind == misuse_kind::waiting_at_destruction ? "waiters"
                                                                         : "buffers outstanding"));
  }
  line[end++] = '\n';
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, end);
  std::abort();
}

std::atomic<misuse_handler> current_handler{&print_and_abort};

}  // namespace

const std::error_category& error_category() noexcept {
  static const category instance;
  return instance;
}

std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

const char* to_string(misuse_kind kind) noexcept {
  switch (kind) {
    case misuse_kind::double_free: return "double free";
    case misuse_kind::foreign_pointer: return "free of a foreign pointer";
    case misuse_kind::interior_pointer: return "free of an interior pointer";
    case misuse_kind::canary_overwritten: return "bytes behind the buffer were overwritten";
    case misuse_kind::write_after_free: return "buffer was written to after it was freed";
    case misuse_kind::invalid_resize: return "resize beyond the capacity";
    case misuse_kind::outstanding_buffers: return "pool destroyed while buffers are held";
    case misuse_kind::invalid_slice: return "slice beyond the buffer";
    case misuse_kind::too_many_references: return "buffer shared too often";
    case misuse_kind::waiting_at_destruction: return "pool destroyed while somebody waits";
    case misuse_kind::excess_refund: return "refund of more than is charged";
  }
  return "unknown misuse";
}

misuse_handler set_misuse_handler(misuse_handler handler) noexcept {
  // R1 -> A1 (report_misuse): what the caller prepared for its handler is there when it runs
  const misuse_handler last =
      current_handler.exchange(handler != nullptr ? handler : &print_and_abort, detail::acq_rel);
  return last == &print_and_abort ? nullptr : last;
}

namespace detail {

failure fail(errc code, const char* format, ...) noexcept {
  failure why{code};
  va_list arguments;
  va_start(arguments, format);
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started in the line above
  std::vsnprintf(why.text, sizeof why.text, format, arguments);
  va_end(arguments);
  return why;
}

void report_misuse(const misuse& what) noexcept {
  current_handler.load(acquire)(what);  // A1 <- R1
}

void throw_failure(const failure& why) {
#if RINGPOOL_EXCEPTIONS
  throw std::system_error(make_error_code(why.code), std::string("ringpool: ") + why.text);
#else
  (void)why;
  std::terminate();
#endif
}

void throw_bad_alloc() {
#if RINGPOOL_EXCEPTIONS
  throw std::bad_alloc();
#else
  std::terminate();
#endif
}

}  // namespace detail
}  // namespace ringpool
