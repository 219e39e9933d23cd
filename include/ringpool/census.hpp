// SPDX-License-Identifier: MIT
#pragma once

//   pool_options::sampling.interval = 128
//
//   alloc --one in 128--> record of the buffer: site, owner, thread, time, size
//                             |  until it is freed
//                             v
//   take_census(pool)     holders, the largest first: so many buffers, from this site, for this
//   owner dump_outstanding(pool)    the same as text folded_stacks(census)     the same for flame
//   graphs ~pool with buffers held   the leak handler

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ringpool/detail/sampling.hpp"
#include "ringpool/multi_size_ring_pool.hpp"
#include "ringpool/owner_scope.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {

/// Sampled buffers that are held, allocated by one stack for one owner.
struct holder {
  std::vector<const void*> frames;  ///< return addresses, the caller's first; never empty
  const char* owner = nullptr;      ///< of the owner_scope; nullptr: none
  std::uint64_t owner_id = 0;
  std::uint64_t sample_count = 0;
  std::uint64_t held_count = 0;  ///< buffers, about: samples times allocations a sample
  std::uint64_t size_bytes = 0;  ///< asked for, about
  std::int64_t oldest_ms = 0;    ///< for how long the oldest sample has been held
  std::int64_t newest_ms = 0;
  std::int32_t thread_id = 0;  ///< gettid() of who allocated the oldest
};

/// Who holds the buffers of one pool or class. Without sampling: counts alone.
struct census {
  std::size_t buffer_size = 0;
  std::uint64_t held_count = 0;      ///< exact at quiescence: ring and elastic buffers
  std::uint64_t sample_count = 0;    ///< of those
  std::uint64_t alloc_count = 0;     ///< ring and elastic, since the pool was made
  std::uint64_t sampled_allocs = 0;  ///< of those
  std::vector<holder> holders;       ///< by falling held_count
  /// Samples whose buffers came back: in [i] after less than 2^i ms, and 2^(i - 1) or more.
  std::vector<std::uint64_t> ages;

  /// What a sample stands for: allocations a sample so far.
  [[nodiscard]] double weight() const noexcept {
    return sampled_allocs == 0
               ? 1.0
               : static_cast<double>(alloc_count) / static_cast<double>(sampled_allocs);
  }
};

/// Looks at every buffer's state, 1 byte each, while others allocate and free. Buffers lent to
/// smaller classes are among them; blocks from upstream have no sample. Throws std::bad_alloc.
[[nodiscard]] census take_census(const ring_buffer_pool& pool);
/// One for each class, by rising buffer_size.
[[nodiscard]] std::vector<census> take_census(const multi_size_ring_pool& pool);

/// As lines of text, sites named by symbol_of:
///   class 512: 3,072 of 4,096 held, 24 samples
///     ~1,536 held for 4.2 s to 93 s, 786,432 bytes: chat 17: handle_join(client&)+0x1f2
[[nodiscard]] std::string to_text(const census& of);
[[nodiscard]] std::string dump_outstanding(const ring_buffer_pool& pool);
[[nodiscard]] std::string dump_outstanding(const multi_size_ring_pool& pool);

/// What is held, as `outermost;...;site buffers` lines: the input of flamegraph.pl, inferno and
/// speedscope. The first frame is the owner's name, where there is one, and then the class.
[[nodiscard]] std::string folded_stacks(const census& of);

/// `function(arguments)+0x1f`, or `program+0x1234` for addr2line, of a code address: see dladdr(3);
/// a program's own functions have names if it is linked with -rdynamic.
[[nodiscard]] std::string symbol_of(const void* address);

/// A pool with sampling is being destroyed while buffers are held.
struct leak {
  const ring_buffer_pool* pool;  ///< may be looked at, and nothing allocated from it
  std::uint64_t outstanding_count;
};
using leak_handler = void (*)(const leak&) noexcept;

/// Replaces the process-wide handler and returns the one before; nullptr restores the default,
/// which writes dump_outstanding to standard error. Any thread; lock-free. Hardened pools report
/// the misuse afterwards as well.
leak_handler set_leak_handler(leak_handler handler) noexcept;

}  // namespace ringpool
