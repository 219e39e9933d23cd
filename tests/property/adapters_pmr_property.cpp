// SPDX-License-Identifier: MIT

// Any sequence of operations leaves containers on a pool as it leaves those of std::allocator, with
// a pool so small that it is often spent: then an operation throws std::bad_alloc and changes
// nothing. And resources with seeded bugs, which the same body finds.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../support/misuse_recorder.hpp"
#include "ringpool/adapters/pmr.hpp"

namespace ringpool::test {
namespace {

using words = std::vector<std::uint32_t>;
using pair_of_words = std::pair<const std::uint32_t, std::uint32_t>;

/// Knows each block that is out; gives back at its end what seeded bugs lost.
class recording_upstream final : public std::pmr::memory_resource {
 public:
  ~recording_upstream() override {
    for (const auto& [block, size] : out_) {
      std::pmr::new_delete_resource()->deallocate(block, size.first, size.second);
    }
  }
  [[nodiscard]] std::size_t out_count() const { return out_.size(); }
  [[nodiscard]] std::size_t wrong_count() const { return wrong_count_; }

 private:
  using shape = std::pair<std::size_t, std::size_t>;
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const block = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    out_.emplace(block, shape(bytes, alignment));
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    const auto found = out_.find(block);
    if (found == out_.end() || found->second != shape(bytes, alignment)) {
      ++wrong_count_;
      return;
    }
    out_.erase(found);
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
  std::map<void*, shape> out_;
  std::size_t wrong_count_ = 0;
};

/// The pool, and what lies behind the adapters.
struct small_world {
  recording_upstream upstream;
  multi_size_ring_pool pool{{{64, 32}, {192, 8}, {512, 4}},
                            {.elastic_capacity = 2, .upstream = nullptr}};
};

/// Makes a resource over a world's pool.
using resource_maker = std::unique_ptr<std::pmr::memory_resource> (*)(small_world& world);
template <class Resource>
std::unique_ptr<std::pmr::memory_resource> make(small_world& world) {
  return std::make_unique<Resource>(world.pool, &world.upstream);
}

/// A tested allocator, and raw blocks had from it.
struct by_resource {
  template <class T>
  using allocator = std::pmr::polymorphic_allocator<T>;
  by_resource(small_world& world, resource_maker make) : memory(make(world)) {}
  [[nodiscard]] allocator<std::byte> get() const { return memory.get(); }
  [[nodiscard]] void* take(std::size_t bytes, std::size_t alignment) const {
    return memory->allocate(bytes, alignment);
  }
  void give(void* block, std::size_t bytes, std::size_t alignment) const {
    memory->deallocate(block, bytes, alignment);
  }
  std::unique_ptr<std::pmr::memory_resource> memory;
};
struct by_allocator {
  template <class T>
  using allocator = pool_allocator<T>;
  by_allocator(small_world& world, resource_maker /*none*/) : one(world.pool) {}
  [[nodiscard]] allocator<std::byte> get() const { return one; }
  [[nodiscard]] void* take(std::size_t bytes, std::size_t alignment) {
    if (alignment > cache_line_bytes) {  // which it refuses to compile
      throw std::bad_alloc();
    }
    return one.allocate(bytes);
  }
  void give(void* block, std::size_t bytes, std::size_t /*alignment*/) {
    one.deallocate(static_cast<std::byte*>(block), bytes);
  }
  pool_allocator<std::byte> one;
};

/// One of each container.
template <template <class> class Allocator>
struct containers {
  template <class Source>
  explicit containers(const Source& from)
      : list(from), map(from), table(from), vector(from), text(from) {}
  std::list<std::uint32_t, Allocator<std::uint32_t>> list;
  std::map<std::uint32_t, std::uint32_t, std::less<>, Allocator<pair_of_words>> map;
  std::unordered_map<std::uint32_t, std::uint32_t, std::hash<std::uint32_t>, std::equal_to<>,
                     Allocator<pair_of_words>>
      table;
  std::vector<std::uint32_t, Allocator<std::uint32_t>> vector;
  std::basic_string<char, std::char_traits<char>, Allocator<char>> text;
};

template <class Maker>
class containers_against_std {
 public:
  /// The first thing that was wrong, or "".
  std::string run(const words& operations, resource_maker make = nullptr) {
    {
      Maker made(world_, make);
      containers<Maker::template allocator> tested(made.get());
      containers<std::allocator> model{std::allocator<std::byte>()};
      for (const std::uint32_t word : operations) {
        if (word % 8 < 2) {
          raw(made, word / 8);
        } else {
          both(tested, model, word % 8, word / 8);
        }
        look(tested, model);
        if (!problem_.empty()) {
          break;
        }
      }
      while (!blocks_.empty()) {
        give(made, 0);
      }
    }
    must(world_.upstream.out_count() == 0, "a block of upstream was lost");
    const pool_stats end = world_.pool.stats().total();
    must(end.alloc_count == end.free_count, "a buffer was lost, or given back twice");
    must(recorder_.count() + world_.upstream.wrong_count() == 0, "a wrong free");
    return problem_;
  }

