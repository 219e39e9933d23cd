// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>

#include "ringpool/ring_buffer_pool.hpp"

// Which allocations are sampled, and what is kept of them. A sampled buffer has a state of its own,
// so that its free misses the fast path; nothing else on the way out or back knows of it.
// All atomics here are relaxed, as in ring_buffer_pool.cpp; records have an order of their own.

namespace ringpool {
namespace {

detail::sample_record* records_behind(detail::sample_totals* totals) noexcept {
  return reinterpret_cast<detail::sample_record*>(totals + 1);
}

}  // namespace

void ring_buffer_pool::prepare_sampling() noexcept {
  detail::prepare_sampling(options_.sampling.depth);
  if (fast_size_ != 0) {  // else no call goes by the fast path, and each is counted as a miss
    cache_.set_sampling(options_.sampling.interval);
  }
  (void)miss_is_due();
}

auto ring_buffer_pool::take_sampled(std::size_t size, source from, form as,
                                    const void* site) noexcept -> placement {
  const bool tripped = fast_size_ != 0 && cache_.tripped();
  const placement taken = take_unsampled(size, from, as);
  if (taken.data != nullptr && to_number(taken.slot) < to_number(empty_slot)) {
    ring_buffer_pool& home = home_of(taken);  // the lender keeps the record, and counts
    if (tripped || home.miss_is_due()) {
      home.begin_sample(to_number(taken.slot), size, site);
    }
  }
  if (tripped && cache_.tripped()) {  // what was taken did not come from the cache
    cache_.rearm();
  }
  return taken;
}

/// Counts an allocation that no cache served, or could. The thread that counts to zero is sampled,
/// and sets the next distance; those who count further before it has are not, unless each is to be.
/// A thread that a fork left behind there is given up on after many.
bool ring_buffer_pool::miss_is_due() noexcept {
  constexpr std::int64_t given_up = -(std::int64_t{1} << 20);
  const std::size_t interval = options_.sampling.interval;
  const std::int64_t left = samples_->misses_left.fetch_sub(1, detail::relaxed);
  if (left != 0 && interval != 1 && left > given_up) {
    return false;
  }
  const std::uint64_t seed = samples_->taken.load(detail::relaxed) + map_.base;
  const std::uint64_t gap = detail::sample_gap(interval, seed);
  samples_->misses_left.store(static_cast<std::int64_t>(gap), detail::relaxed);
  return true;
}

void ring_buffer_pool::begin_sample(std::uint64_t number, std::size_t size,
                                    const void* site) noexcept {
  const std::size_t depth = options_.sampling.depth;
  records_behind(samples_)[number].write(detail::sample_here(size, site, depth));
  const bool lent = states_[number].load(detail::relaxed) == buffer_state::lent;
  states_[number].store(lent ? buffer_state::lent_sampled : buffer_state::sampled,
                        detail::relaxed);  // this thread's buffer
  samples_->taken.fetch_add(1, detail::relaxed);
}

/// Of a buffer that was not just held: ends what else it was, once its free has won.
void ring_buffer_pool::end_special(std::uint64_t number, buffer_state seen) noexcept {
  if (detail::is_lent(seen)) {
    lent_.give_back();
  }
  if (!detail::is_sampled(seen)) {
    return;
  }
  detail::sample ended;
  (void)records_behind(samples_)[number].read(ended);  // this thread's buffer: nobody writes
  const std::int64_t age_ms = std::max<std::int64_t>(detail::sample_clock_ms() - ended.since_ms, 0);
  const auto place = std::min(static_cast<std::size_t>(std::bit_width(std::uint64_t(age_ms))),
                              detail::sample_totals::age_count - 1);
  samples_->ages[place].fetch_add(1, detail::relaxed);
  samples_->ended.fetch_add(1, detail::relaxed);
}

void ring_buffer_pool::each_sample(void (*visit)(void*, const detail::sample&),
                                   void* context) const noexcept {
  if (samples_ == nullptr) {
    return;
  }
  const std::size_t elastic_touched = options_.elastic_capacity != 0 ? elastic_ring_.touched() : 0;
  const auto look = [&](std::uint64_t number) {
    detail::sample seen;
    if (detail::is_sampled(states_[number].load(detail::relaxed)) &&
        records_behind(samples_)[number].read(seen)) {
      visit(context, seen);
    }
  };
  for (std::uint64_t number = 0, end = ring_.touched(); number < end; ++number) {
    look(number);
  }
  for (std::uint64_t number = 0; number < elastic_touched; ++number) {
    look(capacity_ + number);
  }
}

}  // namespace ringpool
