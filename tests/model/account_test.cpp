// SPDX-License-Identifier: MIT
//
// Accounts below an account, their own source on explored memory, in all executions within small
// bounds: no limit is exceeded, no byte is lost, marks take turns, and what was done with bytes
// before they were refunded is seen by whoever has them next. And the same programs on seeded bugs.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bounded.hpp"
#include "programs.hpp"
#include "ringpool/account.hpp"

namespace ringpool::model {
namespace {

/// Two rooms below a server. A script begins with the account that its thread charges, 'a', 'b' or
/// 's' for the server; then a digit charges so many bytes, and 'r' refunds the oldest charge.
struct account_scripts {
  std::vector<std::string> threads;
  std::uint64_t room_limit = 4;
  std::uint64_t server_limit = 4;
  std::uint64_t high = 3;
  std::uint64_t low = 1;
};

template <class Account>
class account_program final : public program {
 public:
  explicit account_program(account_scripts scripts)
      : scripts_(std::move(scripts)),
        server_(settings_of(scripts_.server_limit, books_[2], nullptr)),
        room_a_(settings_of(scripts_.room_limit, books_[0], &server_)),
        room_b_(settings_of(scripts_.room_limit, books_[1], &server_)) {}

  [[nodiscard]] unsigned thread_count() const override {
    return static_cast<unsigned>(scripts_.threads.size());
  }

  void run_thread(unsigned number) override {
    const std::string& script = scripts_.threads[number];
    Account& own = script[0] == 'a' ? room_a_ : script[0] == 'b' ? room_b_ : server_;
    books* const room = script[0] == 's' ? nullptr : &books_[script[0] == 'a' ? 0 : 1];
    std::vector<std::uint64_t> held;
    for (std::size_t i = 1; i < script.size(); ++i) {
      if (script[i] == 'r') {
        if (!held.empty()) {
          const std::uint64_t bytes = held.front();
          held.erase(held.begin());
          change(room, bytes, -1);
          own.refund(bytes);
        }
      } else if (const auto bytes = static_cast<std::uint64_t>(script[i] - '0');
                 own.try_charge(bytes)) {
        change(room, bytes, 1);
        held.push_back(bytes);
      }
    }
  }

  void check_at_end(unsigned parked) override {
    if (parked == max_threads) {
      check(server_, books_[2]);
      check(room_a_, books_[0]);
      check(room_b_, books_[1]);
    }
  }

 private:
  struct books {
    std::uint64_t bytes = 0;
    std::uint64_t limit = 0;
    int highs = 0;
    int lows = 0;
    payload whole;  ///< written to by whoever has all bytes of the limit
  };

  static void on_mark(Account& /*account*/, watermark crossed, void* context) noexcept {
    auto& own = *static_cast<books*>(context);
    ++(crossed == watermark::high ? own.highs : own.lows);
  }
  [[nodiscard]] typename Account::settings settings_of(std::uint64_t limit, books& own,
                                                       Account* parent) const {
    own.limit = limit;
    return {.limit_bytes = limit,
            .high_bytes = scripts_.high,
            .low_bytes = scripts_.low,
            .on_mark = &on_mark,
            .context = &own,
            .parent = parent};
  }

  /// Between charge and refund: the account holds at least what the books say.
  void change(books* room, std::uint64_t bytes, int sign) {
    for (books* one : {room, &books_[2]}) {
      if (one != nullptr) {
        if (bytes == one->limit) {
          one->whole.write(bytes);
        }
        one->bytes += sign > 0 ? bytes : 0;
        require(one->bytes <= one->limit, "more was charged than the limit");
        one->bytes -= sign < 0 ? bytes : 0;
      }
    }
  }

  void check(const Account& account, const books& own) const {
    require(account.used_bytes() == own.bytes, "bytes are lost, or charged twice");
    const bool pressed = account.pressed();
    require(own.highs - own.lows == (pressed ? 1 : 0), "marks did not take turns");
    require(own.bytes < scripts_.high || pressed, "above the high mark, and not pressed");
    require(own.bytes > scripts_.low || !pressed, "below the low mark, and pressed");
  }

