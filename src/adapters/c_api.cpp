// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <system_error>
#include <utility>

#include "ringpool/account.hpp"
#include "ringpool/detail/atomics.hpp"
#include "ringpool/fault_plan.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/ringpool.h"
#include "ringpool/shared_buffer.hpp"

// Edges (release -> acquire):
//   R1 -> A1  rp_set_misuse_handler -> call_c_handler   what the handler works on

#if !RINGPOOL_EXCEPTIONS
#error "libringpool_c is built with exceptions, which none of its functions lets through"
#endif

/// What C calls a pool: a set, and its plan of faults, which only a rule that can fail is heard of.
struct rp_pool {
  rp_pool(std::span<const ringpool::size_class> classes, ringpool::pool_options options,
          const ringpool::fault_rule& rule)
      : faults(rule), set(classes, with(options, faults)) {}

  static ringpool::pool_options& with(ringpool::pool_options& options,
                                      ringpool::fault_plan& faults) noexcept {
    const ringpool::fault_rule& rule = faults.rule();
    const bool fails = rule.nth != 0 || rule.every != 0 || rule.probability > 0;
    options.faults = fails ? &faults : nullptr;
    return options;
  }

  ringpool::fault_plan faults;
  ringpool::multi_size_ring_pool set;
};

/// What C calls an account, and whom it tells of its marks.
struct rp_account {
  explicit rp_account(const rp_account_options& from) noexcept
      : on_mark(from.on_mark), context(from.context), budget(settings(from, *this)) {}

  static ringpool::account::settings settings(const rp_account_options& from,
                                              rp_account& self) noexcept {
    return {from.limit_bytes,
            from.high_bytes,
            from.low_bytes,
            from.on_mark == nullptr ? nullptr : &tell,
            &self,
            from.parent == nullptr ? nullptr : &from.parent->budget};
  }
  static void tell(ringpool::account& /*budget*/, ringpool::watermark crossed,
                   void* self) noexcept {
    auto* const account = static_cast<rp_account*>(self);
    account->on_mark(account, crossed == ringpool::watermark::high ? RP_MARK_HIGH : RP_MARK_LOW,
                     account->context);
  }

  rp_mark_handler on_mark;
  void* context;
  ringpool::account budget;
};

