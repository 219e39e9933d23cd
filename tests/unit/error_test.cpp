// SPDX-License-Identifier: MIT
#include "ringpool/error.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <system_error>

#include "../support/misuse_recorder.hpp"

namespace ringpool {
namespace {

constexpr errc every_errc[] = {
    errc::invalid_size,     errc::invalid_capacity, errc::duplicate_size, errc::no_classes,
    errc::too_many_classes, errc::invalid_option,   errc::too_large,      errc::reservation_failed,
    errc::commit_failed,    errc::lock_failed,      errc::numa_failed,    errc::out_of_memory,
    errc::invalid_metric,
};

constexpr misuse_kind every_misuse[] = {
    misuse_kind::double_free,         misuse_kind::foreign_pointer,
    misuse_kind::interior_pointer,    misuse_kind::canary_overwritten,
    misuse_kind::write_after_free,    misuse_kind::invalid_resize,
    misuse_kind::outstanding_buffers, misuse_kind::invalid_slice,
    misuse_kind::too_many_references, misuse_kind::waiting_at_destruction,
    misuse_kind::excess_refund,
};

void silent_handler(const misuse& /*unused*/) noexcept {}
void other_handler(const misuse& /*unused*/) noexcept {}

TEST(error, every_code_has_a_message_of_its_own) {
  std::set<std::string> messages;
  for (const errc code : every_errc) {
    const std::error_code error = code;
    EXPECT_TRUE(error) << "0 would mean success";
    EXPECT_EQ(error.category(), error_category());
    EXPECT_EQ(error, make_error_code(code));
    EXPECT_NE(error.message(), "unknown ringpool error");
    messages.insert(error.message());
  }
  EXPECT_EQ(messages.size(), std::size(every_errc));
}

TEST(error, a_value_that_is_no_code_says_so) {
  EXPECT_EQ(error_category().message(0), "unknown ringpool error");
  EXPECT_EQ(error_category().message(1000), "unknown ringpool error");
}

TEST(error, the_category_is_one_object_with_a_name) {
  EXPECT_STREQ(error_category().name(), "ringpool");
  EXPECT_EQ(&error_category(), &error_category());
}

TEST(error, every_misuse_has_a_text_of_its_own) {
  std::set<std::string> texts;
  for (const misuse_kind kind : every_misuse) {
    EXPECT_STRNE(to_string(kind), "unknown misuse");
    texts.insert(to_string(kind));
  }
  EXPECT_EQ(texts.size(), std::size(every_misuse));
  EXPECT_STREQ(to_string(static_cast<misuse_kind>(200)), "unknown misuse");
}

TEST(error, set_misuse_handler_returns_the_handler_before) {
  EXPECT_EQ(set_misuse_handler(&silent_handler), nullptr) << "nullptr stands for the default";
  EXPECT_EQ(set_misuse_handler(&other_handler), &silent_handler);
  EXPECT_EQ(set_misuse_handler(nullptr), &other_handler);
  EXPECT_EQ(set_misuse_handler(nullptr), nullptr);
}

TEST(error, a_replaced_handler_gets_what_was_reported) {
  const test::misuse_recorder recorder;
  int where = 0;
  detail::report_misuse({misuse_kind::interior_pointer, &where, 512, 42, 7});
  ASSERT_EQ(recorder.count(), 1U);
  EXPECT_EQ(recorder.last().kind, misuse_kind::interior_pointer);
  EXPECT_EQ(recorder.last().pointer, &where);
  EXPECT_EQ(recorder.last().buffer_size, 512U);
  EXPECT_EQ(recorder.last().last_freer_thread_id, 42);
  EXPECT_EQ(recorder.last().outstanding_count, 7U);
}

TEST(error, a_failure_becomes_a_system_error_with_code_and_text) {
  try {
    detail::throw_failure({errc::too_large, "capacity 12 of something"});
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), errc::too_large);
    EXPECT_NE(std::string(error.what()).find("capacity 12 of something"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(error.code().message()), std::string::npos);
    return;
  }
  FAIL() << "nothing was thrown";
}

TEST(error, a_failure_without_a_code_is_none) {
  EXPECT_FALSE(detail::failure{}.failed());
  EXPECT_TRUE((detail::failure{errc::invalid_size, ""}).failed());
}

}  // namespace
}  // namespace ringpool
