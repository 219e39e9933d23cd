// SPDX-License-Identifier: MIT
//
// Handles on shared buffers: counted, sliced, moved as structures, given back once.

#include <pthread.h>

#include "check.h"

static int calls;
static int32_t last_kind;

static void record(const rp_misuse* what) {
  ++calls;
  last_kind = what->kind;
}

static void goes_back_with_its_last_handle(void) {
  rp_pool* pool = small_pool(0);
  rp_shared first;
  rp_shared second;
  char* bytes = rp_shared_alloc(pool, 6, &first);
  memcpy(bytes, "shared", 6);
  CHECK(rp_shared_data(&first) == bytes && rp_shared_size(&first) == 6);
  CHECK(rp_shared_count(&first) == 1);
  rp_shared_retain(&first, &second);
  CHECK(rp_shared_count(&first) == 2 && rp_shared_data(&second) == bytes);
  rp_shared_release(&first);
  CHECK(stats_of(pool).in_use == 1 && rp_shared_count(&second) == 1);
  CHECK(rp_shared_data(&first) == NULL && rp_shared_count(&first) == 0);
  const rp_shared moved = second;  // a structure as any other: `second` is forgotten
  second = moved;
  CHECK(memcmp(rp_shared_data(&moved), "shared", 6) == 0);
  rp_shared_release(&second);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void a_slice_keeps_the_whole(void) {
  rp_pool* pool = small_pool(0);
  rp_shared whole;
  rp_shared part;
  rp_shared beyond;
  memcpy(rp_shared_alloc(pool, 6, &whole), "shared", 6);
  rp_shared_slice(&whole, 1, 3, &part);
  rp_shared_release(&whole);
  CHECK(rp_shared_size(&part) == 3 && memcmp(rp_shared_data(&part), "har", 3) == 0);
  rp_set_misuse_handler(record);
  rp_shared_slice(&part, 1, 3, &beyond);
  CHECK(calls == 1 && last_kind == RP_INVALID_SLICE && rp_shared_data(&beyond) == NULL);
  rp_set_misuse_handler(NULL);
  rp_shared_release(&beyond);
  rp_shared_release(&part);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void the_only_handle_becomes_a_buffer_again(void) {
  rp_pool* pool = small_pool(0);
  rp_shared one;
  rp_shared other;
  void* bytes = rp_shared_alloc(pool, 100, &one);
  rp_shared_slice(&one, 50, 50, &other);
  CHECK(rp_shared_unique(&one) == NULL && rp_shared_count(&one) == 2);
  rp_shared_release(&one);
  CHECK(rp_shared_unique(&other) == bytes && rp_shared_data(&other) == NULL);
  rp_free(pool, bytes);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void zeros_are_an_empty_handle(void) {
  rp_pool* pool = small_pool(0);
  rp_shared empty = {{NULL}};
  rp_shared copy;
  CHECK(rp_shared_data(&empty) == NULL && rp_shared_size(&empty) == 0);
  CHECK(rp_shared_count(&empty) == 0 && rp_shared_unique(&empty) == NULL);
  rp_shared_retain(&empty, &copy);
  rp_shared_slice(&empty, 0, 0, &copy);
  rp_shared_release(&copy);
  rp_shared_release(&empty);
  rp_shared_release(&empty);
  CHECK(rp_shared_alloc(pool, 257, &copy) == NULL && rp_shared_count(&copy) == 0);
  rp_shared_release(&copy);
  CHECK(rp_shared_alloc(pool, 0, &copy) != NULL && rp_shared_count(&copy) == 1);
  rp_shared_release(&copy);
  check_whole(pool);
  rp_pool_destroy(pool);
}

static void* retain_and_release(void* one) {
  for (int i = 0; i < 20000; ++i) {
    rp_shared copy;
    rp_shared_retain(one, &copy);
    CHECK(rp_shared_data(&copy) == rp_shared_data(one));
    rp_shared_release(&copy);
  }
  rp_shared_release(one);
  return NULL;
}

static void threads_share_one(void) {
  rp_pool* pool = small_pool(0);
  rp_shared handles[4];
  pthread_t threads[4];
  CHECK(rp_shared_alloc(pool, 64, &handles[0]) != NULL);
  for (int i = 1; i < 4; ++i) {
    rp_shared_retain(&handles[0], &handles[i]);
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(pthread_create(&threads[i], NULL, retain_and_release, &handles[i]) == 0);
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
  }
  check_whole(pool);
  rp_pool_destroy(pool);
}

int main(void) {
  goes_back_with_its_last_handle();
  a_slice_keeps_the_whole();
  the_only_handle_becomes_a_buffer_again();
  zeros_are_an_empty_handle();
  threads_share_one();
  return failures != 0;
}
