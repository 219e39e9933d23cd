// SPDX-License-Identifier: MIT
#ifndef RINGPOOL_TESTS_C_CHECK_H
#define RINGPOOL_TESTS_C_CHECK_H

#include <ringpool/ringpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
static inline void check(int holds, const char* what, const char* file, int line) {
  if (!holds) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    ++failures;
  }
}

// A pool of two classes without upstream; ends the program where there is none.
static inline rp_pool* small_pool(uint32_t hardened) {
  const rp_class classes[] = {{256, 4}, {64, 8}};
  rp_options options;
  rp_error error;
  rp_options_init(&options, sizeof options);
  options.upstream_budget_bytes = 0;
  options.hardened = hardened;
  rp_pool* pool = rp_pool_create(classes, 2, &options, &error);
  if (pool == NULL) {
    fprintf(stderr, "rp_pool_create: %s\n", error.text);
    exit(2);
  }
  return pool;
}

static inline rp_stats stats_of(const rp_pool* pool) {
  rp_stats now;
  CHECK(rp_pool_stats(pool, RP_ALL_CLASSES, &now, sizeof now) == RP_OK);
  return now;
}

// Everything was given back.
static inline void check_whole(const rp_pool* pool) {
  const rp_stats now = stats_of(pool);
  CHECK(now.in_use == 0 && now.elastic_in_use == 0 && now.upstream_in_use_bytes == 0);
  CHECK(now.available == now.ring_size);
  CHECK(now.alloc_count == now.free_count);
}

#endif  // RINGPOOL_TESTS_C_CHECK_H