namespace {

using ringpool::errc;
using ringpool::misuse_kind;
using ringpool::shared_buffer;

// ---- What is compiled into programs -------------------------------------------------------------

constexpr bool same(errc here, int there) { return static_cast<int>(here) == there; }
constexpr bool same(misuse_kind here, int there) { return static_cast<int>(here) == there; }
static_assert(same(errc::invalid_size, RP_INVALID_SIZE) &&
              same(errc::invalid_capacity, RP_INVALID_CAPACITY) &&
              same(errc::duplicate_size, RP_DUPLICATE_SIZE) &&
              same(errc::no_classes, RP_NO_CLASSES) &&
              same(errc::too_many_classes, RP_TOO_MANY_CLASSES) &&
              same(errc::invalid_option, RP_INVALID_OPTION) &&
              same(errc::too_large, RP_TOO_LARGE) &&
              same(errc::reservation_failed, RP_RESERVATION_FAILED) &&
              same(errc::commit_failed, RP_COMMIT_FAILED) &&
              same(errc::lock_failed, RP_LOCK_FAILED) && same(errc::numa_failed, RP_NUMA_FAILED) &&
              same(errc::out_of_memory, RP_OUT_OF_MEMORY));
static_assert(same(misuse_kind::double_free, RP_DOUBLE_FREE) &&
              same(misuse_kind::foreign_pointer, RP_FOREIGN_POINTER) &&
              same(misuse_kind::interior_pointer, RP_INTERIOR_POINTER) &&
              same(misuse_kind::canary_overwritten, RP_CANARY_OVERWRITTEN) &&
              same(misuse_kind::write_after_free, RP_WRITE_AFTER_FREE) &&
              same(misuse_kind::invalid_resize, RP_INVALID_RESIZE) &&
              same(misuse_kind::outstanding_buffers, RP_OUTSTANDING_BUFFERS) &&
              same(misuse_kind::invalid_slice, RP_INVALID_SLICE) &&
              same(misuse_kind::too_many_references, RP_TOO_MANY_REFERENCES) &&
              same(misuse_kind::waiting_at_destruction, RP_WAITING_AT_DESTRUCTION));
static_assert(sizeof(rp_error) == 256);
// The sizes of the first version: they may grow, never shrink.
constexpr std::size_t first_options_bytes = 4 * sizeof(std::size_t) + 8 * sizeof(std::uint32_t);
static_assert(sizeof(rp_options) >= first_options_bytes);
constexpr std::size_t first_account_options_bytes =
    4 * sizeof(std::size_t) + 3 * sizeof(std::uint64_t);
static_assert(sizeof(rp_account_options) >= first_account_options_bytes);
static_assert(sizeof(rp_shared) == sizeof(shared_buffer));
static_assert(alignof(rp_shared) == alignof(shared_buffer));

// ---- Errors and options -------------------------------------------------------------------------

void report(rp_error* error, std::int32_t code, const char* text) noexcept {
  if (error != nullptr) {
    error->code = code;
    std::snprintf(error->text, sizeof error->text, "%s", text);
  }
}

rp_options defaults() noexcept {
  const ringpool::pool_options from;
  rp_options made{};
  made.struct_size = sizeof made;
  made.elastic_capacity = from.elastic_capacity;
  made.upstream_budget_bytes = from.upstream_budget_bytes;
  made.cache_limit = from.cache_limit;
  made.elastic_decay_ms = static_cast<std::uint32_t>(from.elastic_decay.count());
  made.numa_node = from.memory.numa_node;
  made.zero_on_free = static_cast<std::uint32_t>(from.zero_on_free);
  made.pages = static_cast<std::uint32_t>(from.memory.pages);
  made.hardened = from.hardened ? 1 : 0;
  made.prefault = from.memory.prefault ? 1 : 0;
  made.lock_memory = from.memory.lock ? 1 : 0;
  made.use_membarrier = from.use_membarrier ? 1 : 0;
  made.fault_seed = ringpool::fault_rule{}.seed;
  return made;
}

rp_account_options account_defaults() noexcept {
  const ringpool::account::settings from;
  rp_account_options made{};
  made.struct_size = sizeof made;
  made.limit_bytes = from.limit_bytes;
  made.high_bytes = from.high_bytes;
  made.low_bytes = from.low_bytes;
  return made;
}

/// Reads options of any version, as openat2(2) does. nullptr, or what is wrong.
template <class Options>
const char* read_any_version(const Options& given, std::size_t first_bytes,
                             Options& known) noexcept {
  const std::size_t bytes = given.struct_size;
  if (bytes < first_bytes || bytes > 4096) {
    return "struct_size of the options is not that of any version: their ..._init function sets it";
  }
  const auto* const all = reinterpret_cast<const unsigned char*>(&given);
  if (bytes > sizeof known &&
      std::any_of(all + sizeof known, all + bytes, [](unsigned char byte) { return byte != 0; })) {
    return "an option is set that this version of the library does not know";
  }
  std::memcpy(&known, all, std::min(bytes, sizeof known));
  return nullptr;
}

/// nullptr, or what is wrong.
const char* read(const rp_options& given, std::span<const rp_class> classes,
                 rp_options& known) noexcept {
  if (const char* const wrong = read_any_version(given, first_options_bytes, known)) {
    return wrong;
  }
  if (known.zero_on_free > RP_ZERO_ALL || known.pages > RP_PAGES_RESERVED) {
    return "zero_on_free and pages must be one of their constants, 0 to 2";
  }
  if (!(known.fault_probability >= 0 && known.fault_probability <= 1)) {
    return "fault_probability must be 0 to 1";
  }
  if (known.fault_buffer_size != 0 &&
      std::none_of(classes.begin(), classes.end(), [&known](const rp_class& one) {
        return one.buffer_size == known.fault_buffer_size;
      })) {
    return "fault_buffer_size must be 0 or the buffer_size of one of the classes";
  }
  return nullptr;
}

ringpool::fault_rule rule_of(const rp_options& from) noexcept {
  ringpool::fault_rule made;
  made.nth = from.fault_nth;
  made.every = from.fault_every;
  made.probability = from.fault_probability;
  made.seed = from.fault_seed;
  made.buffer_size = static_cast<std::size_t>(from.fault_buffer_size);
  return made;
}

ringpool::pool_options convert(const rp_options& from) noexcept {
  ringpool::pool_options made;
  made.elastic_capacity = from.elastic_capacity;
  made.upstream_budget_bytes = from.upstream_budget_bytes;
  made.zero_on_free = static_cast<ringpool::zeroing>(from.zero_on_free);
  made.hardened = from.hardened != 0;
  made.memory = {from.prefault != 0, static_cast<ringpool::huge_pages>(from.pages), from.numa_node,
                 from.lock_memory != 0};
  made.cache_limit = from.cache_limit;
  made.elastic_decay = std::chrono::milliseconds(from.elastic_decay_ms);
  made.use_membarrier = from.use_membarrier != 0;
  return made;
}

/// The first bytes of `from`, and zeros where the caller's structure is longer.
template <class T>
void copy_out(const T& from, T* to, std::size_t struct_size) noexcept {
  std::memset(to, 0, struct_size);
  std::memcpy(to, &from, std::min(struct_size, sizeof from));
}

rp_stats convert(const ringpool::pool_stats& from) noexcept {
  return {from.alloc_count,
          from.free_count,
          from.fallback_count,
          from.available,
          from.ring_size,
          from.in_use,
          from.buffer_size,
          from.cached,
          from.peak_in_use,
          from.elastic_capacity,
          from.elastic_in_use,
          from.elastic_alloc_count,
          from.upstream_alloc_count,
          from.upstream_in_use_bytes,
          from.oversize_count,
          from.raid_count,
          from.refusal_count,
          from.misuse_count,
          from.injected_count,
          from.waiting,
          from.wait_count,
          from.wait_timeout_count,
          from.wait_total_ns,
          from.spill_count,
          from.spill_in_use};
}

// ---- Misuse -------------------------------------------------------------------------------------

std::atomic<rp_misuse_handler> c_handler{nullptr};

void call_c_handler(const ringpool::misuse& what) noexcept {
  const rp_misuse_handler handler = c_handler.load(ringpool::detail::acquire);  // A1 <- R1
  if (handler == nullptr) {
    ringpool::set_misuse_handler(nullptr);  // the default, which does not return
    ringpool::detail::report_misuse(what);
    return;
  }
  const rp_misuse for_c{static_cast<std::int32_t>(what.kind), what.last_freer_thread_id,
                        what.pointer, what.buffer_size, what.outstanding_count};
  handler(&for_c);
}

// ---- Shared buffers -----------------------------------------------------------------------------

/// The handle that lies in the structure. Zeros are an empty one: only data_ is asked.
shared_buffer& in(rp_shared* handle) noexcept {
  return *std::launder(reinterpret_cast<shared_buffer*>(handle));
}
const shared_buffer& in(const rp_shared* handle) noexcept {
  return *std::launder(reinterpret_cast<const shared_buffer*>(handle));
}
void put(shared_buffer&& from, rp_shared* to) noexcept {
  ::new (static_cast<void*>(to)) shared_buffer(std::move(from));
}

}  // namespace

