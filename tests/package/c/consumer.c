// SPDX-License-Identifier: MIT
// A user of the C library who knows its one header.

#include <ringpool/ringpool.h>
#include <stdio.h>

int main(void) {
  const rp_class one = {1024, 256};
  rp_error error;
  rp_pool* pool = rp_pool_create(&one, 1, NULL, &error);
  if (pool == NULL) {
    fprintf(stderr, "consumer: %s\n", error.text);
    return 1;
  }
  void* held = rp_alloc(pool, 500);
  rp_stats now;
  rp_pool_stats(pool, 0, &now, sizeof now);
  if (held == NULL || now.in_use != 1 || now.ring_size != 256) {
    fprintf(stderr, "consumer: one buffer is held, and statistics do not say so\n");
    return 1;
  }
  rp_free(pool, held);
  rp_pool_destroy(pool);
  return 0;
}
