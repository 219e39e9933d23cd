// SPDX-License-Identifier: MIT
//
// Handles that share a buffer, their own source on explored memory, in all executions within small
// bounds: the buffer goes back once, when no handle is left, and whoever has it next does not race
// with those who read it. And the same programs on seeded bugs, each of which must be found.

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bounded.hpp"
#include "programs.hpp"
#include "ringpool/buffer.hpp"
#include "ringpool/detail/reference_count.hpp"
#include "ringpool/shared_buffer.hpp"

namespace ringpool::model {
namespace {

/// One buffer. Whoever gets it after its release writes to it, here at once.
template <class Count>
class one_buffer {
 public:
  one_buffer() : count_(1) {}

  void release(slot_index /*slot*/, std::byte* data, std::size_t bytes) noexcept {
    require(data == bytes_.data() && bytes == bytes_.size(), "another buffer than was given out");
    require(++releases_ == 1, "given back twice");
    payload_.write(1);
  }
  [[nodiscard]] Count* references_of(slot_index /*slot*/,
                                     const std::byte* /*data*/) const noexcept {
    return count_.get();
  }
  void reject_slice(const std::byte* /*data*/) noexcept { require(false, "a slice was rejected"); }
  void reject_copy(const std::byte* /*data*/) noexcept { require(false, "a copy was rejected"); }

  [[nodiscard]] std::byte* data() { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] payload& bytes() { return payload_; }
  [[nodiscard]] int releases() const { return releases_; }

 private:
  zeroed<Count> count_;
  std::array<std::byte, 8> bytes_{};
  payload payload_;
  int releases_ = 0;
};

/// A handle for each thread at first. 'r' reads, 'c' copies, 's' slices, 'd' drops the oldest; 'u'
/// asks for the buffer as its own and, if it gets it, writes to it, shares it again and goes on.
template <class Count>
class sharing_program final : public program {
 public:
  explicit sharing_program(std::vector<std::string> scripts)
      : scripts_(std::move(scripts)), handles_(max_threads * max_handles) {
    home_.bytes().write(7);
    handle first = basic_buffer<home>(home_, home_.data(), home_.size(), slot_index{0});
    for (unsigned i = 1; i < scripts_.size(); ++i) {
      keep(i, first);
    }
    keep(0, std::move(first));
  }

  [[nodiscard]] unsigned thread_count() const override {
    return static_cast<unsigned>(scripts_.size());
  }

  void run_thread(unsigned number) override {
    for (const char command : scripts_[number]) {
      if (held_[number] == 0) {
        return;
      }
      handle& newest = of(number, held_[number] - 1);
      switch (command) {
        case 'r': read(); break;
        case 'c': keep(number, newest); break;
        case 's': keep(number, newest.slice(1, newest.size() - 1)); break;
        case 'd': drop(number); break;
        case 'u': own(newest); break;
        default: require(false, "a command that there is not");
      }
    }
  }

  void check_at_end(unsigned parked) override {
    std::size_t left = 0;
    for (unsigned i = 0; i < thread_count(); ++i) {
      left += held_[i];
    }
    require(left == 0 || parked != max_threads || home_.releases() == 0, "given back while held");
    require(left != 0 || parked != max_threads || home_.releases() == 1, "never given back");
  }

 private:
  using home = one_buffer<Count>;
  using handle = basic_shared_buffer<home>;
  static constexpr std::size_t max_handles = 4;

  [[nodiscard]] handle& of(unsigned thread, std::size_t number) {
    return handles_.get()[thread * max_handles + number];
  }
  void keep(unsigned thread, handle one) {
    require(static_cast<bool>(one), "an empty handle");
    of(thread, held_[thread]++) = std::move(one);
  }
  void read() { require(home_.bytes().read() == 7, "the bytes changed under a handle"); }
  void drop(unsigned number) {
    handle oldest;
    swap(oldest, of(number, 0));
    for (std::size_t i = 1; i < held_[number]; ++i) {
      swap(of(number, i - 1), of(number, i));
    }
    --held_[number];
    oldest.reset();
  }
  void own(handle& one) {
    if (basic_buffer<home> mine = std::move(one).unique()) {
      home_.bytes().write(0);
      home_.bytes().write(7);
      one = std::move(mine);
    } else {
      require(static_cast<bool>(one), "unique took the handle and gave nothing");
    }
  }

