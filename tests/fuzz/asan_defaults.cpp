// SPDX-License-Identifier: MIT

// An input lives for microseconds and allocates little: a small quarantine holds all of it, and
// stays in the processor's caches. A find is replayed with ASAN_OPTIONS=malloc_context_size=30.

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "quarantine_size_mb=1:malloc_context_size=0";
}
