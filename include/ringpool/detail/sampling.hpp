// SPDX-License-Identifier: MIT
#pragma once

//   samples   totals | record of buffer 0 | record of buffer 1 | ...    ring buffers, then elastic
//                      ^ written by whoever takes the buffer, if it is that allocation's turn
//
// Edges (release -> acquire):
//   R1 -> A1  write -> read   a field is not seen before the version that announces its change

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "ringpool/config.hpp"
#include "ringpool/detail/atomics.hpp"

namespace ringpool {

class ring_buffer_pool;

/// Most frames of a stack that a sample keeps.
inline constexpr std::size_t max_sample_depth = 10;
/// Least frequent samples: one allocation in so many.
inline constexpr std::size_t max_sample_interval = std::size_t{1} << 16;

namespace detail {

/// What is known of one allocation. Trivial, so that it can be copied out of a record.
struct sample {
  std::int64_t since_ms = 0;    ///< CLOCK_MONOTONIC_COARSE
  std::int32_t thread_id = 0;   ///< gettid()
  std::uint32_t depth = 0;      ///< of `frames`
  std::uint64_t size = 0;       ///< bytes asked for
  const char* owner = nullptr;  ///< of the innermost owner_scope; nullptr: none
  std::uint64_t owner_id = 0;
  std::array<const void*, max_sample_depth> frames{};  ///< return addresses, the innermost first
};

/// A sample that any thread may read while its buffer's owner writes it. Zeroed memory is an empty
/// one.
///
/// Invariant: version is odd while a write is under way.
/// Progress: write: wait-free. read: wait-free, and may fail.
/// Thread-safety: write by the buffer's owner; read by any thread.
/// Cost: two cache lines.
class alignas(cache_line_bytes) sample_record {
 public:
  void write(const sample& from) noexcept {
    const std::uint64_t version = version_.load(relaxed);  // the buffer's owner alone writes
    version_.store(version + 1, relaxed);                  // before the fields, by R1
    put(since_ms_, from.since_ms);
    put(thread_and_depth_,
        std::uint64_t{from.depth} << 32 | static_cast<std::uint32_t>(from.thread_id));
    put(size_, from.size);
    put(owner_, from.owner);
    put(owner_id_, from.owner_id);
    for (std::size_t i = 0; i < from.depth; ++i) {
      put(frames_[i], from.frames[i]);
    }
    put(version_, version + 2);
  }
  /// False: it was being written.
  [[nodiscard]] bool read(sample& out) const noexcept {
    const std::uint64_t version = get(version_);
    out.since_ms = get(since_ms_);
    const std::uint64_t both = get(thread_and_depth_);
    out.thread_id = static_cast<std::int32_t>(both);
    out.depth = std::min(static_cast<std::uint32_t>(both >> 32),
                         static_cast<std::uint32_t>(max_sample_depth));
    out.size = get(size_);
    out.owner = get(owner_);
    out.owner_id = get(owner_id_);
    for (std::size_t i = 0; i < out.depth; ++i) {
      out.frames[i] = get(frames_[i]);
    }
    return version % 2 == 0 && version == version_.load(relaxed);  // not before the fields, by A1
  }

 private:
  template <class T>
  static void put(std::atomic<T>& field, T value) noexcept {
    field.store(value, release);  // R1 -> A1 (read): what was stored before it
  }
  template <class T>
  [[nodiscard]] static T get(const std::atomic<T>& field) noexcept {
    return field.load(acquire);  // A1 <- R1
  }

  std::atomic<std::uint64_t> version_;
  std::atomic<std::int64_t> since_ms_;
  std::atomic<std::uint64_t> thread_and_depth_;
  std::atomic<std::uint64_t> size_;
  std::atomic<const char*> owner_;
  std::atomic<std::uint64_t> owner_id_;
  std::atomic<const void*> frames_[max_sample_depth];
};
static_assert(sizeof(sample_record) == 2 * cache_line_bytes);

/// Of one pool. Zeroed memory is none yet.
struct alignas(cache_line_bytes) sample_totals {
  static constexpr std::size_t age_count = 32;

  std::atomic<std::uint64_t> taken;
  std::atomic<std::uint64_t> ended;
  std::atomic<std::int64_t> misses_left;  ///< allocations that miss a cache, to the next sample
  std::atomic<std::uint64_t>
      ages[age_count];  ///< of samples whose buffers came back: in [i], those
                        ///< of less than 2^i ms, and of [i - 1] or more
};

/// The allocation that is under way on this thread, called from `site`.
[[nodiscard]] sample sample_here(std::size_t size, const void* site, std::size_t depth) noexcept;
[[nodiscard]] std::int64_t sample_clock_ms() noexcept;
/// How many allocations to leave out, 0 to 2 x interval - 2: interval - 1 on average.
[[nodiscard]] std::uint64_t sample_gap(std::size_t interval, std::uint64_t seed) noexcept;
/// Makes what sample_here needs where depth > 1: backtrace(3) loads a library at its first call.
void prepare_sampling(std::size_t depth) noexcept;
/// gettid(), kept.
[[nodiscard]] std::int32_t thread_id() noexcept;
void forget_thread_id() noexcept;
/// Tells the leak handler: `count` buffers are held while the pool is destroyed.
void report_leak(const ring_buffer_pool& pool, std::uint64_t count) noexcept;

}  // namespace detail
}  // namespace ringpool
