// SPDX-License-Identifier: MIT

// Any sequence of operations on chains that share buffers leaves the bytes that vectors have. And
// chains with seeded bugs, which the same body finds.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

#include "chain_operations.hpp"

namespace ringpool::test {
namespace {

words random_words(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  words made(count);
  std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint32_t>(random()); });
  return made;
}

RC_GTEST_PROP(buffer_chain_property, any_sequence_leaves_the_bytes_of_vectors, ()) {
  const auto word = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint32_t>());
  const words operations = *rc::gen::scale(2.0, rc::gen::container<words>(word));
  const std::string problem = chains_against_vectors<buffer_chain>().run(operations);
  if (!problem.empty()) {
    RC_FAIL(problem);
  }
}

TEST(buffer_chain_property,
     long_sequences_meet_refusals_and_blocks_and_leave_the_bytes_of_vectors) {
  std::size_t refusals = 0;
  std::size_t most_pieces = 0;
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    chains_against_vectors<buffer_chain> body;
    EXPECT_EQ(body.run(random_words(seed, 1000)), "") << seed;
    refusals += body.refusals();
    most_pieces = std::max(most_pieces, body.most_pieces());
  }
  EXPECT_GT(refusals, 100U);
  EXPECT_GT(most_pieces, 30U) << "no chain had two blocks";
}

template <class Twin>
class chain_with_a_seeded_bug : public testing::Test {};
using seeded_chain_bugs = testing::Types<trims_one_too_many, writes_into_shared_headroom,
                                         loses_a_byte_where_it_splits, starts_vectors_at_pieces>;
TYPED_TEST_SUITE(chain_with_a_seeded_bug, seeded_chain_bugs);

TYPED_TEST(chain_with_a_seeded_bug, is_caught_from_every_seed) {
  for (std::uint32_t seed = 100; seed < 105; ++seed) {
    EXPECT_NE(chains_against_vectors<TypeParam>().run(random_words(seed, 1000)), "") << seed;
  }
}

}  // namespace
}  // namespace ringpool::test