// ---- The functions ------------------------------------------------------------------------------

const char* rp_error_text(std::int32_t code) noexcept {
  switch (code) {
    case RP_OK: return "no error";
    case RP_INVALID_SIZE: return "buffer size must be 1 to 4294967168 bytes";
    case RP_INVALID_CAPACITY: return "capacity must be a power of two, 1 to 1073741824";
    case RP_DUPLICATE_SIZE: return "every class of a set must have its own buffer size";
    case RP_NO_CLASSES: return "a set needs at least one class";
    case RP_TOO_MANY_CLASSES: return "a set has at most 64 classes";
    case RP_INVALID_OPTION: return "a pool option is outside of its range";
    case RP_TOO_LARGE: return "sizes and capacities exceed the address space";
    case RP_RESERVATION_FAILED: return "address space could not be reserved";
    case RP_COMMIT_FAILED: return "memory could not be committed";
    case RP_LOCK_FAILED: return "memory could not be locked";
    case RP_NUMA_FAILED: return "the NUMA node cannot be used";
    case RP_OUT_OF_MEMORY: return "out of memory";
    case RP_INVALID_ARGUMENT: return "an argument is NULL or of a wrong size";
    default: return "unknown ringpool error";
  }
}

std::uint32_t rp_version() noexcept {
  return RINGPOOL_VERSION_MAJOR * 10000 + RINGPOOL_VERSION_MINOR * 100 + RINGPOOL_VERSION_PATCH;
}

