// SPDX-License-Identifier: MIT
#pragma once

// Which sanitizer this build runs under, in the spelling of both compilers.

#if defined(__has_feature)
#define RINGPOOL_TEST_HAS_FEATURE(x) __has_feature(x)
#else
#define RINGPOOL_TEST_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || RINGPOOL_TEST_HAS_FEATURE(address_sanitizer)
#define RINGPOOL_TEST_ASAN 1
#else
#define RINGPOOL_TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || RINGPOOL_TEST_HAS_FEATURE(thread_sanitizer)
#define RINGPOOL_TEST_TSAN 1
#else
#define RINGPOOL_TEST_TSAN 0
#endif

namespace ringpool::test {

inline constexpr bool under_asan = RINGPOOL_TEST_ASAN != 0;
inline constexpr bool under_tsan = RINGPOOL_TEST_TSAN != 0;
inline constexpr bool under_sanitizer = under_asan || under_tsan;

}  // namespace ringpool::test
