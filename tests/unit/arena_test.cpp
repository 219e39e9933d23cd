// SPDX-License-Identifier: MIT
#include "ringpool/arena.hpp"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "../support/child_process.hpp"
#include "../support/pages.hpp"
#include "../support/sanitizers.hpp"

namespace ringpool {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

bool all_zero(const std::byte* start, std::size_t bytes) {
  return std::all_of(start, start + bytes, [](std::byte one) { return one == std::byte{0}; });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// An arena of 4 MiB, all committed.
struct committed_arena {
  committed_arena() {
    EXPECT_FALSE(memory.reserve(4 * mib).failed());
    EXPECT_FALSE(memory.commit(0, 4 * mib).failed());
  }
  [[nodiscard]] detail::failure prepare(const memory_options& options) {
    return memory.prepare(0, 4 * mib, options, report);
  }
  arena memory;
  memory_report report;
};

TEST(arena, is_empty_until_it_reserves) {
  const arena none;
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size_bytes(), 0U);
}

TEST(arena, reserves_unreachable_addresses_aligned_to_a_huge_page) {
  arena memory;
  ASSERT_FALSE(memory.reserve(10 * mib).failed());
  EXPECT_EQ(memory.size_bytes(), 10 * mib);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % arena::huge_page_bytes, 0U);
  EXPECT_FALSE(test::is_readable(memory.data()));
  EXPECT_FALSE(test::is_readable(memory.data() + 10 * mib - 1));
}

TEST(arena, commits_the_pages_it_is_told_and_no_others) {
  const std::size_t page = arena::page_bytes();
  arena memory;
  ASSERT_FALSE(memory.reserve(4 * mib).failed());
  ASSERT_FALSE(memory.commit(2 * page, page).failed());
  EXPECT_FALSE(test::is_readable(memory.data() + 2 * page - 1));
  EXPECT_TRUE(all_zero(memory.data() + 2 * page, page));
  std::memset(memory.data() + 2 * page, 0xAB, page);
  EXPECT_FALSE(test::is_readable(memory.data() + 3 * page));
}

TEST(arena, committed_memory_costs_nothing_until_touched) {
  const committed_arena one;
  EXPECT_EQ(test::resident_bytes(one.memory.data(), 4 * mib), 0U);
  one.memory.data()[mib] = std::byte{1};
  EXPECT_EQ(test::resident_bytes(one.memory.data(), 4 * mib), arena::page_bytes());
}

TEST(arena, prefault_makes_memory_resident_and_reports_it) {
  committed_arena one;
  ASSERT_FALSE(one.prepare({}).failed());
  EXPECT_EQ(test::resident_bytes(one.memory.data(), 4 * mib), 4 * mib);
  EXPECT_EQ(one.report.resident_bytes, 4 * mib);
  EXPECT_EQ(one.report.locked_bytes, 0U);
  EXPECT_EQ(one.report.huge_page_bytes, 0U);
  EXPECT_EQ(one.report.pages, huge_pages::none);
  EXPECT_EQ(one.report.numa_node, -1);
}

TEST(arena, without_prefault_nothing_becomes_resident) {
  committed_arena one;
  ASSERT_FALSE(one.prepare({.prefault = false}).failed());
  EXPECT_EQ(test::resident_bytes(one.memory.data(), 4 * mib), 0U);
  EXPECT_EQ(one.report.resident_bytes, 0U);
}

TEST(arena, discard_gives_pages_back_and_they_read_as_zero) {
  committed_arena one;
  std::memset(one.memory.data(), 0xAB, mib);
  arena::discard(one.memory.data(), mib / 2);
  EXPECT_EQ(test::resident_bytes(one.memory.data(), mib / 2), 0U);
  EXPECT_TRUE(all_zero(one.memory.data(), mib / 2));
  EXPECT_EQ(one.memory.data()[mib / 2], std::byte{0xAB});
}

TEST(arena, gives_its_addresses_back_when_it_dies) {
  const std::byte* where = nullptr;
  {
    const committed_arena one;
    where = one.memory.data();
    EXPECT_TRUE(test::is_readable(where));
  }
  EXPECT_FALSE(test::is_readable(where));
}

TEST(arena, refuses_more_than_the_address_space_and_says_how_much) {
  arena memory;
  const detail::failure why = memory.reserve(std::size_t{1} << 60);
  EXPECT_EQ(why.code, errc::reservation_failed);
  EXPECT_TRUE(contains(why.text, std::to_string(std::size_t{1} << 60))) << why.text;
  EXPECT_TRUE(contains(why.text, "RLIMIT_AS")) << why.text;
  EXPECT_EQ(memory.data(), nullptr);
}

TEST(arena, refuses_a_size_that_overflows_with_its_slack) {
  arena memory;
  EXPECT_EQ(memory.reserve(std::numeric_limits<std::size_t>::max()).code, errc::reservation_failed);
  EXPECT_EQ(memory.data(), nullptr);
}

TEST(arena, transparent_huge_pages_are_counted_as_the_kernel_counts_them) {
  committed_arena one;
  ASSERT_FALSE(one.prepare({.pages = huge_pages::transparent}).failed());
  EXPECT_EQ(one.report.pages, huge_pages::transparent);
  EXPECT_EQ(one.report.resident_bytes, 4 * mib);
  EXPECT_LE(one.report.huge_page_bytes, 4 * mib);
  EXPECT_EQ(one.report.huge_page_bytes % arena::huge_page_bytes, 0U);
  std::memset(one.memory.data(), 1, 4 * mib);
}