void rp_options_init(rp_options* options, std::size_t struct_size) noexcept {
  copy_out(defaults(), options, struct_size);
  options->struct_size = struct_size;
}

rp_pool* rp_pool_create(const rp_class* classes, std::size_t class_count, const rp_options* options,
                        rp_error* error) noexcept {
  report(error, RP_OK, "");
  rp_options known = defaults();
  if (classes == nullptr && class_count != 0) {
    report(error, RP_INVALID_ARGUMENT, "classes is NULL");
    return nullptr;
  }
  if (class_count > ringpool::max_class_count) {
    report(error, RP_TOO_MANY_CLASSES, rp_error_text(RP_TOO_MANY_CLASSES));
    return nullptr;
  }
  if (const char* wrong =
          options == nullptr ? nullptr : read(*options, {classes, class_count}, known);
      wrong != nullptr) {
    report(error, RP_INVALID_OPTION, wrong);
    return nullptr;
  }
  std::array<ringpool::size_class, ringpool::max_class_count> copies{};
  std::transform(classes, classes + class_count, copies.begin(), [](const rp_class& one) {
    return ringpool::size_class{one.buffer_size, one.capacity};
  });
  try {
    return new rp_pool({copies.data(), class_count}, convert(known), rule_of(known));
  } catch (const std::system_error& refused) {
    report(error, refused.code().value(), refused.what());
  } catch (...) {
    report(error, RP_OUT_OF_MEMORY, rp_error_text(RP_OUT_OF_MEMORY));
  }
  return nullptr;
}

void rp_pool_destroy(rp_pool* pool) noexcept { delete pool; }

void* rp_alloc(rp_pool* pool, std::size_t size) noexcept { return pool->set.allocate(size); }

void* rp_try_alloc(rp_pool* pool, std::size_t size) noexcept {
  return pool->set.try_allocate(size);
}

void* rp_alloc_for(rp_pool* pool, std::size_t size, std::uint64_t timeout_ns) noexcept {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const std::chrono::nanoseconds timeout(
      static_cast<std::int64_t>(std::min<std::uint64_t>(timeout_ns, most)));
  return pool->set.alloc_for(size, timeout).release();
}

void rp_free(rp_pool* pool, void* pointer) noexcept { pool->set.deallocate(pointer); }

std::size_t rp_alloc_bulk(rp_pool* pool, std::size_t size, void** out, std::size_t count) noexcept {
  return pool->set.allocate_bulk(size, {out, count});
}

void rp_free_bulk(rp_pool* pool, void* const* pointers, std::size_t count) noexcept {
  pool->set.deallocate_bulk({pointers, count});
}

std::size_t rp_pool_trim(rp_pool* pool) noexcept { return pool->set.trim(); }

std::size_t rp_pool_decay(rp_pool* pool) noexcept { return pool->set.decay(); }

int rp_pool_owns(const rp_pool* pool, const void* pointer) noexcept {
  return pool->set.owns(pointer) ? 1 : 0;
}

