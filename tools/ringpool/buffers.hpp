// SPDX-License-Identifier: MIT
#pragma once

//   buffer_bank (one a configuration: a ringpool set of classes, or glibc malloc)
//      ^ allocate / deallocate from any thread
//   loop_buffers (one a loop and bank: counts) --try_alloc--> loop_buffer (a handle; gives itself
//                                                                           back)
//   buffer_banks: the bank in force, and those before it until their last buffer is back

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <ringpool/census.hpp>
#include <ringpool/codec/frame.hpp>
#include <ringpool/multi_size_ring_pool.hpp>
#include <utility>
#include <vector>

namespace ringpool::tools {

class loop_recorder;
struct serve_options;
class loop_buffers;

/// A count that one thread raises and any thread reads.
class tally {
 public:
  void add(std::uint64_t amount = 1) noexcept { set(get() + amount); }
  // relaxed: one writer, and readers take a snapshot
  void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Where the payloads live: the same server code runs on either kind.
///
/// Invariant: every block has at least capacity_for(size) bytes.
/// Progress: lock-free with a pool (while it needs no upstream); malloc's own with malloc.
/// Thread-safety: all of it from any thread.
/// Cost: that of the pool or of malloc, and one branch that is always predicted.
class buffer_bank {
 public:
  buffer_bank(const serve_options& options, unsigned loop_count);  // throws std::system_error
  ~buffer_bank();
  buffer_bank(const buffer_bank&) = delete;
  buffer_bank& operator=(const buffer_bank&) = delete;

  /// What the loop of this number takes buffers from; used by its thread.
  [[nodiscard]] loop_buffers& of_loop(unsigned number) noexcept;

  /// nullptr when everything that was configured is spent.
  [[nodiscard]] void* allocate(std::size_t size) noexcept;
  void deallocate(void* block) noexcept;

  [[nodiscard]] std::size_t capacity_for(std::size_t size) const noexcept;
  /// Number of the class that serves `size`; requests of one number are refused together.
  [[nodiscard]] unsigned class_of(std::size_t size) const noexcept;

  [[nodiscard]] bool uses_malloc() const noexcept { return pool_ == nullptr; }
  /// nullptr with malloc.
  [[nodiscard]] multi_size_ring_pool* pool() const noexcept { return pool_.get(); }
  /// One a class by rising size; empty with malloc.
  [[nodiscard]] std::vector<pool_stats> class_stats() const;
  /// Likewise; empty without sampling, too.
  [[nodiscard]] std::vector<census> holders() const;
  /// Taken by loops so far, and not yet given back; with io_uring 0: there handles have no loop.
  [[nodiscard]] std::uint64_t taken() const noexcept;
  [[nodiscard]] std::uint64_t held() const noexcept;
  /// True when every buffer of the pool is back, and for good if no more are taken. A thread that
  /// gave the last one back may still be about it.
  [[nodiscard]] bool all_back() const;
  /// Lets idle elastic memory go; call it about once a second.
  void decay() noexcept;