 private:
  struct block {
    unsigned char* data;
    std::size_t bytes;
    std::size_t alignment;
    unsigned char mark;
  };

  void must(bool condition, const char* what) {
    if (!condition && problem_.empty()) {
      problem_ = what;
    }
  }

  /// The model follows where the tested operation did not throw.
  template <class Tested, class Model>
  void both(Tested& tested, Model& model, std::uint32_t what, std::uint32_t rest) {
    try {
      change(tested, what, rest);
    } catch (const std::bad_alloc&) {
      return;
    }
    change(model, what, rest);
  }

  /// Each with the strong guarantee: done, or as if it had not been tried.
  template <class Containers>
  static void change(Containers& in, std::uint32_t what, std::uint32_t rest) {
    const bool grows = rest % 4 != 0;
    const std::uint32_t key = rest / 4 % 12;
    switch (what) {
      case 2: return grows ? in.list.push_back(rest) : in.list.push_front(rest);
      case 3:
        if (!in.list.empty() && rest % 4 < 2) {  // so that it fills its class
          const auto place = static_cast<std::ptrdiff_t>(rest % in.list.size());
          in.list.erase(std::next(in.list.begin(), place));
        }
        return;
      case 4: return put_or_erase(in.map, grows, key, rest);
      case 5: return put_or_erase(in.table, grows, key, rest);
      case 6: return grows ? in.vector.push_back(rest) : in.vector.resize(in.vector.size() / 2);
      default:
        if (grows) {
          in.text.append(rest / 4 % 40, static_cast<char>('a' + rest % 26));
        } else {
          in.text.erase(in.text.size() / 2);
        }
    }
  }
  template <class Map>
  static void put_or_erase(Map& map, bool put, std::uint32_t key, std::uint32_t value) {
    if (put) {
      map.insert_or_assign(key, value);
    } else {
      map.erase(key);
    }
  }

  void raw(Maker& made, std::uint32_t rest) {
    if (rest % 2 == 0 && !blocks_.empty()) {
      return give(made, rest / 2 % blocks_.size());
    }
    const std::size_t bytes = rest / 2 % 700 + 1;
    const std::size_t alignment = std::size_t{1} << (rest / 2048 % 10);
    void* taken = nullptr;
    try {
      taken = made.take(bytes, alignment);
    } catch (const std::bad_alloc&) {
      return;
    }
    must(reinterpret_cast<std::uintptr_t>(taken) % alignment == 0, "less aligned than asked for");
    const block one{static_cast<unsigned char*>(taken), bytes, alignment, ++marks_};
    std::fill_n(one.data, one.bytes, one.mark);
    blocks_.push_back(one);
  }
  void give(Maker& made, std::size_t number) {
    std::swap(blocks_[number], blocks_.back());
    const block one = blocks_.back();
    blocks_.pop_back();
    made.give(one.data, one.bytes, one.alignment);
  }

  template <class Tested, class Model>
  void look(const Tested& tested, const Model& model) {
    const auto same = [](const auto& a, const auto& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end());
    };
    for (const block& one : blocks_) {
      must(std::all_of(one.data, one.data + one.bytes,
                       [&](unsigned char byte) { return byte == one.mark; }),
           "a block has other bytes");
    }
    if (problem_.empty()) {  // else pointers in nodes may be anything
      must(same(tested.list, model.list), "another list");
      must(same(tested.map, model.map), "another map");
      must(tested.table.size() == model.table.size() &&
               std::all_of(model.table.begin(), model.table.end(),
                           [&](const pair_of_words& one) {
                             const auto found = tested.table.find(one.first);
                             return found != tested.table.end() && found->second == one.second;
                           }),
           "another table");
      must(same(tested.vector, model.vector), "another vector");
      must(same(tested.text, model.text), "another text");
    }
  }

