// SPDX-License-Identifier: MIT
//
// Buffers taken and given back, on their own, in bulk, by several threads, and when there are none.

#include <pthread.h>

#include "check.h"

static void takes_the_smallest_class_that_fits(void) {
  rp_pool* pool = small_pool(0);
  char* small = rp_alloc(pool, 64);
  char* large = rp_alloc(pool, 65);
  CHECK(small != NULL && large != NULL && small != large);
  CHECK((uintptr_t)small % 64 == 0 && (uintptr_t)large % 64 == 0);
  CHECK(rp_pool_owns(pool, small) && rp_pool_owns(pool, large + 255) && !rp_pool_owns(pool, pool));
  memset(small, 1, 64);
  memset(large, 2, 256);

  rp_stats now;
  CHECK(rp_pool_class_count(pool) == 2);
  CHECK(rp_pool_stats(pool, 0, &now, sizeof now) == RP_OK);
  CHECK(now.buffer_size == 64 && now.ring_size == 8 && now.in_use == 1);
  CHECK(rp_pool_stats(pool, 1, &now, sizeof now) == RP_OK);
  CHECK(now.buffer_size == 256 && now.ring_size == 4 && now.in_use == 1);
  now = stats_of(pool);
  CHECK(now.buffer_size == 0 && now.ring_size == 12 && now.in_use == 2 && now.alloc_count == 2);
  rp_free(pool, small);
  rp_free(pool, large);
  rp_free(pool, NULL);
  check_whole(pool);
  rp_pool_destroy(pool);
  rp_pool_destroy(NULL);
}

static void is_spent_at_its_capacity_and_not_before(void) {
  rp_pool* pool = small_pool(0);
  void* held[9] = {NULL};
  for (int i = 0; i < 9; ++i) {
    held[i] = i % 2 == 0 ? rp_alloc(pool, 1) : rp_try_alloc(pool, 64);
  }
  CHECK(held[7] != NULL && held[8] == NULL);
  CHECK(rp_try_alloc(pool, 257) == NULL && rp_alloc(pool, 257) == NULL);
  CHECK(rp_alloc(pool, SIZE_MAX) == NULL);
  CHECK(stats_of(pool).refusal_count == 4);
  for (int i = 0; i < 8; ++i) {
    rp_free(pool, held[i]);
  }
  void* nothing = rp_alloc(pool, 0);
  CHECK(nothing != NULL);
  rp_free(pool, nothing);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void goes_to_malloc_within_the_budget(void) {
  const rp_class one = {64, 1};
  rp_options options;
  rp_options_init(&options, sizeof options);
  options.upstream_budget_bytes = 1000;
  rp_pool* pool = rp_pool_create(&one, 1, &options, NULL);
  void* large = rp_alloc(pool, 900);
  CHECK(large != NULL && rp_alloc(pool, 101) == NULL && !rp_pool_owns(pool, large));
  CHECK(stats_of(pool).upstream_in_use_bytes == 900 && stats_of(pool).upstream_alloc_count == 1);
  memset(large, 3, 900);
  void* held = rp_try_alloc(pool, 64);
  CHECK(held != NULL && rp_try_alloc(pool, 64) == NULL);
  void* behind = rp_alloc(pool, 64);
  CHECK(behind != NULL);
  rp_free(pool, behind);
  rp_free(pool, held);
  rp_free(pool, large);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void takes_and_gives_in_bulk(void) {
  rp_pool* pool = small_pool(0);
  void* held[16];
  CHECK(rp_alloc_bulk(pool, 64, held, 16) == 8);
  CHECK(rp_alloc_bulk(pool, 200, held + 8, 8) == 4);
  CHECK(rp_alloc_bulk(pool, 257, held + 12, 1) == 0);
  CHECK(rp_alloc_bulk(pool, 64, NULL, 0) == 0);
  rp_free_bulk(pool, held, 12);
  rp_free_bulk(pool, NULL, 0);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void gives_idle_elastic_memory_back(void) {
  const rp_class one = {4096, 1};
  rp_options options;
  rp_options_init(&options, sizeof options);
  options.elastic_capacity = 16;
  rp_pool* pool = rp_pool_create(&one, 1, &options, NULL);
  void* held[17];
  for (int i = 0; i < 17; ++i) {
    held[i] = rp_alloc(pool, 4096);
    memset(held[i], i, 4096);
  }
  CHECK(stats_of(pool).elastic_in_use == 16);
  rp_free_bulk(pool, held, 17);
  CHECK(rp_pool_decay(pool) == 0);
  CHECK(rp_pool_trim(pool) >= 16 * 4096U);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void* take_and_give(void* pool) {
  for (int i = 0; i < 20000; ++i) {
    unsigned char* held = rp_try_alloc(pool, 64);
    if (held != NULL) {
      memset(held, i % 256, 64);
      CHECK(held[0] == i % 256 && held[63] == i % 256);
      rp_free(pool, held);
    }
  }
  return NULL;
}

static void serves_threads(void) {
  rp_pool* pool = small_pool(0);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) {
    CHECK(pthread_create(&threads[i], NULL, take_and_give, pool) == 0);
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
  }
  check_whole(pool);
  rp_pool_destroy(pool);
}

int main(void) {
  takes_the_smallest_class_that_fits();
  is_spent_at_its_capacity_and_not_before();
  goes_to_malloc_within_the_budget();
  takes_and_gives_in_bulk();
  gives_idle_elastic_memory_back();
  serves_threads();
  return failures != 0;
}
