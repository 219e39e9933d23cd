// SPDX-License-Identifier: MIT
#include "ringpool/detail/upstream.hpp"

#include <cstring>
#include <utility>

namespace ringpool::detail {
namespace {

/// nullptr instead of an exception.
void* allocate_or_null(std::pmr::memory_resource& resource, std::size_t bytes) noexcept {
#if RINGPOOL_EXCEPTIONS
  try {
    return resource.allocate(bytes, cache_line_bytes);
  } catch (...) {
    return nullptr;
  }
#else
  return resource.allocate(bytes, cache_line_bytes);
#endif
}

std::byte* data_of(upstream_ledger::block* one) noexcept {
  return reinterpret_cast<std::byte*>(one) + upstream_ledger::header_bytes;
}

}  // namespace

upstream_ledger::upstream_ledger() noexcept : node_(this, &on_fork) {}

upstream_ledger::~upstream_ledger() {
  for (std::size_t i = 0; buckets_ != nullptr && in_use_bytes() != 0 && i < bucket_count; ++i) {
    while (buckets_[i] != nullptr) {
      give_back(std::exchange(buckets_[i], buckets_[i]->next));
    }
  }
}

void upstream_ledger::reset(std::pmr::memory_resource* resource, std::size_t budget_bytes,
                            block** buckets) noexcept {
  resource_ = resource;
  budget_bytes_ = budget_bytes;
  buckets_ = buckets;
}

std::byte* upstream_ledger::allocate(std::size_t bytes, void* owner) noexcept {
  if (resource_ == nullptr || !charge(bytes)) {
    return nullptr;
  }
  void* memory = allocate_or_null(*resource_, bytes + header_bytes);
  if (memory == nullptr) {
    in_use_bytes_.fetch_sub(bytes, relaxed);
    return nullptr;
  }
  auto* one = ::new (memory) block{nullptr, bytes, owner};
  const std::lock_guard lock(mutex_);
  block*& bucket = bucket_of(data_of(one));
  one->next = std::exchange(bucket, one);
  return data_of(one);
}

upstream_ledger::removal upstream_ledger::deallocate(void* pointer, bool zero) noexcept {
  if (resource_ == nullptr) {
    return {};
  }
  block* found = nullptr;
  {
    const std::lock_guard lock(mutex_);
    block** link = &bucket_of(pointer);
    while (*link != nullptr && data_of(*link) != pointer) {
      link = &(*link)->next;
    }
    if (*link == nullptr) {
      return {};
    }
    found = std::exchange(*link, (*link)->next);
  }
  if (zero) {
    std::memset(pointer, 0, found->bytes);
  }
  const removal result{true, found->owner};
  give_back(found);
  return result;
}

bool upstream_ledger::charge(std::size_t bytes) noexcept {
  std::size_t seen = in_use_bytes_.load(relaxed);  // relaxed: a count by itself, no data behind it
  do {
    if (bytes > budget_bytes_ || seen > budget_bytes_ - bytes) {
      return false;
    }
  } while (!in_use_bytes_.compare_exchange_weak(seen, seen + bytes, relaxed, relaxed));
  return true;
}

auto upstream_ledger::bucket_of(const void* data) const noexcept -> block*& {
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;  // Fibonacci hashing, Knuth, TAOCP 3, 6.4
  const auto line = reinterpret_cast<std::uintptr_t>(data) / cache_line_bytes;
  return buckets_[(line * golden) >> 48];
}

void upstream_ledger::give_back(block* one) noexcept {
  const std::size_t bytes = one->bytes;
  resource_->deallocate(one, bytes + header_bytes, cache_line_bytes);
  in_use_bytes_.fetch_sub(bytes, relaxed);
}

void upstream_ledger::on_fork(void* self, fork_phase phase) noexcept {
  std::mutex& mutex = static_cast<upstream_ledger*>(self)->mutex_;
  if (phase == fork_phase::prepare) {
    mutex.lock();
  } else {
    mutex.unlock();
  }
}

}  // namespace ringpool::detail
