// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "crew.hpp"
#include "random_source.hpp"
#include "ringpool/account.hpp"
#include "verdict.hpp"

namespace ringpool::stress {

/// Threads charge and refund in rooms below one server. No limit is ever exceeded, nothing stays
/// charged, and each high mark is followed by its low mark.
///
/// The books beside an account are kept while bytes are charged: they are at most what it holds.
template <class Account>
class account_traffic {
 public:
  static constexpr std::size_t room_count = 3;
  static constexpr std::uint64_t room_limit = 1000;
  static constexpr std::uint64_t server_limit = 2000;  // less than all rooms'

  account_traffic(unsigned threads, std::size_t rounds, verdict& log)
      : threads_(threads), rounds_(rounds), log_(log) {}

  void run() {
    misused_.store(&log_);
    const misuse_handler before = set_misuse_handler([](const misuse& /*what*/) noexcept {
      misused_.load()->violation("an account was to refund more than it had");
    });
    run_together(threads_, [this](unsigned number) { work(number); });
    set_misuse_handler(before);
    settle(server_, server_books_);
    for (std::size_t i = 0; i < room_count; ++i) {
      settle(rooms_[i], room_books_[i]);
    }
  }

  [[nodiscard]] std::uint64_t crossings() const {
    return server_books_.highs.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t refusals() const { return server_.refusal_count(); }

 private:
  struct books {
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> highs{0};
    std::atomic<std::uint64_t> lows{0};
  };
  struct charge {
    std::size_t room;
    std::uint64_t bytes;
  };

  static void on_mark(Account& /*account*/, watermark crossed, void* context) noexcept {
    auto& own = *static_cast<books*>(context);
    (crossed == watermark::high ? own.highs : own.lows).fetch_add(1, std::memory_order_relaxed);
  }
  static typename Account::settings marks(std::uint64_t limit, books& own, Account* parent) {
    return {.limit_bytes = limit,
            .high_bytes = limit * 3 / 4,
            .low_bytes = limit / 2,
            .on_mark = &on_mark,
            .context = &own,
            .parent = parent};
  }

  void work(unsigned number) {
    random_source random(number + 1);
    std::vector<charge> held;
    for (std::size_t round = 0; round < rounds_; ++round) {
      if (held.size() < 8 && random.below(2) == 0) {
        const charge next{random.below(room_count), 1 + random.below(200)};
        if (rooms_[next.room].try_charge(next.bytes)) {
          enter(room_books_[next.room], next.bytes, room_limit);
          enter(server_books_, next.bytes, server_limit);
          held.push_back(next);
        }
      } else if (!held.empty()) {
        give_back(held);
      }
    }
    while (!held.empty()) {
      give_back(held);
    }
  }

  void enter(books& own, std::uint64_t bytes, std::uint64_t limit) {
    const std::uint64_t now = own.bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    log_.require(now <= limit, "an account held more than its limit");
  }

  void give_back(std::vector<charge>& held) {
    const charge last = held.back();
    held.pop_back();
    room_books_[last.room].bytes.fetch_sub(last.bytes, std::memory_order_relaxed);
    server_books_.bytes.fetch_sub(last.bytes, std::memory_order_relaxed);
    rooms_[last.room].refund(last.bytes);
  }

  void settle(const Account& account, const books& own) {
    log_.require(account.used_bytes() == 0, "an account was left with bytes");
    log_.require(!account.pressed(), "an account without bytes was left pressed");
    log_.require(
        own.highs.load(std::memory_order_relaxed) == own.lows.load(std::memory_order_relaxed),
        "an account's marks did not take turns");
  }

  static inline std::atomic<verdict*> misused_{nullptr};

  unsigned threads_;
  std::size_t rounds_;
  verdict& log_;
  books server_books_;
  std::array<books, room_count> room_books_;
  Account server_{marks(server_limit, server_books_, nullptr)};
  std::array<Account, room_count> rooms_{Account(marks(room_limit, room_books_[0], &server_)),
                                         Account(marks(room_limit, room_books_[1], &server_)),
                                         Account(marks(room_limit, room_books_[2], &server_))};
};

}  // namespace ringpool::stress
