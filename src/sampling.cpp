// SPDX-License-Identifier: MIT
#include "ringpool/detail/sampling.hpp"

#include <execinfo.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "ringpool/owner_scope.hpp"

namespace ringpool {
namespace {

RINGPOOL_FAST_TLS constinit thread_local std::int32_t tls_thread_id = 0;
RINGPOOL_FAST_TLS constinit thread_local const char* tls_owner = nullptr;
RINGPOOL_FAST_TLS constinit thread_local std::uint64_t tls_owner_id = 0;

/// Frames of the library's own between backtrace(3) and the caller, at most.
constexpr int own_frames = 8;

}  // namespace

owner_scope::owner_scope(const char* name, std::uint64_t id) noexcept
    : outer_name_(tls_owner), outer_id_(tls_owner_id) {
  tls_owner = name;
  tls_owner_id = id;
}

owner_scope::~owner_scope() {
  tls_owner = outer_name_;
  tls_owner_id = outer_id_;
}

namespace detail {

std::int32_t thread_id() noexcept {
  if (tls_thread_id == 0) {
    tls_thread_id = ::gettid();
  }
  return tls_thread_id;
}

void forget_thread_id() noexcept { tls_thread_id = 0; }

std::int64_t sample_clock_ms() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // a quarter of what the fine clock costs
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::uint64_t sample_gap(std::size_t interval, std::uint64_t seed) noexcept {
  seed =
      (seed ^ (seed >> 33)) * 0xff51afd7ed558ccdULL;  // the finaliser of MurmurHash3 (A. Appleby)
  seed = (seed ^ (seed >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return (seed ^ (seed >> 33)) % (2 * interval - 1);
}

void prepare_sampling(std::size_t depth) noexcept {
  if (depth > 1) {
    void* frame = nullptr;
    ::backtrace(&frame, 1);
  }
}

sample sample_here(std::size_t size, const void* site, std::size_t depth) noexcept {
  sample now;
  now.since_ms = sample_clock_ms();
  now.thread_id = thread_id();
  now.size = size;
  now.owner = tls_owner;
  now.owner_id = tls_owner_id;
  now.frames[0] = site;
  now.depth = 1;
  if (depth > 1) {
    void* all[own_frames + max_sample_depth];
    const int count = ::backtrace(all, static_cast<int>(own_frames + depth));
    void** const end = all + count;
    void** const from = std::find(all, end, site);  // what is before it is the library's own
    const auto kept = std::min<std::size_t>(static_cast<std::size_t>(end - from), depth);
    if (kept != 0) {
      std::copy_n(from, kept, now.frames.begin());
      now.depth = static_cast<std::uint32_t>(kept);
    }
  }
  return now;
}

}  // namespace detail
}  // namespace ringpool
