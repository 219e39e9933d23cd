// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#if !defined(__has_feature)
#define __has_feature(feature) 0
#endif

namespace ringpool::stress {

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
inline constexpr bool under_thread_sanitizer = true;
#else
inline constexpr bool under_thread_sanitizer = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
inline constexpr bool under_address_sanitizer = true;
#else
inline constexpr bool under_address_sanitizer = false;
#endif

inline constexpr bool under_sanitizer = under_thread_sanitizer || under_address_sanitizer;

/// How much work a test does: `count` times RINGPOOL_STRESS_SCALE (1 where it is not set), a tenth
/// of that under a sanitizer, and at least `least`.
inline std::size_t scaled(std::size_t count, std::size_t least = 1) {
  static const double scale = [] {
    const char* text = std::getenv("RINGPOOL_STRESS_SCALE");
    const double wish = text != nullptr ? std::strtod(text, nullptr) : 1.0;
    return (wish > 0 ? wish : 1.0) * (under_sanitizer ? 0.1 : 1.0);
  }();
  return std::max(least, static_cast<std::size_t>(static_cast<double>(count) * scale));
}

}  // namespace ringpool::stress
