// SPDX-License-Identifier: MIT
#include "buffers.hpp"

#include <algorithm>
#include <cstdlib>

#include "record/recorder.hpp"
#include "serve_options.hpp"

namespace ringpool::tools {
namespace {

/// What malloc gives at least, so that a frame that comes byte by byte is not grown byte by byte.
constexpr std::size_t smallest_block_bytes = 64;

/// A burst's memory is back a few seconds after it.
constexpr std::chrono::milliseconds elastic_decay{2000};

pool_options pool_options_of(const serve_options& options) {
  pool_options result;
  result.elastic_capacity = options.elastic_count;
  result.elastic_decay = elastic_decay;
  result.upstream_budget_bytes = options.upstream_budget_bytes;
  if (options.upstream_budget_bytes == 0) {
    result.upstream = nullptr;
  }
  result.zero_on_free = options.zero_on_free;
  result.hardened = options.hardened;
  return result;
}

}  // namespace

buffer_bank::buffer_bank(const serve_options& options) {
  if (options.buffers == buffer_kind::malloc) {
    return;
  }
  pool_ = std::make_unique<multi_size_ring_pool>(std::span<const size_class>(options.classes),
                                                 pool_options_of(options));
  for (const size_class& one : options.classes) {
    class_sizes_.push_back(std::min<std::size_t>(one.buffer_size, loop_buffer::most_capacity));
  }
  std::sort(class_sizes_.begin(), class_sizes_.end());
}

void* buffer_bank::allocate(std::size_t size) noexcept {
  return pool_ != nullptr ? pool_->allocate(size) : std::malloc(capacity_for(size));
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

}  // namespace ringpool::tools
