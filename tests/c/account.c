// SPDX-License-Identifier: MIT
//
// Budgets: what is charged, refused and refunded, and the marks that are told of.

#include "check.h"

static int highs;
static int lows;

static void count_mark(rp_account* account, int32_t mark, void* context) {
  CHECK(rp_account_used_bytes(account) != 0 && strcmp(context, "room") == 0);
  highs += mark == RP_MARK_HIGH;
  lows += mark == RP_MARK_LOW;
}

static void charges_all_the_way_up_or_nowhere(void) {
  rp_account_options options;
  rp_account_options_init(&options, sizeof options);
  options.limit_bytes = 1000;
  rp_account* server = rp_account_create(&options, NULL);
  options.limit_bytes = 800;
  options.parent = server;
  rp_account* room = rp_account_create(&options, NULL);
  rp_account* other = rp_account_create(&options, NULL);
  CHECK(rp_account_charge(room, 600) == 1);
  CHECK(rp_account_used_bytes(room) == 600 && rp_account_used_bytes(server) == 600);
  CHECK(rp_account_charge(room, 201) == 0 && rp_account_refusal_count(room) == 1);
  CHECK(rp_account_charge(other, 401) == 0 && rp_account_refusal_count(server) == 1);
  CHECK(rp_account_used_bytes(other) == 0 && rp_account_used_bytes(server) == 600);
  CHECK(rp_account_charge(other, 400) == 1);
  rp_account_refund(room, 600);
  rp_account_refund(other, 400);
  CHECK(rp_account_used_bytes(server) == 0);
  rp_account_destroy(other);
  rp_account_destroy(room);
  rp_account_destroy(server);
  rp_account_destroy(NULL);
}

static void tells_of_each_mark_once(void) {
  rp_account_options options;
  rp_account_options_init(&options, sizeof options);
  options.high_bytes = 100;
  options.low_bytes = 50;
  options.on_mark = count_mark;
  options.context = "room";
  rp_account* room = rp_account_create(&options, NULL);
  CHECK(rp_account_charge(room, 99) && highs == 0);
  CHECK(rp_account_charge(room, 1) && highs == 1);
  CHECK(rp_account_charge(room, 100) && highs == 1 && lows == 0);
  rp_account_refund(room, 149);
  CHECK(lows == 0);
  rp_account_refund(room, 1);
  CHECK(lows == 1 && highs == 1);
  rp_account_refund(room, 50);
  rp_account_destroy(room);
}

static void says_what_was_wrong(void) {
  rp_account_options options;
  rp_error error;
  rp_account_options_init(&options, sizeof options);
  options.high_bytes = 10;
  options.low_bytes = 10;
  CHECK(rp_account_create(&options, &error) == NULL && error.code == RP_INVALID_OPTION);
  CHECK(strstr(error.text, "low_bytes") != NULL);
  options.struct_size = 8;
  CHECK(rp_account_create(&options, &error) == NULL && strstr(error.text, "struct_size") != NULL);
  rp_account* unlimited = rp_account_create(NULL, &error);
  CHECK(unlimited != NULL && error.code == RP_OK);
  CHECK(rp_account_charge(unlimited, (uint64_t)1 << 60) == 1);
  rp_account_refund(unlimited, (uint64_t)1 << 60);
  rp_account_destroy(unlimited);
}

int main(void) {
  charges_all_the_way_up_or_nowhere();
  tells_of_each_mark_once();
  says_what_was_wrong();
  return failures != 0;
}
