// SPDX-License-Identifier: MIT
#include "buffers.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "record/recorder.hpp"
#include "serve_options.hpp"

namespace ringpool::tools {
namespace {

/// What malloc gives at least, so that a frame that comes byte by byte is not grown byte by byte.
constexpr std::size_t smallest_block_bytes = 64;

pool_options pool_options_of(const serve_options& options) {
  pool_options result;
  result.elastic_capacity = options.elastic_count;
  result.elastic_floor = options.elastic_floor;
  result.spill = options.spill;
  result.elastic_decay = options.elastic_decay;
  result.memory = options.memory;
  result.cache_limit = options.cache_limit;
  result.upstream_budget_bytes = options.upstream_budget_bytes;
  if (options.upstream_budget_bytes == 0) {
    result.upstream = nullptr;
  }
  result.zero_on_free = options.zero_on_free;
  result.hardened = options.hardened;
  result.sampling = options.sampling;
  return result;
}

}  // namespace

buffer_bank::buffer_bank(const serve_options& options, unsigned loop_count) {
  for (; loop_count != 0; --loop_count) {
    loops_.emplace_back(*this);
  }
  if (options.buffers == buffer_kind::malloc) {
    return;
  }
  pool_ = std::make_unique<multi_size_ring_pool>(std::span<const size_class>(options.classes),
                                                 pool_options_of(options));
  samples_ = options.sampling.interval != 0;
  for (const size_class& one : options.classes) {
    class_sizes_.push_back(std::min<std::size_t>(one.buffer_size, loop_buffer::most_capacity));
  }
  std::sort(class_sizes_.begin(), class_sizes_.end());
}

buffer_bank::~buffer_bank() = default;

loop_buffers& buffer_bank::of_loop(unsigned number) noexcept { return loops_[number]; }

void* buffer_bank::allocate(std::size_t size) noexcept {
  // All of what is promised is asked for: upstream, and a checked pool, give no byte more.
  const std::size_t promised = capacity_for(size);
  return pool_ != nullptr ? pool_->allocate(promised) : std::malloc(promised);
}

void buffer_bank::deallocate(void* block) noexcept {
  if (pool_ != nullptr) {
    pool_->deallocate(block);
  } else {
    std::free(block);
  }
}

std::size_t buffer_bank::capacity_for(std::size_t size) const noexcept {
  if (pool_ == nullptr) {
    return std::max(size, smallest_block_bytes);
  }
  const unsigned number = class_of(size);
  return number < class_sizes_.size() ? class_sizes_[number] : size;
}

unsigned buffer_bank::class_of(std::size_t size) const noexcept {
  unsigned number = 0;
  while (number < class_sizes_.size() && class_sizes_[number] < size) {
    ++number;
  }
  return number;
}

std::vector<pool_stats> buffer_bank::class_stats() const {
  return pool_ != nullptr ? pool_->stats().classes : std::vector<pool_stats>{};
}

std::vector<census> buffer_bank::holders() const {
  return samples_ ? take_census(*pool_) : std::vector<census>{};
}

std::uint64_t buffer_bank::taken() const noexcept {
  std::uint64_t sum = 0;
  for (const loop_buffers& one : loops_) {
    sum += one.taken();
  }
  return sum;
}

std::uint64_t buffer_bank::held() const noexcept {
  std::uint64_t sum = 0;
  for (const loop_buffers& one : loops_) {
    sum += one.held();
  }
  return sum;
}

bool buffer_bank::all_back() const {
  const std::vector<pool_stats> classes = class_stats();
  return held() == 0 && std::all_of(classes.begin(), classes.end(), [](const pool_stats& one) {
           return one.alloc_count == one.free_count;
         });
}

void buffer_bank::decay() noexcept {
  if (pool_ != nullptr) {
    pool_->decay();
  }
}

void loop_buffers::record_with(loop_recorder* recorder) noexcept {
  recorder_ = recorder;
  until_sample_ = recorder != nullptr ? recorder->next_gap() : loop_recorder::never;
}

std::uint32_t loop_buffers::begin_sample(const void* block, std::size_t size) noexcept {
  if (recorder_ == nullptr) {
    return 0;
  }
  until_sample_ = recorder_->next_gap();
  const bool kept = recorder_->begin(reinterpret_cast<std::uintptr_t>(block), 0,
                                     static_cast<std::uint32_t>(size));
  return kept ? loop_buffer::sampled_bit : 0;
}

void loop_buffers::end_sample(const void* block) noexcept {
  recorder_->end(reinterpret_cast<std::uintptr_t>(block));
}

void loop_buffers::flush_samples() noexcept {
  if (recorder_ != nullptr) {
    recorder_->flush();
  }
}

// --- banks that come and go ---

buffer_banks::buffer_banks(std::unique_ptr<buffer_bank> first) : current_(std::move(first)) {}

void buffer_banks::replace(std::unique_ptr<buffer_bank> fresh, std::uint64_t round) {
  const std::lock_guard lock(mutex_);
  retired_.push_back({std::move(current_), round});
  current_ = std::move(fresh);
}

/// A bank is freed two rounds after it was replaced: after the first nobody takes from it, so that
/// its counts can only become equal; after the second whoever gave back last is out of it.
bool buffer_banks::free_retired(std::uint64_t answered, std::uint64_t next) {
  bool again = false;
  std::vector<retired_bank> over;  // freed without the lock
  for (auto one = retired_.begin(); one != retired_.end();) {
    if (answered < one->round) {
      ++one;
    } else if (!one->all_back) {
      if (one->bank->all_back()) {
        one->all_back = again = true;
        one->round = next;
      }
      ++one;
    } else {
      const std::lock_guard lock(mutex_);
      for (const pool_stats& each : one->bank->class_stats()) {
        add_counters(freed_, each);
      }
      freed_taken_ += one->bank->taken();
      over.push_back(std::move(*one));
      one = retired_.erase(one);
    }
  }
  return again;
}

auto buffer_banks::stats() const -> sums {
  const std::lock_guard lock(mutex_);
  sums result;
  result.retired = freed_;
  result.taken = freed_taken_ + current_->taken();
  result.held = current_->held();
  result.retired_sets = retired_.size();
  for (const retired_bank& one : retired_) {
    for (const pool_stats& each : one.bank->class_stats()) {
      add_counters(result.retired, each);
    }
    result.taken += one.bank->taken();
    result.held += one.bank->held();
  }
  result.classes = current_->class_stats();
  for (pool_stats& one : result.classes) {
    const auto before =
        std::find_if(result.retired.begin(), result.retired.end(),
                     [&](const pool_stats& old) { return old.buffer_size == one.buffer_size; });
    if (before != result.retired.end()) {
      std::vector<pool_stats> sum{std::exchange(one, {})};
      add_counters(sum, *before);
      one = sum.front();
      result.retired.erase(before);
    }
  }
  return result;
}

std::vector<census> buffer_banks::holders() const {
  const std::lock_guard lock(mutex_);
  std::vector<census> result = current_->holders();
  for (const retired_bank& one : retired_) {
    for (census& each : one.bank->holders()) {
      if (each.held_count != 0) {
        result.push_back(std::move(each));
      }
    }
  }
  return result;
}

void add_counters(std::vector<pool_stats>& all, const pool_stats& one) {
  auto sum = std::find_if(all.begin(), all.end(), [&](const pool_stats& each) {
    return each.buffer_size >= one.buffer_size;
  });
  if (sum == all.end() || sum->buffer_size != one.buffer_size) {
    sum = all.insert(sum, pool_stats{});
    sum->buffer_size = one.buffer_size;
  }
  for (const auto counter :
       {&pool_stats::alloc_count, &pool_stats::free_count, &pool_stats::fallback_count,
        &pool_stats::in_use, &pool_stats::elastic_in_use, &pool_stats::elastic_alloc_count,
        &pool_stats::upstream_alloc_count, &pool_stats::oversize_count, &pool_stats::raid_count,
        &pool_stats::refusal_count, &pool_stats::misuse_count, &pool_stats::injected_count,
        &pool_stats::spill_count, &pool_stats::spill_in_use, &pool_stats::elastic_committed_bytes,
        &pool_stats::wait_count, &pool_stats::wait_timeout_count, &pool_stats::wait_total_ns}) {
    (*sum).*counter += one.*counter;
  }
  sum->upstream_in_use_bytes += one.upstream_in_use_bytes;
  sum->peak_in_use = std::max(sum->peak_in_use, one.peak_in_use);
}

}  // namespace ringpool::tools
