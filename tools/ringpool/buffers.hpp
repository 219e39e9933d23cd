// SPDX-License-Identifier: MIT
#pragma once

//   buffer_bank (one a server: a ringpool set of classes, or glibc malloc)
//      ^ allocate / deallocate from any thread
//   loop_buffers (one a loop: counts) --try_alloc--> loop_buffer (a handle; gives itself back)

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ringpool/codec/frame.hpp>
#include <ringpool/multi_size_ring_pool.hpp>
#include <utility>
#include <vector>

namespace ringpool::tools {

class loop_recorder;
struct serve_options;

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
  explicit buffer_bank(const serve_options& options);  // throws std::system_error

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
  /// Lets idle elastic memory go; call it about once a second.
  void decay() noexcept;

 private:
  std::unique_ptr<multi_size_ring_pool> pool_;
  std::vector<std::size_t> class_sizes_;
};

class loop_buffers;

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
class loop_buffers {
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
