// SPDX-License-Identifier: MIT
//
// The pools from C: buffers of two sizes, one of them shared by two owners.

#include <ringpool/ringpool.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  const rp_class classes[] = {{64, 8192}, {512, 4096}};
  rp_options options;
  rp_options_init(&options, sizeof options);
  options.upstream_budget_bytes = 1 << 20;  // beyond the buffers, 1 MiB from malloc

  rp_error error;
  rp_pool* pool = rp_pool_create(classes, 2, &options, &error);
  if (pool == NULL) {
    fprintf(stderr, "%s\n", error.text);
    return 1;
  }

  char* frame = rp_alloc(pool, 300);  // one of 512 bytes
  if (frame != NULL) {
    strcpy(frame, "hello");
    rp_free(pool, frame);
  }

  rp_shared message;
  char* bytes = rp_shared_alloc(pool, 64, &message);
  if (bytes != NULL) {
    strcpy(bytes, "to all of them");
    rp_shared peer;
    rp_shared_retain(&message, &peer);
    rp_shared_release(&message);
    printf("%s, %zu owner\n", (const char*)rp_shared_data(&peer), rp_shared_count(&peer));
    rp_shared_release(&peer);  // the last: the buffer goes back
  }

  rp_stats now;
  rp_pool_stats(pool, RP_ALL_CLASSES, &now, sizeof now);
  printf("%lu given out, %lu held\n", (unsigned long)now.alloc_count, (unsigned long)now.in_use);
  rp_pool_destroy(pool);
  return now.in_use == 0 ? 0 : 1;
}
