// SPDX-License-Identifier: MIT
#include "ringpool/fault_plan.hpp"

namespace ringpool {
namespace {

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): its
/// number `number` from `seed`, without those before.
std::uint64_t random_word(std::uint64_t seed, std::uint64_t number) noexcept {
  std::uint64_t word = seed + number * 0x9e3779b97f4a7c15ULL;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
  return word ^ (word >> 31);
}

/// 0 <= x < 1, of the word's upper 53 bits.
double unit_interval(std::uint64_t word) noexcept {
  return static_cast<double>(word >> 11) * 0x1p-53;
}

}  // namespace

bool fault_plan::should_fail(std::size_t buffer_size) noexcept {
  if (rule_.buffer_size != 0 && rule_.buffer_size != buffer_size) {
    return false;
  }
  if (rule_.thread != std::thread::id{} && rule_.thread != std::this_thread::get_id()) {
    return false;
  }
  if (!fails(asked_.fetch_add(1, detail::relaxed) + 1)) {
    return false;
  }
  injected_.fetch_add(1, detail::relaxed);
  return true;
}

bool fault_plan::fails(std::uint64_t number) const noexcept {
  return number == rule_.nth || (rule_.every != 0 && number % rule_.every == 0) ||
         unit_interval(random_word(rule_.seed, number)) < rule_.probability;
}

}  // namespace ringpool