  std::vector<std::string> scripts_;
  home home_;
  zeroed<handle> handles_;  // never destroyed: those of a thread that stopped for ever stay
  std::array<std::size_t, max_threads> held_{};
};

using model_count = detail::basic_reference_count<model::atomics>;

template <class Count = model_count>
[[nodiscard]] program_factory sharing(const std::vector<std::string>& scripts) {
  return [scripts] { return std::make_unique<sharing_program<Count>>(scripts); };
}

TEST(reference_count_model, two_threads_drop_the_last_two_handles) {
  expect_sound(sharing({"rd", "rd"}), within(4, 3));
}

TEST(reference_count_model, copies_and_slices_meet_drops) {
  expect_sound(sharing({"crdrd", "srdd"}), within(4, 3));
  expect_sound(sharing({"crdd", "srdd", "rd"}), within(3, 2));
}

TEST(reference_count_model, who_is_the_only_owner_may_write) {
  expect_sound(sharing({"rurd", "rd"}), within(4, 3));
  expect_sound(sharing({"ucrdud", "rud"}), within(4, 3));
  expect_sound(sharing({"urd", "urd", "rd"}), within(3, 2));
}

TEST(reference_count_model, a_thread_that_stops_for_ever_anywhere_blocks_nobody) {
  expect_sound(sharing({"crdrd", "sudrd"}), within(3, 2, true));
}

// ---- Seeded bugs --------------------------------------------------------------------------------

/// Each order of the count, weakened to relaxed at its source line.
TEST(model_twins, every_weakened_order_of_the_count_is_a_data_race) {
  const std::vector<program_factory> programs = {sharing({"rd", "rd"}), sharing({"rud", "rd"})};
  std::vector<weakened_site> sites;
  for (const auto& [file, line] : explore(programs.back(), within(4, 2)).ordered_sites) {
    sites.push_back({file, line});
  }
  EXPECT_EQ(sites.size(), 3U) << "two loads and a subtraction";
  for (const weakened_site& site : sites) {
    std::string found;
    for (const program_factory& make : programs) {
      const outcome seen = explore(make, within(4, 2), site);
      found += seen.violation;
      if (!seen.violation.empty()) {
        EXPECT_EQ(replay(make, within(4, 2), seen.choices, site).violation, seen.violation);
      }
    }
    EXPECT_NE(found.find("race"), std::string::npos) << site.file << ":" << site.line;
  }
}

/// A count of which one call is not what it should be.
enum class bug : std::uint8_t { torn_add, torn_drop, looks_after_it, never_last };

template <bug Seeded>
class broken_count {
 public:
  void start() noexcept { handles_.store(1, detail::relaxed); }
  bool try_add() noexcept {
    if constexpr (Seeded == bug::torn_add) {
      handles_.store(handles_.load(detail::acquire) + 1, detail::release);
    } else {
      handles_.fetch_add(1, detail::relaxed);
    }
    return true;
  }
  bool drop() noexcept {
    if constexpr (Seeded == bug::torn_drop) {
      const std::uint32_t seen = handles_.load(detail::acquire);
      handles_.store(seen - 1, detail::release);
      return seen == 1;
    } else if constexpr (Seeded == bug::looks_after_it) {
      handles_.fetch_sub(1, detail::acq_rel);
      return handles_.load(detail::acquire) == 0;
    } else {
      return handles_.fetch_sub(1, detail::acq_rel) == (Seeded == bug::never_last ? 0U : 1U);
    }
  }
  [[nodiscard]] bool is_only() const noexcept { return handles_.load(detail::acquire) == 1; }
  [[nodiscard]] std::uint32_t handles() const noexcept { return handles_.load(detail::relaxed); }

 private:
  model::atomic<std::uint32_t> handles_;
};

template <bug Seeded>
[[nodiscard]] std::string violation_of() {
  return explore(sharing<broken_count<Seeded>>({"crdrd", "crdrd"}), within(4, 2)).violation;
}

TEST(model_twins, broken_counts_of_handles_are_found) {
  EXPECT_NE(violation_of<bug::torn_add>(), "");
  EXPECT_NE(violation_of<bug::torn_drop>(), "");
  EXPECT_EQ(violation_of<bug::looks_after_it>(), "given back twice");
  EXPECT_EQ(violation_of<bug::never_last>(), "never given back");
}

}  // namespace
}  // namespace ringpool::model
