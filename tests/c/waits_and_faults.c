// SPDX-License-Identifier: MIT
//
// A pool that is spent: waiting for a buffer, and refusals on purpose.

// For nanosleep, which C11 alone does not have.
#define _POSIX_C_SOURCE 200809L  // NOLINT(bugprone-reserved-identifier)

#include <pthread.h>
#include <time.h>

#include "check.h"

static const uint64_t ms = 1000000;  // in ns

struct loan {
  rp_pool* pool;
  void* held;
};

static void* give_back_once_awaited(void* argument) {
  struct loan* what = argument;
  const struct timespec moment = {0, 1000000};
  while (stats_of(what->pool).waiting == 0) {
    nanosleep(&moment, NULL);
  }
  rp_free(what->pool, what->held);
  return NULL;
}

static void waits_until_a_buffer_comes_or_the_time_is_over(void) {
  const rp_class one = {64, 1};
  rp_options options;
  rp_options_init(&options, sizeof options);
  options.upstream_budget_bytes = 0;
  rp_pool* pool = rp_pool_create(&one, 1, &options, NULL);
  struct loan loan = {pool, rp_alloc_for(pool, 64, 0)};
  CHECK(loan.held != NULL);
  CHECK(rp_alloc_for(pool, 64, 0) == NULL && rp_alloc_for(pool, 64, 2 * ms) == NULL);
  CHECK(rp_alloc_for(pool, 65, UINT64_MAX) == NULL);  // never to be had: at once
  CHECK(stats_of(pool).wait_timeout_count == 2 && stats_of(pool).wait_total_ns >= 2 * ms);

  pthread_t other;
  CHECK(pthread_create(&other, NULL, give_back_once_awaited, &loan) == 0);
  char* got = rp_alloc_for(pool, 64, UINT64_MAX);
  CHECK(got != NULL && rp_pool_owns(pool, got));
  pthread_join(other, NULL);
  CHECK(stats_of(pool).waiting == 0 && stats_of(pool).wait_count == 3);
  rp_free(pool, got);
  void* nothing = rp_alloc_for(pool, 0, 0);
  CHECK(nothing != NULL);
  rp_free(pool, nothing);
  check_whole(pool);
  rp_pool_destroy(pool);
}

// Which of 1000 allocations fail: their sum, and in *count how many.
static uint64_t failed_numbers(const rp_options* options, size_t size, uint64_t* count) {
  const rp_class classes[] = {{64, 4}, {256, 4}};
  rp_pool* pool = rp_pool_create(classes, 2, options, NULL);
  uint64_t sum = 0;
  *count = 0;
  for (uint64_t number = 1; number <= 1000; ++number) {
    void* got = rp_alloc(pool, size);
    sum += got == NULL ? number : 0;
    *count += got == NULL;
    rp_free(pool, got);
  }
  CHECK(stats_of(pool).injected_count == *count && stats_of(pool).refusal_count == *count);
  rp_pool_destroy(pool);
  return sum;
}

static void refuses_on_purpose(void) {
  rp_options options;
  uint64_t count = 0;
  rp_options_init(&options, sizeof options);
  CHECK(failed_numbers(&options, 64, &count) == 0 && count == 0);
  options.fault_nth = 7;
  CHECK(failed_numbers(&options, 64, &count) == 7 && count == 1);
  options.fault_buffer_size = 256;
  CHECK(failed_numbers(&options, 64, &count) == 0 && count == 0);
  CHECK(failed_numbers(&options, 65, &count) == 7 && count == 1);
  rp_options_init(&options, sizeof options);
  options.fault_every = 500;
  CHECK(failed_numbers(&options, 64, &count) == 1500 && count == 2);
  rp_options_init(&options, sizeof options);
  options.fault_probability = 0.25;
  options.fault_seed = 7;
  const uint64_t once = failed_numbers(&options, 64, &count);
  CHECK(count > 150 && count < 350);
  CHECK(failed_numbers(&options, 64, &count) == once);
  options.fault_seed = 8;
  CHECK(failed_numbers(&options, 64, &count) != once);
}

int main(void) {
  waits_until_a_buffer_comes_or_the_time_is_over();
  refuses_on_purpose();
  return failures != 0;
}
