// SPDX-License-Identifier: MIT

// Any sequence of copies, slices and drops leaves what a list of handles says: each shows its own
// bytes, counts are the numbers of handles, and a buffer is out while it has one. And handles with
// seeded bugs, which the same body finds.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../support/misuse_recorder.hpp"
#include "ringpool/multi_size_ring_pool.hpp"

namespace ringpool::test {
namespace {

using words = std::vector<std::uint32_t>;

/// Shared is shared_buffer, or one with a seeded bug.
template <class Shared>
class handles_against_a_list {
 public:
  /// The first thing that was wrong, or "".
  std::string run(const words& operations) {
    for (const std::uint32_t word : operations) {
      do_one(word % 8, word / 8);
      look();
      if (!problem_.empty()) {
        break;
      }
    }
    list_.clear();
    for (const pool_stats& one : pool_.stats().classes) {
      must(one.alloc_count == one.free_count, "a buffer was lost, or given back twice");
    }
    must(pool_.stats().upstream_in_use_bytes == 0, "an upstream block was lost");
    must(recorder_.count() == rejected_, "another number of misuses than there were");
    return problem_;
  }

 private:
  struct entry {
    Shared shown;
    std::uint32_t buffer;  ///< which, of all that were ever taken; 0: of size 0
    std::size_t offset;
    std::size_t size;
    std::size_t whole;
  };

  void must(bool condition, const char* what) {
    if (!condition && problem_.empty()) {
      problem_ = what;
    }
  }
  static std::byte byte_at(std::uint32_t buffer, std::size_t place) {
    return static_cast<std::byte>(buffer * 31 + place * 7);
  }

  void do_one(std::uint32_t what, std::uint32_t rest) {
    if (what < 2 || list_.empty()) {
      return take(rest % 100);
    }
    entry& one = list_[rest % list_.size()];
    switch (what) {
      case 2: return list_.push_back(entry(one));
      case 3:
      case 4: return slice(one, rest / 16 % 128, rest / 2048 % 128);
      case 5: return own(one);
      case 6: one = entry(list_[rest / 64 % list_.size()]); return;
      default: std::swap(one, list_.back()); return list_.pop_back();
    }
  }

  void share(entry& one, buffer alone) {
    one.buffer = alone.size() == 0 ? 0 : ++taken_;
    one.offset = 0;
    one.size = one.whole = alone.size();
    for (std::size_t i = 0; i < one.size; ++i) {
      alone.data()[i] = byte_at(one.buffer, i);
    }
    one.shown = Shared(std::move(alone));
  }
  void take(std::size_t size) {
    if (buffer one = pool_.alloc(size, std::nothrow)) {
      share(list_.emplace_back(), std::move(one));
    }
  }
  void slice(const entry& of, std::size_t offset, std::size_t size) {
    entry part = of;
    part.shown = Shared(of.shown.slice(offset, size));
    part.offset += offset;
    part.size = size;
    if (offset + size <= of.size) {
      list_.push_back(std::move(part));
    } else {
      ++rejected_;
      must(!part.shown, "a slice beyond its buffer");
    }
  }
  void own(entry& one) {
    const bool alone = one.buffer == 0 || handles_on(one) == 1;
    buffer mine = std::move(one.shown).unique();
    must(static_cast<bool>(mine) == alone, "unique does not know whether others are about");
    if (mine) {
      must(mine.size() == one.whole, "the buffer changed its size on the way");
      share(one, std::move(mine));
    }
  }

  [[nodiscard]] std::size_t handles_on(const entry& one) const {
    return static_cast<std::size_t>(
        std::count_if(list_.begin(), list_.end(),
                      [&](const entry& other) { return other.buffer == one.buffer; }));
  }

  void look() {
    std::set<std::uint32_t> out;
    for (const entry& one : list_) {
      must(static_cast<bool>(one.shown), "an empty handle");
      must(one.shown.size() == one.size, "a handle of another size");
      must(one.shown.use_count() == (one.buffer == 0 ? 1 : handles_on(one)), "another count");
      for (std::size_t i = 0; i < std::min(one.size, one.shown.size()); ++i) {
        must(one.shown.data()[i] == byte_at(one.buffer, one.offset + i), "other bytes");
      }
      out.insert(one.buffer);
    }
    out.erase(0);
    std::uint64_t held = 0;
    for (const pool_stats& one : pool_.stats().classes) {
      held += one.alloc_count - one.free_count;
    }
    must(held == out.size(), "a buffer went back too early, or too late");
  }

  misuse_recorder recorder_;
  multi_size_ring_pool pool_{{{32, 4}, {64, 2}},
                             {.elastic_capacity = 2, .upstream_budget_bytes = 300}};
  std::vector<entry> list_;
  std::uint32_t taken_ = 0;
  std::size_t rejected_ = 0;
  std::string problem_;
};

words fixed_words(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  words made(count);
  std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint32_t>(random()); });
  return made;
}

RC_GTEST_PROP(shared_buffer_property, any_sequence_leaves_what_the_list_says, ()) {
  const auto word = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint32_t>());
  const words operations = *rc::gen::scale(3.0, rc::gen::container<words>(word));
  const std::string problem = handles_against_a_list<shared_buffer>().run(operations);
  if (!problem.empty()) {
    RC_FAIL(problem);
  }
}

TEST(shared_buffer_property, long_sequences_from_fixed_seeds_leave_what_the_list_says) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    EXPECT_EQ(handles_against_a_list<shared_buffer>().run(fixed_words(seed, 1000)), "") << seed;
  }
}

// ---- Seeded bugs --------------------------------------------------------------------------------

struct slices_from_the_front : shared_buffer {
  using shared_buffer::shared_buffer;
  explicit slices_from_the_front(shared_buffer one) : shared_buffer(std::move(one)) {}
  [[nodiscard]] shared_buffer slice(std::size_t offset, std::size_t size) const {
    return shared_buffer::slice(offset, size) ? shared_buffer::slice(0, size) : shared_buffer();
  }
};

struct loses_itself_where_two_share : shared_buffer {
  using shared_buffer::shared_buffer;
  explicit loses_itself_where_two_share(shared_buffer one) : shared_buffer(std::move(one)) {}
  [[nodiscard]] buffer unique() && {
    shared_buffer& self = *this;
    if (self.use_count() == 2) {
      self.reset();
    }
    return std::move(self).unique();
  }
};

struct keeps_what_it_copied : shared_buffer {
  using shared_buffer::shared_buffer;
  explicit keeps_what_it_copied(shared_buffer one) : shared_buffer(std::move(one)) {}
  keeps_what_it_copied(keeps_what_it_copied&&) = default;
  keeps_what_it_copied& operator=(keeps_what_it_copied&&) = default;
  keeps_what_it_copied(const keeps_what_it_copied& other) : shared_buffer(other), kept_(other) {}
  keeps_what_it_copied& operator=(const keeps_what_it_copied&) = default;
  ~keeps_what_it_copied() = default;

 private:
  shared_buffer kept_;
};

template <class Twin>
class handle_with_a_seeded_bug : public testing::Test {};
using seeded_bugs =
    testing::Types<slices_from_the_front, loses_itself_where_two_share, keeps_what_it_copied>;
TYPED_TEST_SUITE(handle_with_a_seeded_bug, seeded_bugs);

TYPED_TEST(handle_with_a_seeded_bug, is_caught_from_every_seed) {
  for (std::uint32_t seed = 100; seed < 110; ++seed) {
    EXPECT_NE(handles_against_a_list<TypeParam>().run(fixed_words(seed, 1000)), "") << seed;
  }
}

}  // namespace
}  // namespace ringpool::test