TEST(arena, reserved_huge_pages_fall_back_and_tell) {
  committed_arena one;
  ASSERT_FALSE(one.prepare({.pages = huge_pages::reserved}).failed());
  std::memset(one.memory.data(), 1, 4 * mib);  // no SIGBUS, whatever was obtained
  EXPECT_NE(one.report.pages, huge_pages::none);
  if (one.report.pages == huge_pages::reserved) {
    EXPECT_EQ(one.report.huge_page_bytes, 4 * mib);
  }
}

TEST(arena, reserved_huge_pages_are_not_tried_on_a_part_of_one) {
  arena memory;
  memory_report report;
  const std::size_t part = mib;
  ASSERT_FALSE(memory.reserve(4 * mib).failed());
  ASSERT_FALSE(memory.commit(0, part).failed());
  ASSERT_FALSE(memory.prepare(0, part, {.pages = huge_pages::reserved}, report).failed());
  EXPECT_NE(report.pages, huge_pages::reserved);
  EXPECT_EQ(report.resident_bytes, part);
}

TEST(arena, binds_to_the_first_numa_node) {
  if (::access("/sys/devices/system/node/node0", F_OK) != 0) {
    GTEST_SKIP() << "this kernel knows no NUMA nodes";
  }
  committed_arena one;
  const detail::failure why = one.prepare({.numa_node = 0});
  ASSERT_FALSE(why.failed()) << why.text;
  EXPECT_EQ(one.report.numa_node, 0);
  int mode = -1;
  ASSERT_EQ(::syscall(SYS_get_mempolicy, &mode, nullptr, 0UL, one.memory.data(), 2UL), 0);
  EXPECT_EQ(mode, 2) << "MPOL_BIND";
}

TEST(arena, a_numa_node_that_does_not_exist_is_an_error_that_names_it) {
  for (const int node : {1000, 1024, std::numeric_limits<int>::max()}) {
    committed_arena one;
    const detail::failure why = one.prepare({.numa_node = node});
    EXPECT_EQ(why.code, errc::numa_failed);
    EXPECT_TRUE(contains(why.text, std::to_string(node))) << why.text;
    EXPECT_EQ(one.report.numa_node, -1);
  }
}

TEST(arena, lock_keeps_memory_resident_and_reports_it) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_cur < 4 * mib && ::geteuid() != 0) {
    GTEST_SKIP() << "RLIMIT_MEMLOCK is below 4 MiB here";
  }
  if (test::under_sanitizer) {
    GTEST_SKIP() << "sanitizers make mlock do nothing";
  }
  committed_arena one;
  const detail::failure why = one.prepare({.prefault = false, .lock = true});
  ASSERT_FALSE(why.failed()) << why.text;
  EXPECT_EQ(one.report.locked_bytes, 4 * mib);
  EXPECT_EQ(one.report.resident_bytes, 4 * mib);
  EXPECT_EQ(test::resident_bytes(one.memory.data(), 4 * mib), 4 * mib);
}

/// True if the kernel then refuses this process to lock anything.
bool give_up_locking() {
  const rlimit none{0, 0};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0 || ::syscall(SYS_capget, &header, data) != 0) {
    return false;
  }
  data[CAP_IPC_LOCK / 32].effective &= ~(1U << (CAP_IPC_LOCK % 32));
  return ::syscall(SYS_capset, &header, data) == 0;
}

TEST(arena, a_refused_lock_is_an_error_that_names_the_limit) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "sanitizers make mlock do nothing";
  }
  const test::child_result child = test::run_in_child([] {
    committed_arena one;
    if (!give_up_locking()) {
      return 77;
    }
    const detail::failure why = one.prepare({.lock = true});
    std::fputs(std::string(why.text).c_str(), stderr);
    return why.code == errc::lock_failed && one.report.locked_bytes == 0 ? 0 : 1;
  });
  if (child.exited_with(77)) {
    GTEST_SKIP() << "the privilege to lock cannot be given up here";
  }
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
  EXPECT_TRUE(contains(child.errors, "RLIMIT_MEMLOCK")) << child.errors;
}

TEST(arena, a_refused_reservation_under_rlimit_as_is_an_error) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "sanitizers need address space of their own";
  }
  const test::child_result child = test::run_in_child([] {
    const rlimit small{64 * mib, 64 * mib};
    arena memory;
    ::setrlimit(RLIMIT_AS, &small);
    const detail::failure why = memory.reserve(100 * mib);
    return why.code == errc::reservation_failed && memory.data() == nullptr ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
}

TEST(arena, a_refused_commit_is_an_error) {
  if (test::under_sanitizer) {
    GTEST_SKIP() << "sanitizers need data segments of their own";
  }
  const test::child_result child = test::run_in_child([] {
    arena memory;
    const bool reserved = !memory.reserve(100 * mib).failed();
    const rlimit small{mib, mib};
    ::setrlimit(RLIMIT_DATA, &small);  // counts what becomes writable, since Linux 4.7
    const detail::failure why = memory.commit(0, 100 * mib);
    return reserved && why.code == errc::commit_failed ? 0 : 1;
  });
  EXPECT_TRUE(child.exited_with(0)) << child.errors;
}

}  // namespace
}  // namespace ringpool