  account_scripts scripts_;
  std::array<books, 3> books_;
  Account server_;
  Account room_a_;
  Account room_b_;
};

using model_account = basic_account<model::atomics>;

template <class Account = model_account>
[[nodiscard]] program_factory accounts(const account_scripts& scripts) {
  return [scripts] { return std::make_unique<account_program<Account>>(scripts); };
}

TEST(account_model, two_threads_charge_one_account_to_its_limit) {
  expect_sound(accounts({{"s3r2r", "s3r2r"}}), within(4, 2));
  expect_sound(accounts({{"s21rr", "s12rr", "s3r"}}), within(2, 1));
}

TEST(account_model, who_has_all_bytes_sees_what_was_done_before_they_were_refunded) {
  expect_sound(accounts({{"s4r4r", "s4r"}}), within(4, 2));
  expect_sound(accounts({{"a4r", "b4r"}}), within(3, 2));
}

TEST(account_model, a_charge_that_is_refused_above_is_undone_below) {
  expect_sound(accounts({{"a3r", "b3r"}}), within(3, 1));
  expect_sound(accounts({{"a3r1", "b2r", "s2r"}}), within(2, 0));
}

TEST(account_model, marks_take_turns_while_threads_rise_and_fall) {
  expect_sound(accounts({{"s2r2r", "s2r2r"}}), within(4, 1));
  expect_sound(accounts({{"a2r", "b2r", "a1r"}}), within(2, 0));
}

TEST(account_model, a_thread_that_stops_for_ever_anywhere_blocks_nobody) {
  expect_sound(accounts({{"a3r", "b2r"}}), within(2, 1, true));
}

// ---- Seeded bugs --------------------------------------------------------------------------------

/// Both orders, weakened to relaxed at their source lines.
TEST(model_twins, every_weakened_order_of_an_account_is_a_data_race) {
  const program_factory make = accounts({{"s4r4r", "s4r"}});
  std::vector<weakened_site> sites;
  for (const auto& [file, line] : explore(make, within(4, 2)).ordered_sites) {
    sites.push_back({file, line});
  }
  EXPECT_EQ(sites.size(), 2U) << "the exchange of a charge, and that of a refund";
  for (const weakened_site& site : sites) {
    const outcome seen = explore(make, within(4, 2), site);
    EXPECT_NE(seen.violation.find("race"), std::string::npos) << site.file << ":" << site.line;
    EXPECT_EQ(replay(make, within(4, 2), seen.choices, site).violation, seen.violation);
  }
}

enum class bug : std::uint8_t { none, torn_charge, torn_refund, marks_apart, keeps_refused };

/// An account of which one call is not what it should be.
template <bug Seeded>
class broken_account {
 public:
  struct settings {
    std::uint64_t limit_bytes = 0;
    std::uint64_t high_bytes = 0;
    std::uint64_t low_bytes = 0;
    void (*on_mark)(broken_account&, watermark, void*) noexcept = nullptr;
    void* context = nullptr;
    broken_account* parent = nullptr;
  };

  explicit broken_account(const settings& how) : how_(how) {}

  [[nodiscard]] bool try_charge(std::uint64_t bytes) {
    if (!change_used(bytes, true)) {
      return false;
    }
    if (how_.parent != nullptr && !how_.parent->try_charge(bytes)) {
      if (Seeded != bug::keeps_refused) {
        (void)change_used(bytes, false);
      }
      return false;
    }
    return true;
  }
  void refund(std::uint64_t bytes) {
    (void)change_used(bytes, false);
    if (how_.parent != nullptr) {
      how_.parent->refund(bytes);
    }
  }
  [[nodiscard]] std::uint64_t used_bytes() const { return used_.peek() >> 1; }
  [[nodiscard]] bool pressed() const {
    return ((Seeded == bug::marks_apart ? pressed_.peek() : used_.peek()) & 1) != 0;
  }

 private:
  [[nodiscard]] bool change_used(std::uint64_t bytes, bool up) {
    std::uint64_t seen = used_.load(detail::relaxed);
    for (;;) {
      if (up && (seen >> 1) + bytes > how_.limit_bytes) {
        return false;
      }
      const std::uint64_t used = up ? (seen >> 1) + bytes : (seen >> 1) - bytes;
      const std::uint64_t mark = used >= how_.high_bytes  ? 1
                                 : used <= how_.low_bytes ? 0
                                                          : seen & 1;
      const std::uint64_t next = used << 1 | (Seeded == bug::marks_apart ? 0 : mark);
      if (Seeded == (up ? bug::torn_charge : bug::torn_refund)) {
        used_.store(next, detail::release);
      } else if (!used_.compare_exchange_strong(seen, next, detail::acq_rel, detail::relaxed)) {
        continue;
      }
      const std::uint64_t before = Seeded == bug::marks_apart ? turn(used) : seen & 1;
      const std::uint64_t after = Seeded == bug::marks_apart ? pressed_.peek() : next & 1;
      if (before != after) {
        how_.on_mark(*this, after != 0 ? watermark::high : watermark::low, how_.context);
      }
      return true;
    }
  }
  /// The state of the marks in a word of its own, a step after the bytes. Returns it as it was.
  [[nodiscard]] std::uint64_t turn(std::uint64_t used) {
    const std::uint64_t before = pressed_.load(detail::relaxed);
    if (used >= how_.high_bytes || used <= how_.low_bytes) {
      pressed_.store(used >= how_.high_bytes ? 1 : 0, detail::relaxed);
    }
    return before;
  }

  settings how_;
  model::atomic<std::uint64_t> used_{0};
  model::atomic<std::uint64_t> pressed_{0};
};

template <bug Seeded>
[[nodiscard]] std::string violation_of(const account_scripts& scripts) {
  return explore(accounts<broken_account<Seeded>>(scripts), within(3, 1)).violation;
}

TEST(model_twins, an_account_without_a_bug_in_the_same_coat_is_sound) {
  EXPECT_EQ(violation_of<bug::none>({{"s2r2r", "s3r2r"}}), "");
  EXPECT_EQ(violation_of<bug::none>({{"a3r", "b3r"}}), "");
}

TEST(model_twins, broken_accounts_are_found) {
  EXPECT_EQ(violation_of<bug::torn_charge>({{"s3", "s3"}}), "more was charged than the limit");
  EXPECT_EQ(violation_of<bug::torn_refund>({{"s1r", "s1r"}}), "bytes are lost, or charged twice");
  EXPECT_NE(violation_of<bug::marks_apart>({{"s3r", "s1r"}}), "");
  EXPECT_EQ(violation_of<bug::keeps_refused>({{"a3", "b3"}}), "bytes are lost, or charged twice");
}

}  // namespace
}  // namespace ringpool::model
