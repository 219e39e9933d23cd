// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "../support/child_process.hpp"
#include "ringpool/ring_buffer_pool.hpp"

namespace ringpool {
namespace {

/// What the default handler writes, with the address as printf prints it.
std::string line(const char* what, const void* pointer, const char* rest) {
  char text[256];
  std::snprintf(text, sizeof text, "ringpool: %s: pointer %p, pool of %s\n", what, pointer, rest);
  return text;
}

TEST(default_handler_death_test, aborts_on_a_double_free_with_one_line) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        ring_buffer_pool pool(64, 4);
        void* const pointer = pool.allocate(64);
        pool.deallocate(pointer);
        pool.deallocate(pointer);
      },
      testing::KilledBySignal(SIGABRT),
      "^ringpool: double free: pointer 0x[0-9a-f]+, pool of 64-byte buffers\n$");
}

TEST(default_handler, writes_exactly_one_line_and_aborts) {
  ring_buffer_pool pool(192, 4);
  int here = 0;
  const test::child_result child = test::run_in_child([&] {
    pool.deallocate(&here);
    return 0;
  });
  EXPECT_TRUE(child.killed_by(SIGABRT));
  EXPECT_EQ(child.errors, line("free of a foreign pointer", &here, "192-byte buffers"));
}

TEST(default_handler, tells_an_interior_pointer_from_a_foreign_one) {
  ring_buffer_pool pool(192, 4);
  auto* const held = static_cast<std::byte*>(pool.allocate(192));
  const test::child_result child = test::run_in_child([&] {
    pool.deallocate(held + 8);
    return 0;
  });
  EXPECT_TRUE(child.killed_by(SIGABRT));
  EXPECT_EQ(child.errors, line("free of an interior pointer", held + 8, "192-byte buffers"));
  pool.deallocate(held);
}

TEST(default_handler, names_the_last_freer_of_a_hardened_pool) {
  ring_buffer_pool pool(64, 4, {.hardened = true});
  void* const pointer = pool.allocate(64);
  pool.deallocate(pointer);
  const test::child_result child = test::run_in_child([&] {
    pool.deallocate(pointer);
    return 0;
  });
  EXPECT_TRUE(child.killed_by(SIGABRT));
  const std::string rest = "64-byte buffers, last freed by thread " + std::to_string(::gettid()) +
                           " at ringpool_misuse_tests+0x";
  const std::string expected = line("double free", pointer, rest.c_str());
  EXPECT_EQ(child.errors.substr(0, expected.size() - 1), expected.substr(0, expected.size() - 1));
  EXPECT_EQ(child.errors.find('\n'), child.errors.size() - 1) << "one line";
}

TEST(default_handler, counts_the_buffers_that_outlive_a_hardened_pool) {
  const test::child_result child = test::run_in_child([] {
    ring_buffer_pool pool(64, 4, {.hardened = true});
    return pool.allocate(64) != nullptr && pool.allocate(64) != nullptr ? 0 : 1;
  });
  EXPECT_TRUE(child.killed_by(SIGABRT));
  EXPECT_NE(child.errors.find("pool destroyed while buffers are held"), std::string::npos);
  EXPECT_NE(child.errors.find("64-byte buffers, 2 buffers outstanding\n"), std::string::npos);
}

TEST(default_handler, is_back_when_nullptr_is_set) {
  const test::child_result child = test::run_in_child([] {
    set_misuse_handler([](const misuse&) noexcept {});
    ring_buffer_pool pool(64, 4);
    int here = 0;
    pool.deallocate(&here);
    std::fputs("survived, ", stderr);
    set_misuse_handler(nullptr);
    pool.deallocate(&here);
    return 0;
  });
  EXPECT_TRUE(child.killed_by(SIGABRT));
  EXPECT_EQ(child.errors.rfind("survived, ringpool: free of a foreign pointer", 0), 0U)
      << child.errors;
}

TEST(default_handler, is_not_asked_when_a_pool_is_empty) {
  const test::child_result child = test::run_in_child([] {
    ring_buffer_pool pool(64, 1, {.upstream = nullptr});
    void* const held = pool.allocate(64);
    const bool refused = pool.allocate(64) == nullptr && pool.try_allocate(64) == nullptr;
    pool.deallocate(held);
    return refused ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0));
  EXPECT_EQ(child.errors, "") << "exhaustion is no log line";
}

}  // namespace
}  // namespace ringpool