std::size_t rp_pool_class_count(const rp_pool* pool) noexcept { return pool->set.class_count(); }

std::int32_t rp_pool_stats(const rp_pool* pool, std::size_t class_index, rp_stats* stats,
                           std::size_t struct_size) noexcept {
  rp_stats now{};
  std::int32_t code = RP_OK;
  if (class_index < pool->set.class_count()) {
    now = convert(pool->set.classes()[class_index].stats());
  } else if (class_index == RP_ALL_CLASSES) {
    try {
      now = convert(pool->set.stats().total());
    } catch (...) {
      code = RP_OUT_OF_MEMORY;
    }
  } else {
    code = RP_INVALID_ARGUMENT;
  }
  copy_out(now, stats, struct_size);
  return code;
}

rp_misuse_handler rp_set_misuse_handler(rp_misuse_handler handler) noexcept {
  // R1 -> A1 (call_c_handler): what the caller prepared for its handler is there when it runs
  const rp_misuse_handler before = c_handler.exchange(handler, ringpool::detail::acq_rel);
  ringpool::set_misuse_handler(&call_c_handler);
  return before;
}

const char* rp_misuse_text(std::int32_t kind) noexcept {
  return ringpool::to_string(static_cast<misuse_kind>(std::clamp<std::int32_t>(kind, 0, 255)));
}

void* rp_shared_alloc(rp_pool* pool, std::size_t size, rp_shared* out) noexcept {
  ringpool::buffer whole = pool->set.alloc(size, std::nothrow);
  void* const bytes = whole.data();
  put(shared_buffer(std::move(whole)), out);
  return bytes;
}

void rp_shared_retain(const rp_shared* from, rp_shared* to) noexcept {
  put(shared_buffer(in(from)), to);
}

void rp_shared_slice(const rp_shared* from, std::size_t offset, std::size_t size,
                     rp_shared* to) noexcept {
  put(in(from).slice(offset, size), to);
}

void rp_shared_release(rp_shared* handle) noexcept { in(handle).reset(); }

void* rp_shared_unique(rp_shared* handle) noexcept {
  return std::move(in(handle)).unique().release();
}

const void* rp_shared_data(const rp_shared* handle) noexcept { return in(handle).data(); }

std::size_t rp_shared_size(const rp_shared* handle) noexcept { return in(handle).size(); }

std::size_t rp_shared_count(const rp_shared* handle) noexcept { return in(handle).use_count(); }

void rp_account_options_init(rp_account_options* options, std::size_t struct_size) noexcept {
  copy_out(account_defaults(), options, struct_size);
  options->struct_size = struct_size;
}

rp_account* rp_account_create(const rp_account_options* options, rp_error* error) noexcept {
  report(error, RP_OK, "");
  rp_account_options known = account_defaults();
  const char* wrong =
      options == nullptr ? nullptr : read_any_version(*options, first_account_options_bytes, known);
  if (wrong == nullptr && known.low_bytes >= known.high_bytes) {
    wrong = "low_bytes must be less than high_bytes";
  }
  if (wrong != nullptr) {
    report(error, RP_INVALID_OPTION, wrong);
    return nullptr;
  }
  auto* const made = new (std::nothrow) rp_account(known);
  if (made == nullptr) {
    report(error, RP_OUT_OF_MEMORY, rp_error_text(RP_OUT_OF_MEMORY));
  }
  return made;
}

void rp_account_destroy(rp_account* account) noexcept { delete account; }

int rp_account_charge(rp_account* account, std::uint64_t bytes) noexcept {
  return account->budget.try_charge(bytes) ? 1 : 0;
}

void rp_account_refund(rp_account* account, std::uint64_t bytes) noexcept {
  account->budget.refund(bytes);
}

std::uint64_t rp_account_used_bytes(const rp_account* account) noexcept {
  return account->budget.used_bytes();
}

std::uint64_t rp_account_refusal_count(const rp_account* account) noexcept {
  return account->budget.refusal_count();
}
