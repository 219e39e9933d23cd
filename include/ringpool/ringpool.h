// SPDX-License-Identifier: MIT
#ifndef RINGPOOL_RINGPOOL_H
#define RINGPOOL_RINGPOOL_H

// The pools for C, and for what speaks to C: target ringpool::c, pkg-config ringpool-c, library
// libringpool_c.so, which needs no other part of ringpool and exports rp_* alone.
//
//   rp_pool* pool = rp_pool_create(classes, count, NULL, &error);
//   void* buffer = rp_alloc(pool, 300);      // of the smallest class that fits; NULL: all spent
//   rp_free(pool, buffer);                   // on any thread
//   rp_pool_destroy(pool);                   // once every buffer was given back
//
// Guarantees
// - Nothing is thrown across this boundary. Progress, thread-safety, exhaustion and misuse are as
//   multi_size_ring_pool's (ringpool/multi_size_ring_pool.hpp); a call costs one more jump.
// - Structures that may grow go with their size: a program built with an older header works with a
//   newer library, and one built with a newer header with an older library where it asks for
//   nothing new (as openat2(2) does it). Numbers of errors and misuses stay what they are.
// - Pointers must not be NULL where nothing else is said.

// NOLINTBEGIN(modernize-*,readability-identifier-naming): this is C
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define RP_NOEXCEPT noexcept
extern "C" {
#else
#define RP_NOEXCEPT
#endif
#define RP_API __attribute__((visibility("default")))

// ---- Errors -------------------------------------------------------------------------------------

// Why a pool could not be made.
enum {
  RP_OK = 0,
  RP_INVALID_SIZE = 1,        // buffer size is 0 or too large
  RP_INVALID_CAPACITY = 2,    // capacity is 0, not a power of two, or too large
  RP_DUPLICATE_SIZE = 3,      // two classes have the same buffer size
  RP_NO_CLASSES = 4,          // no class at all
  RP_TOO_MANY_CLASSES = 5,    // more than 64 classes
  RP_INVALID_OPTION = 6,      // an option outside of its range, or unknown to this library
  RP_TOO_LARGE = 7,           // sizes and capacities overflow the address space
  RP_RESERVATION_FAILED = 8,  // the kernel refused the address range (RLIMIT_AS, overcommit)
  RP_COMMIT_FAILED = 9,       // the kernel refused to make memory usable or resident
  RP_LOCK_FAILED = 10,        // mlock refused (RLIMIT_MEMLOCK)
  RP_NUMA_FAILED = 11,        // the NUMA node does not exist or mbind is refused
  RP_OUT_OF_MEMORY = 12,      // the pool object itself could not be allocated
  RP_INVALID_ARGUMENT = 100   // a NULL that must not be, or a size that no version ever had
};

// What went wrong in one call: RP_OK and "" where nothing did.
typedef struct rp_error {
  int32_t code;
  char text[252];  // with the value that was given, and what is accepted; ends in a zero
} rp_error;

// One sentence for a code, in static memory; for an unknown one too.
RP_API const char* rp_error_text(int32_t code) RP_NOEXCEPT;

// Of the library, which may be another than the header's: 10000 * major + 100 * minor + patch.
RP_API uint32_t rp_version(void) RP_NOEXCEPT;

// ---- Pools --------------------------------------------------------------------------------------

typedef struct rp_pool rp_pool;

// `capacity` buffers of `buffer_size` bytes each; capacity is a power of two.
typedef struct rp_class {
  size_t buffer_size;
  size_t capacity;
} rp_class;

enum { RP_ZERO_NONE = 0, RP_ZERO_USED = 1, RP_ZERO_ALL = 2 };
enum { RP_PAGES_BASE = 0, RP_PAGES_TRANSPARENT = 1, RP_PAGES_RESERVED = 2 };

// See pool_options (ringpool/pool_options.hpp). Made by rp_options_init, then changed.
typedef struct rp_options {
  size_t struct_size;            // sizeof(rp_options), as the caller's header has it
  size_t elastic_capacity;       // further buffers of each class, committed on use
  size_t upstream_budget_bytes;  // most bytes from malloc once a class is spent; 0: none
  size_t cache_limit;            // most buffers that one thread may cache, of each class
  uint32_t elastic_decay_ms;     // elastic memory is given back after this long
  int32_t numa_node;             // -1: no binding
  uint32_t zero_on_free;         // RP_ZERO_...
  uint32_t pages;                // RP_PAGES_...
  uint32_t hardened;             // not 0: see the chapter on misuse
  uint32_t prefault;             // not 0: buffers of the ring are resident before their first use
  uint32_t lock_memory;          // not 0: mlock
  uint32_t use_membarrier;       // 0: threads fence for themselves

  // Allocations that fail on purpose, in tests, as if all were spent; any one rule is enough. All
  // 0: none. Numbers count the allocations of all threads, of the sizes that are meant; the first
  // is 1.
  uint64_t fault_nth;          // this one alone
  uint64_t fault_every;        // each whose number this divides
  double fault_probability;    // 0 to 1: each, by a throw of its own
  uint64_t fault_seed;         // for the probability: the same seed fails the same numbers
  uint64_t fault_buffer_size;  // only of the class of this buffer_size; 0: of all
} rp_options;

// Fills in the defaults. struct_size: sizeof *options.
RP_API void rp_options_init(rp_options* options, size_t struct_size) RP_NOEXCEPT;

// Classes in any order, 1 to 64. options, error: may be NULL. Returns NULL on failure, with the
// reason in `error`.
RP_API rp_pool* rp_pool_create(const rp_class* classes, size_t class_count,
                               const rp_options* options, rp_error* error) RP_NOEXCEPT;
// Every buffer must have been given back. NULL: nothing happens.
RP_API void rp_pool_destroy(rp_pool* pool) RP_NOEXCEPT;

// `size` bytes or more, aligned to 64, indeterminate. Ring and elastic buffers of the smallest
// class that fits, then malloc within the budget; larger sizes go there at once. NULL: all are
// spent. size 0: a pointer that is not to be dereferenced.
RP_API void* rp_alloc(rp_pool* pool, size_t size) RP_NOEXCEPT;
// The ring of the smallest class that fits, alone. Never waits.
RP_API void* rp_try_alloc(rp_pool* pool, size_t size) RP_NOEXCEPT;
// As rp_alloc; when all are spent, or others wait already, sleeps: first come, first served. NULL
// after timeout_ns, and at once where the pool can never serve this size. UINT64_MAX: for ever.
RP_API void* rp_alloc_for(rp_pool* pool, size_t size, uint64_t timeout_ns) RP_NOEXCEPT;
// On any thread. NULL: nothing happens. Pointers that are not out: the misuse handler.
RP_API void rp_free(rp_pool* pool, void* pointer) RP_NOEXCEPT;

// The ring of the smallest class that fits, alone. Returns how many of `count` it filled, from the
// front.
RP_API size_t rp_alloc_bulk(rp_pool* pool, size_t size, void** out, size_t count) RP_NOEXCEPT;
// Pointers of any classes.
RP_API void rp_free_bulk(rp_pool* pool, void* const* pointers, size_t count) RP_NOEXCEPT;

// Gives the memory of free elastic buffers back to the system; returns bytes.
RP_API size_t rp_pool_trim(rp_pool* pool) RP_NOEXCEPT;
// As rp_pool_trim, if none was allocated for elastic_decay_ms. For a server's timer.
RP_API size_t rp_pool_decay(rp_pool* pool) RP_NOEXCEPT;
// 1 for every address inside the pool's own buffers, else 0.
RP_API int rp_pool_owns(const rp_pool* pool, const void* pointer) RP_NOEXCEPT;

// ---- Statistics ---------------------------------------------------------------------------------

// See pool_stats (ringpool/stats.hpp).
typedef struct rp_stats {
  uint64_t alloc_count;     // buffers given out: ring, elastic and upstream
  uint64_t free_count;      // buffers given back
  uint64_t fallback_count;  // of alloc_count: served by elastic or upstream
  uint64_t available;       // ring buffers that rp_try_alloc can still give out
  uint64_t ring_size;       // ring buffers in all: the capacity
  uint64_t in_use;          // ring buffers held by callers
  uint64_t buffer_size;     // bytes; 0 in a sum
  uint64_t cached;          // of available: in threads' caches
  uint64_t peak_in_use;     // most ring buffers out of the ring at once
  uint64_t elastic_capacity;
  uint64_t elastic_in_use;
  uint64_t elastic_alloc_count;
  uint64_t upstream_alloc_count;
  uint64_t upstream_in_use_bytes;  // as requested; of all classes together
  uint64_t oversize_count;         // of upstream_alloc_count: larger than the largest buffer
  uint64_t raid_count;             // times a thread took what other caches held
  uint64_t refusal_count;          // requests that got nothing
  uint64_t misuse_count;           // calls reported to the misuse handler
  uint64_t injected_count;         // of refusal_count: by the options' fault_...
  uint64_t waiting;                // who wait for a buffer now
  uint64_t wait_count;             // who ever waited
  uint64_t wait_timeout_count;     // of wait_count: who met the deadline
  uint64_t wait_total_ns;          // time that waits took which are over
  uint64_t spill_count;            // requests for a class that a larger one served
  uint64_t spill_in_use;           // of in_use: held by requests for smaller classes
} rp_stats;

#define RP_ALL_CLASSES SIZE_MAX

RP_API size_t rp_pool_class_count(const rp_pool* pool) RP_NOEXCEPT;
// Of one class, by rising buffer_size, or of RP_ALL_CLASSES the sum. struct_size: sizeof *stats;
// what this library does not know becomes 0. Returns RP_OK, or RP_INVALID_ARGUMENT for a class that
// there is not: all 0 then.
RP_API int32_t rp_pool_stats(const rp_pool* pool, size_t class_index, rp_stats* stats,
                             size_t struct_size) RP_NOEXCEPT;

// ---- Misuse -------------------------------------------------------------------------------------

// What a caller did wrong. Hardened pools find more: racing double frees, bytes changed behind a
// buffer or in a free one, buffers held at rp_pool_destroy.
enum {
  RP_DOUBLE_FREE = 0,
  RP_FOREIGN_POINTER = 1,        // not from this pool
  RP_INTERIOR_POINTER = 2,       // into a buffer but not its first byte
  RP_CANARY_OVERWRITTEN = 3,     // hardened
  RP_WRITE_AFTER_FREE = 4,       // hardened
  RP_INVALID_RESIZE = 5,         // not from C
  RP_OUTSTANDING_BUFFERS = 6,    // hardened
  RP_INVALID_SLICE = 7,          // rp_shared_slice beyond the handle's size
  RP_TOO_MANY_REFERENCES = 8,    // rp_shared_retain of what has 2^31 handles
  RP_WAITING_AT_DESTRUCTION = 9  // rp_pool_destroy inside somebody's rp_alloc_for
};

typedef struct rp_misuse {
  int32_t kind;
  int32_t last_freer_thread_id;  // hardened pools: gettid() of the last free; 0: unknown
  const void* pointer;           // what the caller passed
  uint64_t buffer_size;          // of the class that was called, in bytes
  uint64_t outstanding_count;    // RP_OUTSTANDING_BUFFERS, RP_WAITING_AT_DESTRUCTION only
} rp_misuse;

typedef void (*rp_misuse_handler)(const rp_misuse* what);

// Replaces this library's handler, which is the process's, and returns the one before. NULL: the
// default, which writes a line to standard error and aborts. Where a handler returns, the misused
// call has no effect. It must neither throw nor longjmp. Any thread.
RP_API rp_misuse_handler rp_set_misuse_handler(rp_misuse_handler handler) RP_NOEXCEPT;
RP_API const char* rp_misuse_text(int32_t kind) RP_NOEXCEPT;

// ---- Shared buffers -----------------------------------------------------------------------------

// A handle on a buffer, or on a part of one, that any number of handles share; the last to be
// released gives the buffer back. All bytes zero: an empty handle, on which every call is allowed.
// To assign the structure moves the handle: one of the two is then to be forgotten, not released.
typedef struct rp_shared {
  void* opaque[4];
} rp_shared;

// A new buffer as rp_alloc's, with one handle. Returns its bytes, to be written before the handle
// is copied; NULL, and an empty handle, when all are spent.
RP_API void* rp_shared_alloc(rp_pool* pool, size_t size, rp_shared* out) RP_NOEXCEPT;
// One more handle: *to, another structure, whose former bytes do not matter.
RP_API void rp_shared_retain(const rp_shared* from, rp_shared* to) RP_NOEXCEPT;
// One more handle, on `size` bytes from `offset` on. Beyond the end: RP_INVALID_SLICE, an empty
// one.
RP_API void rp_shared_slice(const rp_shared* from, size_t offset, size_t size,
                            rp_shared* to) RP_NOEXCEPT;
// One handle less; it is empty then.
RP_API void rp_shared_release(rp_shared* handle) RP_NOEXCEPT;
// The only handle becomes a buffer of rp_alloc again, all of it: its address, for rp_free. NULL,
// and nothing changed, if there are other handles, or it is empty.
RP_API void* rp_shared_unique(rp_shared* handle) RP_NOEXCEPT;

RP_API const void* rp_shared_data(const rp_shared* handle) RP_NOEXCEPT;
RP_API size_t rp_shared_size(const rp_shared* handle) RP_NOEXCEPT;
// Handles on the buffer and its parts, as it was a moment ago; 0: this one is empty.
RP_API size_t rp_shared_count(const rp_shared* handle) RP_NOEXCEPT;

// ---- Accounts -----------------------------------------------------------------------------------

// A budget of bytes, below the budget of a parent: see account (ringpool/account.hpp). It knows of
// no pool: the caller charges before rp_alloc and refunds after rp_free. Any thread, but for
// rp_account_destroy.
typedef struct rp_account rp_account;

enum { RP_MARK_HIGH = 0, RP_MARK_LOW = 1 };
// Called on the thread that crossed the mark, with nothing locked.
typedef void (*rp_mark_handler)(rp_account* account, int32_t mark, void* context);

// Made by rp_account_options_init, then changed.
typedef struct rp_account_options {
  size_t struct_size;       // sizeof(rp_account_options), as the caller's header has it
  uint64_t limit_bytes;     // most that may be charged at once
  uint64_t high_bytes;      // RP_MARK_HIGH when used bytes come to this
  uint64_t low_bytes;       // RP_MARK_LOW when they are down to this again, which is less
  rp_mark_handler on_mark;  // NULL: none
  void* context;            // for on_mark
  rp_account* parent;       // charged too; outlives this account. NULL: none
} rp_account_options;

// Fills in the defaults: no limit, no marks. struct_size: sizeof *options.
RP_API void rp_account_options_init(rp_account_options* options, size_t struct_size) RP_NOEXCEPT;
// NULL on failure, with the reason in `error`, which may be NULL.
RP_API rp_account* rp_account_create(const rp_account_options* options,
                                     rp_error* error) RP_NOEXCEPT;
// NULL: nothing happens.
RP_API void rp_account_destroy(rp_account* account) RP_NOEXCEPT;
// 1: charged here and in every account above. 0: nowhere, as one of them would be beyond its limit.
RP_API int rp_account_charge(rp_account* account, uint64_t bytes) RP_NOEXCEPT;
// What was charged, whole or in parts.
RP_API void rp_account_refund(rp_account* account, uint64_t bytes) RP_NOEXCEPT;
RP_API uint64_t rp_account_used_bytes(const rp_account* account) RP_NOEXCEPT;
// Charges that this account refused, to itself and to those below.
RP_API uint64_t rp_account_refusal_count(const rp_account* account) RP_NOEXCEPT;

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-*,readability-identifier-naming)

#endif  // RINGPOOL_RINGPOOL_H
