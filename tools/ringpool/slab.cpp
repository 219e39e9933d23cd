// SPDX-License-Identifier: MIT
#include "slab.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace ringpool::tools {
namespace {

std::size_t page_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t whole_pages(std::size_t bytes) noexcept {
  return (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

}  // namespace

slab_core::slab_core(std::size_t object_bytes, std::uint32_t limit)
    : object_bytes_(object_bytes),
      object_range_bytes_(whole_pages(object_bytes * limit)),
      mapped_bytes_(0),
      limit_(limit),
      word_count_((limit + 63) / 64) {
  mapped_bytes_ = object_range_bytes_ + whole_pages(word_count_ * sizeof(std::uint64_t));
  void* range = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot reserve " + std::to_string(mapped_bytes_) +
                                " bytes of address space for connections");
  }
  // A huge page would make two megabytes resident for the first connection.
  ::madvise(range, mapped_bytes_, MADV_NOHUGEPAGE);
  base_ = static_cast<std::byte*>(range);
  bits_ = reinterpret_cast<std::uint64_t*>(base_ + object_range_bytes_);
}

slab_core::~slab_core() { ::munmap(base_, mapped_bytes_); }

void* slab_core::acquire() noexcept {
  while (first_word_ < word_count_ && ~bits_[first_word_] == 0) {
    ++first_word_;
  }
  if (first_word_ == word_count_) {
    return nullptr;
  }
  const auto bit = static_cast<std::uint32_t>(std::countr_one(bits_[first_word_]));
  const std::uint32_t index = first_word_ * 64 + bit;
  if (index >= limit_) {
    return nullptr;
  }
  bits_[first_word_] |= std::uint64_t{1} << bit;
  in_use_.store(in_use() + 1, std::memory_order_relaxed);
  recent_end_ = std::max(recent_end_, index + 1);
  if (index >= end_) {
    set_end(index + 1);
  }
  return at(index);
}

void slab_core::release(std::uint32_t index) noexcept {
  bits_[index / 64] &= ~(std::uint64_t{1} << (index % 64));
  first_word_ = std::min(first_word_, index / 64);
  in_use_.store(in_use() - 1, std::memory_order_relaxed);
}

std::uint32_t slab_core::used_end() const noexcept {
  for (std::uint32_t word = (end_ + 63) / 64; word > 0; --word) {
    if (bits_[word - 1] != 0) {
      return word * 64 - static_cast<std::uint32_t>(std::countl_zero(bits_[word - 1]));
    }
  }
  return 0;
}

void slab_core::set_end(std::uint32_t end) noexcept {
  end_ = end;
  committed_bytes_.store(whole_pages(end * object_bytes_), std::memory_order_relaxed);
}

void slab_core::trim() noexcept {
  const std::uint32_t live_end = used_end();
  const std::uint32_t kept_end = std::max(live_end, recent_end_);
  const std::size_t kept = whole_pages(kept_end * object_bytes_);
  const std::size_t touched = whole_pages(end_ * object_bytes_);
  if (kept < touched) {
    ::madvise(base_ + kept, touched - kept, MADV_DONTNEED);
    set_end(kept_end);
  }
  recent_end_ = live_end;
}

}  // namespace ringpool::tools
