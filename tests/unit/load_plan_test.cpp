// SPDX-License-Identifier: MIT
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "load_options.hpp"
#include "load_report.hpp"
#include "load_schedule.hpp"
#include "load_tally.hpp"

namespace ringpool::tools {
namespace {

TEST(load_schedule, frames_are_due_one_interval_apart_round_robin) {
  const open_schedule schedule(5'000'000'000, 1000.0, 4);
  EXPECT_EQ(schedule.due_ns(0, 0), 5'000'000'000);
  EXPECT_EQ(schedule.due_ns(1, 0), 5'001'000'000);
  EXPECT_EQ(schedule.due_ns(3, 0), 5'003'000'000);
  EXPECT_EQ(schedule.due_ns(0, 1), 5'004'000'000);
}

TEST(load_schedule, does_not_drift_over_a_day) {
  const open_schedule schedule(
      0, 3000.0, 10);  // the interval is a third of a microsecond off any whole number
  const std::uint64_t frames_a_day = 86'400ULL * 3000;
  EXPECT_NEAR(static_cast<double>(schedule.due_ns(0, frames_a_day / 10)), 86'400e9, 1000.0);
}

std::string listen_error(const char* text) {
  try {
    resolve_target(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(load_target, takes_both_families) {
  const load_target four = resolve_target("127.0.0.1:9000");
  ASSERT_EQ(four.address.ss_family, AF_INET);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in&>(four.address).sin_port, htons(9000));
  const load_target six = resolve_target("[::1]:65535");
  ASSERT_EQ(six.address.ss_family, AF_INET6);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in6&>(six.address).sin6_port, htons(65535));
}

TEST(load_target, refuses_what_is_no_address_and_says_why) {
  EXPECT_NE(listen_error("127.0.0.1").find("the port is missing"), std::string::npos);
  EXPECT_NE(listen_error(":80").find("the address is missing"), std::string::npos);
  for (const char* const text :
       {"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:80x", "127.0.0.1:-1"}) {
    EXPECT_NE(listen_error(text).find("1 to 65535"), std::string::npos) << text;
    EXPECT_NE(listen_error(text).find("accepted: ADDR:PORT"), std::string::npos) << text;
  }
}

TEST(load_tally, every_fault_but_an_orderly_echo_counts) {
  for (const echo_verdict verdict : {echo_verdict::out_of_order, echo_verdict::duplicated,
                                     echo_verdict::foreign, echo_verdict::corrupted}) {
    load_tally tally;
    tally.count(echo_verdict::in_order);
    EXPECT_EQ(tally.faults(), 0U);
    tally.count(verdict);
    EXPECT_EQ(tally.faults(), 1U);
  }
}

TEST(load_tally, seconds_add_up_over_phases_and_not_over_loops) {
  load_tally one;
  one.measured_frames = 100;
  one.measured_seconds = 2.0;
  load_tally loops = one;
  loops.merge_loop(one);
  EXPECT_EQ(loops.frames_per_second(), 100.0);
  load_tally phases = one;
  phases.merge_phase(one);
  EXPECT_EQ(phases.frames_per_second(), 50.0);
}

TEST(load_exit_code, is_zero_only_without_faults_and_without_an_interrupt) {
  load_result result;
  EXPECT_EQ(load_exit_code(result), 0);
  result.interrupted = true;
  EXPECT_EQ(load_exit_code(result), 130);
  result.tally.lost = 1;
  EXPECT_EQ(load_exit_code(result), 1);
  result.interrupted = false;
  EXPECT_EQ(load_exit_code(result), 1);
}

}  // namespace
}  // namespace ringpool::tools
