// SPDX-License-Identifier: MIT
//
// What rp_pool_create refuses and says, and programs of other versions than the library's.

#include <math.h>

#include "check.h"

static void expect(int32_t code, const char* text, const rp_class* classes, size_t count,
                   const rp_options* options) {
  rp_error error;
  memset(&error, 0xFF, sizeof error);
  rp_pool* pool = rp_pool_create(classes, count, options, &error);
  if ((pool == NULL) != (code != RP_OK) || error.code != code || strstr(error.text, text) == NULL) {
    fprintf(stderr, "expected %d \"%s\", got %d \"%s\"\n", code, text, error.code, error.text);
    ++failures;
  }
  rp_pool_destroy(pool);
}

static void says_what_was_wrong(void) {
  const rp_class right = {64, 8};
  const rp_class odd = {64, 7};
  const rp_class empty = {0, 8};
  const rp_class twice[] = {{64, 8}, {64, 16}};
  rp_class many[100];
  for (size_t i = 0; i < 100; ++i) {
    many[i] = (rp_class){64 * (i + 1), 1};
  }
  expect(RP_OK, "", &right, 1, NULL);
  expect(RP_OK, "", many, 64, NULL);
  expect(RP_INVALID_CAPACITY, "7", &odd, 1, NULL);
  expect(RP_INVALID_SIZE, "0", &empty, 1, NULL);
  expect(RP_DUPLICATE_SIZE, "64", twice, 2, NULL);
  expect(RP_NO_CLASSES, "no size classes", NULL, 0, NULL);
  expect(RP_NO_CLASSES, "no size classes", &right, 0, NULL);
  expect(RP_TOO_MANY_CLASSES, "64", many, 100, NULL);
  expect(RP_INVALID_ARGUMENT, "NULL", NULL, 1, NULL);
  CHECK(rp_pool_create(&odd, 1, NULL, NULL) == NULL);

  rp_options options;
  rp_options_init(&options, sizeof options);
  expect(RP_OK, "", &right, 1, &options);
  options.cache_limit = 100000;
  expect(RP_INVALID_OPTION, "100000", &right, 1, &options);
  rp_options_init(&options, sizeof options);
  options.zero_on_free = 3;
  expect(RP_INVALID_OPTION, "zero_on_free", &right, 1, &options);
  rp_options_init(&options, sizeof options);
  options.pages = 3;
  expect(RP_INVALID_OPTION, "pages", &right, 1, &options);
  rp_options_init(&options, sizeof options);
  options.fault_probability = 1.5;
  expect(RP_INVALID_OPTION, "fault_probability must be 0 to 1", &right, 1, &options);
  options.fault_probability = (double)NAN;
  expect(RP_INVALID_OPTION, "fault_probability must be 0 to 1", &right, 1, &options);
  rp_options_init(&options, sizeof options);
  options.fault_buffer_size = 65;
  expect(RP_INVALID_OPTION, "fault_buffer_size", &right, 1, &options);
}

static void has_a_sentence_for_every_code(void) {
  const char* unknown = rp_error_text(77);
  CHECK(strstr(unknown, "unknown") != NULL && strcmp(rp_error_text(-1), unknown) == 0);
  for (int32_t code = RP_OK; code <= RP_OUT_OF_MEMORY; ++code) {
    CHECK(strcmp(rp_error_text(code), unknown) != 0);
  }
  CHECK(strcmp(rp_error_text(RP_INVALID_ARGUMENT), unknown) != 0);
  const char* unknown_misuse = rp_misuse_text(1000);
  CHECK(strcmp(rp_misuse_text(-1), unknown_misuse) != 0);  // the nearest
  for (int32_t kind = RP_DOUBLE_FREE; kind <= RP_WAITING_AT_DESTRUCTION; ++kind) {
    CHECK(strcmp(rp_misuse_text(kind), unknown_misuse) != 0);
  }
  CHECK(rp_version() >= 100 && rp_version() < 1000000);
}

