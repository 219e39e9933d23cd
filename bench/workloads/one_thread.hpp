// SPDX-License-Identifier: MIT
#pragma once

// What one pinned thread does: a hot pair, 64 held, mixed sizes, bulk, and the refusal of a pool
// that is empty. Figures are nanoseconds per pair (per buffer in bulk, per call in a refusal).

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "contender.hpp"
#include "measure.hpp"

namespace bench {

inline constexpr std::size_t request_bytes = 512;
inline constexpr demand one_size{.bytes = 1024, .count = 1024};
inline constexpr double one_thread_ms = 10;

template <class Contender>
sample hot_pair(const effort& wanted) {
  pin_this_thread(wanted.first_cpu);
  Contender one(one_size);
  escape(one);
  const in_thread<Contender> scope(one);
  return {time_turns(wanted, one_thread_ms, [&one](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      auto buffer = one.take(request_bytes);
      touch(address(buffer));
      one.give(std::move(buffer), request_bytes);
    }
  })};
}

/// `next(i)`: which of the 64 is given back, and taken anew.
template <class Contender, class Next>
sample with_64_held(const effort& wanted, Next next) {
  pin_this_thread(wanted.first_cpu);
  Contender one(one_size);
  escape(one);
  const in_thread<Contender> scope(one);
  std::array<taken<Contender>, 64> held{};
  for (auto& buffer : held) {
    buffer = one.take(request_bytes);
  }
  const double ns = time_turns(wanted, one_thread_ms, [&](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      auto& buffer = held[next(i)];
      one.give(std::move(buffer), request_bytes);
      buffer = one.take(request_bytes);
      touch(address(buffer));
    }
  });
  for (auto& buffer : held) {
    one.give(std::move(buffer), request_bytes);
  }
  return {ns};
}

template <class Contender>
sample held_fifo(const effort& wanted) {
  return with_64_held<Contender>(wanted, [](std::size_t i) { return i % 64; });
}

template <class Contender>
sample held_random(const effort& wanted) {
  return with_64_held<Contender>(
      wanted, [random = dice()](std::size_t) mutable { return random.roll<6>(); });
}

/// Sizes in a game's proportions: of 100 frames 70 take at most 64 bytes, and so on.
struct share {
  std::uint16_t bytes;
  std::uint16_t of_100;
};
inline constexpr std::array<share, 6> game_sizes{
    {{64, 70}, {128, 15}, {256, 8}, {512, 4}, {1024, 2}, {4096, 1}}};
/// 4,096 requests in those proportions, in a random order that is always the same.
const std::array<std::uint16_t, 4096>& game_requests();

/// One instance of a contender of one size for each size class; the giver knows the size.
template <class Contender>
class per_class {
 public:
  explicit per_class(const demand& wanted) {
    std::size_t below = 0;
    for (std::size_t i = 0; i < game_sizes.size(); ++i) {
      classes_[i] = std::make_unique<Contender>(demand{game_sizes[i].bytes, wanted.count});
      for (; below <= game_sizes[i].bytes / 64; ++below) {
        class_of_[below] = classes_[i].get();
      }
    }
  }
  taken<Contender> take(std::size_t bytes) { return class_for(bytes).take(bytes); }
  template <class Taken>
  void give(Taken&& buffer, std::size_t bytes) {
    class_for(bytes).give(std::forward<Taken>(buffer), bytes);
  }
  void enter_thread() requires requires(Contender& one) { one.enter_thread(); }
  { classes_[0]->enter_thread(); }
  void leave_thread() requires requires(Contender& one) { one.leave_thread(); }
  { classes_[0]->leave_thread(); }

 private:
  Contender& class_for(std::size_t bytes) { return *class_of_[(bytes + 63) / 64]; }
  std::array<std::unique_ptr<Contender>, game_sizes.size()> classes_;
  std::array<Contender*, 4096 / 64 + 1> class_of_{};
};

/// 64 held, one at random given back and replaced by one of another size.
template <class Contender>
sample mixed_sizes(const effort& wanted) {
  pin_this_thread(wanted.first_cpu);
  Contender one({.bytes = 4096, .count = 1024});
  escape(one);
  const in_thread<Contender> scope(one);
  struct holding {
    taken<Contender> buffer{};
    std::size_t bytes = 64;
  };
  std::array<holding, 64> held{};
  for (holding& each : held) {
    each.buffer = one.take(each.bytes);
  }
  const auto& requests = game_requests();
  dice random;
  const double ns = time_turns(wanted, one_thread_ms, [&](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      holding& each = held[random.roll<6>()];
      one.give(std::move(each.buffer), each.bytes);
      each.bytes = requests[i % requests.size()];
      each.buffer = one.take(each.bytes);
      touch(address(each.buffer));
    }
  });
  for (holding& each : held) {
    one.give(std::move(each.buffer), each.bytes);
  }
  return {ns};
}

/// 32 taken, each touched, 32 given back: in one call each where the contender has such calls.
template <class Contender>
sample bulk_32(const effort& wanted) {
  pin_this_thread(wanted.first_cpu);
  Contender one(one_size);
  escape(one);
  const in_thread<Contender> scope(one);
  std::array<taken<Contender>, 32> batch{};
  const double ns = time_turns(wanted, one_thread_ms, [&](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      if constexpr (requires { one.take_bulk(std::span(batch)); }) {
        one.take_bulk(std::span(batch));
      } else {
        for (auto& buffer : batch) {
          buffer = one.take(request_bytes);
        }
      }
      for (auto& buffer : batch) {
        touch(address(buffer));
      }
      if constexpr (requires { one.give_bulk(std::span(batch)); }) {
        one.give_bulk(std::span(batch));
      } else {
        for (auto& buffer : batch) {
          one.give(std::move(buffer), request_bytes);
        }
      }
    }
  });
  return {ns / static_cast<double>(batch.size())};
}

/// Every buffer is held: what "no" costs.
template <class Contender>
sample refusal(const effort& wanted) {
  pin_this_thread(wanted.first_cpu);
  Contender one(one_size);
  escape(one);
  const in_thread<Contender> scope(one);
  std::vector<taken<Contender>> held;
  held.reserve(one_size.count);
  for (auto buffer = try_take(one, request_bytes); buffer; buffer = try_take(one, request_bytes)) {
    held.push_back(std::move(buffer));
  }
  const double ns = time_turns(wanted, one_thread_ms, [&one](std::size_t turns) {
    for (std::size_t i = 0; i < turns; ++i) {
      auto none = try_take(one, request_bytes);
      escape(none);
    }
  });
  for (auto& buffer : held) {
    one.give(std::move(buffer), request_bytes);
  }
  return {ns};
}

}  // namespace bench