 private:
  std::unique_ptr<multi_size_ring_pool> pool_;
  std::vector<std::size_t> class_sizes_;
  bool samples_ = false;
  std::deque<loop_buffers> loops_;
};

/// A payload: move-only, gives itself back.
class loop_buffer {
 public:
  loop_buffer() noexcept = default;
  static constexpr std::uint32_t most_capacity = 0x7fffffff;
  static constexpr std::uint32_t sampled_bit = 0x80000000;  // of a capacity: its end is recorded
  loop_buffer(loop_buffers& home, void* block, std::uint32_t size, std::uint32_t capacity) noexcept
      : data_(static_cast<std::byte*>(block)), home_(&home), size_(size), capacity_(capacity) {}
  loop_buffer(loop_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        home_(other.home_),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  loop_buffer& operator=(loop_buffer&& other) noexcept {
    loop_buffer taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(home_, taken.home_);
    std::swap(size_, taken.size_);
    std::swap(capacity_, taken.capacity_);
    return *this;
  }
  ~loop_buffer();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_ & ~sampled_bit; }
  void resize(std::size_t size) noexcept { size_ = static_cast<std::uint32_t>(size); }
  [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  std::byte* data_ = nullptr;
  loop_buffers* home_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

/// One loop's way to the bank: a buffer is taken and given back by the same thread, so that the
/// counts need no read-modify-write.
///
/// Invariant: held() = taken - given back.
/// Progress: as the bank's.
/// Thread-safety: try_alloc and handles on the loop's thread; the counts from any.
/// Cost: the bank's, and one store to a line of this loop.
class alignas(cache_line_bytes) loop_buffers {
 public:
  explicit loop_buffers(buffer_bank& bank) noexcept : bank_(bank) {}

  [[nodiscard]] loop_buffer try_alloc(std::size_t size) noexcept {
    void* block = bank_.allocate(size);
    if (block == nullptr) {
      return {};
    }
    taken_.add();
    auto capacity = static_cast<std::uint32_t>(bank_.capacity_for(size));
    if (--until_sample_ == 0) [[unlikely]] {
      capacity |= begin_sample(block, size);
    }
    return {*this, block, static_cast<std::uint32_t>(size), capacity};
  }
  void give_back(void* block) noexcept {
    bank_.deallocate(block);
    given_back_.add();
  }

  /// From now on allocations are sampled. nullptr: no more.
  void record_with(loop_recorder* recorder) noexcept;
  [[nodiscard]] loop_recorder* recorder() const noexcept { return recorder_; }
  void flush_samples() noexcept;

  [[nodiscard]] const buffer_bank& bank() const noexcept { return bank_; }
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_.get(); }
  [[nodiscard]] std::uint64_t held() const noexcept {
    const std::uint64_t given_back = given_back_.get();  // first, so that the difference is >= 0
    return taken_.get() - given_back;
  }

 private:
  friend class loop_buffer;
  /// sampled_bit, or 0: it is not kept.
  [[nodiscard]] std::uint32_t begin_sample(const void* block, std::size_t size) noexcept;
  void end_sample(const void* block) noexcept;

  buffer_bank& bank_;
  tally taken_;
  tally given_back_;
  std::uint64_t until_sample_ = ~std::uint64_t{0};  // allocations, the next one included
  loop_recorder* recorder_ = nullptr;
};

/// The memory of the configuration in force and of those before it. Whoever replaces one has the
/// loops take up the new bank, in rounds (server_loop::ask): a round is over when every loop has
/// answered, and what a loop did before is then seen.
///
///   in force --replace()--> retired --round--> no more is taken --all back, round--> freed
///
/// Invariant: counters of a class never fall: those of freed banks are kept as sums.
/// Progress: blocking: a lock that the loops' threads never take.
/// Thread-safety: stats() and holders() from any thread, the rest from one.
/// Cost: two sets of pools while the last buffers of the old one are out.
class buffer_banks {
 public:
  explicit buffer_banks(std::unique_ptr<buffer_bank> first);

  [[nodiscard]] buffer_bank& current() const noexcept { return *current_; }
  /// `fresh` is in force; the one before may be used by loops until they have answered `round`.
  void replace(std::unique_ptr<buffer_bank> fresh, std::uint64_t round);
  [[nodiscard]] std::size_t retired_count() const noexcept { return retired_.size(); }
  /// Frees retired banks that nobody can use. `answered`: the last round that is over. True when a
  /// round is needed to go on: `next` is then to be asked for.
  [[nodiscard]] bool free_retired(std::uint64_t answered, std::uint64_t next);

  struct sums {
    std::vector<pool_stats> classes;  ///< of the sizes in force, with what retired ones counted
    std::vector<pool_stats> retired;  ///< of sizes that are no more
    std::uint64_t taken = 0;
    std::uint64_t held = 0;
    std::uint64_t retired_sets = 0;  ///< whose memory is still there
  };
  [[nodiscard]] sums stats() const;
  /// Of the classes in force, and then of retired ones with buffers that are out; empty without
  /// sampling.
  [[nodiscard]] std::vector<census> holders() const;

 private:
  struct retired_bank {
    std::unique_ptr<buffer_bank> bank;
    std::uint64_t round;    // to wait for
    bool all_back = false;  // and no more can be taken
  };

  mutable std::mutex mutex_;  // for the banks and sums, against stats()
  std::unique_ptr<buffer_bank> current_;
  std::vector<retired_bank> retired_;
  std::vector<pool_stats> freed_;  // counters by buffer size
  std::uint64_t freed_taken_ = 0;
};

/// Adds what one pool counted to the sums of its size in `all`, which it is appended to if new.
void add_counters(std::vector<pool_stats>& all, const pool_stats& one);

inline loop_buffer::~loop_buffer() {
  if (data_ != nullptr) {
    if ((capacity_ & sampled_bit) != 0) [[unlikely]] {
      home_->end_sample(data_);
    }
    home_->give_back(data_);
  }
}

static_assert(frame_buffer<loop_buffer> && buffer_source<loop_buffers>);
static_assert(sizeof(loop_buffer) == 24);

}  // namespace ringpool::tools
