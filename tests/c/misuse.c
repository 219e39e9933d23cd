// SPDX-License-Identifier: MIT
//
// Misuse reaches the handler, changes nothing, and aborts where there is none.

// For fork, which C11 alone does not have.
#define _POSIX_C_SOURCE 200809L  // NOLINT(bugprone-reserved-identifier)

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static int calls;
static rp_misuse last;

static void record(const rp_misuse* what) {
  ++calls;
  last = *what;
}

static void reaches_the_handler_and_changes_nothing(void) {
  CHECK(rp_set_misuse_handler(record) == NULL);
  rp_pool* pool = small_pool(0);
  char* held = rp_alloc(pool, 64);
  char foreign[64];

  rp_free(pool, held + 1);
  CHECK(calls == 1 && last.kind == RP_INTERIOR_POINTER && last.pointer == held + 1);
  CHECK(last.buffer_size == 64);
  rp_free(pool, foreign);
  CHECK(calls == 2 && last.kind == RP_FOREIGN_POINTER);
  rp_free(pool, held);
  CHECK(calls == 2);
  rp_free(pool, held);
  CHECK(calls == 3 && last.kind == RP_DOUBLE_FREE);
  void* bulk[] = {held, held};
  rp_free_bulk(pool, bulk, 2);
  CHECK(calls == 5 && stats_of(pool).misuse_count == 5);
  check_whole(pool);
  rp_pool_destroy(pool);
  CHECK(rp_set_misuse_handler(NULL) == record);
}

static void hardened_pools_find_more(void) {
  calls = 0;
  rp_set_misuse_handler(record);
  rp_pool* pool = small_pool(1);
  char* held = rp_alloc(pool, 64);
  held[64] ^= 1;
  rp_free(pool, held);
  CHECK(calls == 1 && last.kind == RP_CANARY_OVERWRITTEN);
  held[64] ^= 1;
  rp_free(pool, held);
  CHECK(calls == 1);
  rp_free(pool, held);
  CHECK(calls == 2 && last.kind == RP_DOUBLE_FREE && last.last_freer_thread_id != 0);
  CHECK(rp_alloc(pool, 64) != NULL);
  rp_pool_destroy(pool);
  CHECK(calls == 3 && last.kind == RP_OUTSTANDING_BUFFERS && last.outstanding_count == 1);
  rp_set_misuse_handler(NULL);
}

// In a child: what it writes to standard error, and the signal that ends it.
static void aborts_without_a_handler(int after_one_was_set) {
  int ends[2];
  char text[256] = {0};
  int status = 0;
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    if (after_one_was_set) {
      rp_set_misuse_handler(record);
      rp_set_misuse_handler(NULL);
    }
    rp_pool* pool = small_pool(0);
    rp_free(pool, text);
    _exit(0);
  }
  close(ends[1]);
  CHECK(read(ends[0], text, sizeof text - 1) > 0);
  close(ends[0]);
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  CHECK(strstr(text, rp_misuse_text(RP_FOREIGN_POINTER)) != NULL);
}

int main(void) {
  aborts_without_a_handler(0);
  aborts_without_a_handler(1);
  reaches_the_handler_and_changes_nothing();
  hardened_pools_find_more();
  return failures != 0;
}