  misuse_recorder recorder_;
  small_world world_;
  std::vector<block> blocks_;
  unsigned char marks_ = 0;
  std::string problem_;
};

std::string run_resource(const words& operations, resource_maker make) {
  return containers_against_std<by_resource>().run(operations, make);
}
std::string run_right_resource(const words& operations) {
  return run_resource(operations, &make<pmr::pool_resource<>>);
}
std::string run_allocator(const words& operations) {
  return containers_against_std<by_allocator>().run(operations);
}

words fixed_words(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  words made(count);
  std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint32_t>(random()); });
  return made;
}

RC_GTEST_PROP(adapters_pmr_property, any_sequence_leaves_what_std_allocator_leaves, ()) {
  const auto word = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint32_t>());
  const words operations = *rc::gen::scale(3.0, rc::gen::container<words>(word));
  const std::string problems = run_right_resource(operations) + run_allocator(operations);
  if (!problems.empty()) {
    RC_FAIL(problems);
  }
}

TEST(adapters_pmr_property, long_sequences_from_fixed_seeds_leave_what_std_allocator_leaves) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(run_right_resource(fixed_words(seed, 1500)), "") << seed;
    EXPECT_EQ(run_allocator(fixed_words(seed, 1500)), "") << seed;
  }
}

// ---- Seeded bugs --------------------------------------------------------------------------------

class honest_resource : public std::pmr::memory_resource {
 public:
  honest_resource(multi_size_ring_pool& pool, std::pmr::memory_resource* upstream)
      : right_(pool, upstream), pool_(&pool), upstream_(upstream) {}

 protected:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return right_.allocate(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    right_.deallocate(block, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
  pmr::pool_resource<> right_;
  multi_size_ring_pool* pool_;
  std::pmr::memory_resource* upstream_;
};

struct forgets_the_alignment : honest_resource {
  using honest_resource::honest_resource;
  void* do_allocate(std::size_t bytes, std::size_t) override { return right_.allocate(bytes, 1); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t) override {
    right_.deallocate(block, bytes, 1);
  }
};

struct frees_by_size_alone : honest_resource {
  using honest_resource::honest_resource;
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    bytes <= pool_->max_size() ? pool_->deallocate(block)
                               : upstream_->deallocate(block, bytes, alignment);
  }
};

struct goes_upstream_too_late : honest_resource {
  using honest_resource::honest_resource;
  [[nodiscard]] std::size_t wrong(std::size_t bytes, std::size_t alignment) const {
    const bool nearly = bytes <= pool_->max_size() + cache_line_bytes;
    return nearly && alignment <= cache_line_bytes ? std::min(bytes, pool_->max_size()) : bytes;
  }
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return right_.allocate(wrong(bytes, alignment), alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    right_.deallocate(block, wrong(bytes, alignment), alignment);
  }
};

struct forgets_to_free_upstream : honest_resource {
  using honest_resource::honest_resource;
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    if (pool_->owns(block)) {
      right_.deallocate(block, bytes, alignment);
    }
  }
};

struct frees_all_upstream : honest_resource {
  using honest_resource::honest_resource;
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    upstream_->deallocate(block, bytes, alignment);
  }
};

struct throws_after_it_took : honest_resource {
  using honest_resource::honest_resource;
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const taken = right_.allocate(bytes, alignment);
    if (++calls_ % 64 == 0) {
      throw std::bad_alloc();
    }
    return taken;
  }

 private:
  int calls_ = 0;
};

template <class Twin>
class resource_with_a_seeded_bug : public testing::Test {};
using seeded_resources =
    testing::Types<forgets_the_alignment, frees_by_size_alone, goes_upstream_too_late,
                   forgets_to_free_upstream, frees_all_upstream, throws_after_it_took>;
TYPED_TEST_SUITE(resource_with_a_seeded_bug, seeded_resources);

TYPED_TEST(resource_with_a_seeded_bug, is_caught_from_every_seed) {
  for (std::uint32_t seed = 100; seed < 106; ++seed) {
    EXPECT_NE(run_resource(fixed_words(seed, 1500), &make<TypeParam>), "") << seed;
  }
}

}  // namespace
}  // namespace ringpool::test