static void has_the_defaults_that_the_header_promises(void) {
  rp_options options;
  memset(&options, 0xFF, sizeof options);
  rp_options_init(&options, sizeof options);
  CHECK(options.struct_size == sizeof options);
  CHECK(options.elastic_capacity == 0 && options.cache_limit == 128);
  CHECK(options.upstream_budget_bytes == (size_t)1 << 30);
  CHECK(options.elastic_decay_ms == 5000 && options.numa_node == -1);
  CHECK(options.zero_on_free == RP_ZERO_NONE && options.pages == RP_PAGES_BASE);
  CHECK(options.hardened == 0 && options.prefault == 1 && options.lock_memory == 0);
  CHECK(options.use_membarrier == 1);
  CHECK(options.fault_nth == 0 && options.fault_every == 0 && options.fault_buffer_size == 0);
  CHECK(options.fault_probability == 0 && options.fault_seed == 1);
}

static void zeroes_what_it_is_told_to(void) {
  const rp_class one = {64, 1};
  rp_options options;
  rp_options_init(&options, sizeof options);
  options.zero_on_free = RP_ZERO_ALL;
  rp_pool* pool = rp_pool_create(&one, 1, &options, NULL);
  for (int i = 0; i < 2; ++i) {
    unsigned char* held = rp_alloc(pool, 64);
    CHECK(held[0] == 0 && held[63] == 0);
    memset(held, 0xAB, 64);
    rp_free(pool, held);
  }
  rp_pool_destroy(pool);
}

// A header of the future: one member more.
struct newer_options {
  rp_options known;
  uint64_t unknown;
};
struct newer_stats {
  rp_stats known;
  uint64_t unknown;
};

static void works_with_a_newer_program_that_asks_for_nothing_new(void) {
  const rp_class one = {64, 2};
  struct newer_options newer;
  memset(&newer, 0xFF, sizeof newer);
  rp_options_init(&newer.known, sizeof newer);
  CHECK(newer.known.struct_size == sizeof newer && newer.unknown == 0);
  expect(RP_OK, "", &one, 1, &newer.known);
  newer.unknown = 1;
  expect(RP_INVALID_OPTION, "does not know", &one, 1, &newer.known);

  rp_pool* pool = small_pool(0);
  struct newer_stats stats;
  memset(&stats, 0xFF, sizeof stats);
  CHECK(rp_pool_stats(pool, 0, &stats.known, sizeof stats) == RP_OK);
  CHECK(stats.known.ring_size == 8 && stats.unknown == 0);
  rp_pool_destroy(pool);
}

static void works_with_an_older_program(void) {
  rp_pool* pool = small_pool(0);
  rp_stats stats;
  memset(&stats, 0xFF, sizeof stats);
  CHECK(rp_pool_stats(pool, 0, &stats, offsetof(rp_stats, in_use)) == RP_OK);
  CHECK(stats.ring_size == 8 && stats.in_use == UINT64_MAX);
  CHECK(rp_pool_stats(pool, 2, &stats, sizeof stats) == RP_INVALID_ARGUMENT);
  CHECK(stats.ring_size == 0 && stats.misuse_count == 0);
  rp_pool_destroy(pool);

  // The options of the first version end where those of faults begin, the statistics before them.
  const rp_class one = {64, 2};
  rp_options options;
  memset(&options, 0xFF, sizeof options);
  rp_options_init(&options, offsetof(rp_options, fault_nth));
  CHECK(options.use_membarrier == 1 && options.fault_nth == UINT64_MAX);
  expect(RP_OK, "", &one, 1, &options);
  pool = small_pool(0);
  memset(&stats, 0xFF, sizeof stats);
  CHECK(rp_pool_stats(pool, 0, &stats, offsetof(rp_stats, injected_count)) == RP_OK);
  CHECK(stats.misuse_count == 0 && stats.injected_count == UINT64_MAX);
  rp_pool_destroy(pool);

  rp_options_init(&options, sizeof options);
  options.struct_size = sizeof(size_t);  // no version was ever so small
  expect(RP_INVALID_OPTION, "struct_size", &one, 1, &options);
  options.struct_size = 1 << 20;
  expect(RP_INVALID_OPTION, "struct_size", &one, 1, &options);
}

int main(void) {
  says_what_was_wrong();
  has_a_sentence_for_every_code();
  has_the_defaults_that_the_header_promises();
  zeroes_what_it_is_told_to();
  works_with_a_newer_program_that_asks_for_nothing_new();
  works_with_an_older_program();
  return failures != 0;
}
