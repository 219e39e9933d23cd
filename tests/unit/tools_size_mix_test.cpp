// SPDX-License-Identifier: MIT
#include "size_mix.hpp"

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "load_frame.hpp"

namespace ringpool::tools {
namespace {

constexpr std::uint32_t smallest = 24;
constexpr std::uint32_t largest = 16384;

size_mix parse(const char* text) { return size_mix::parse(text, smallest, largest); }

std::map<std::uint32_t, double> shares_of(const size_mix& mix, std::uint64_t picks = 200'000) {
  std::map<std::uint32_t, double> shares;
  for (std::uint64_t i = 0; i < picks; ++i) {
    shares[mix.pick(mix_bits(i * 0x9e3779b97f4a7c15U))] += 1.0 / static_cast<double>(picks);
  }
  return shares;
}

std::string mix_error(const char* text) {
  try {
    parse(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(size_mix, game_has_its_six_sizes_in_their_shares) {
  const size_mix mix = parse("game");
  const std::map<std::uint32_t, double> expected{{64, .70},  {128, .15},  {256, .08},
                                                 {512, .04}, {1024, .02}, {4096, .01}};
  const auto shares = shares_of(mix);
  ASSERT_EQ(shares.size(), expected.size());
  for (const auto& [size, share] : expected) {
    EXPECT_NEAR(shares.at(size), share, 0.004) << size;
  }
  EXPECT_EQ(mix.min_size(), 64U);
  EXPECT_EQ(mix.max_size(), 4096U);
  EXPECT_NEAR(mix.mean_size(), 166.4, 0.001);
}

TEST(size_mix, imix_is_seven_to_four_to_one) {
  const size_mix mix = parse("imix");
  const auto shares = shares_of(mix);
  ASSERT_EQ(shares.size(), 3U);
  EXPECT_NEAR(shares.at(40), 7.0 / 12, 0.004);
  EXPECT_NEAR(shares.at(576), 4.0 / 12, 0.004);
  EXPECT_NEAR(shares.at(1500), 1.0 / 12, 0.004);
  EXPECT_NEAR(mix.mean_size(), (7 * 40.0 + 4 * 576.0 + 1500.0) / 12, 0.001);
}

TEST(size_mix, uniform_reaches_every_size_alike_and_both_ends) {
  const auto shares = shares_of(parse("uniform:100-109"));
  ASSERT_EQ(shares.size(), 10U);
  for (const auto& [size, share] : shares) {
    EXPECT_NEAR(share, 0.1, 0.004) << size;
  }
  EXPECT_EQ(parse("uniform:100-109").pick(0), 100U);
  EXPECT_EQ(parse("uniform:100-109").pick(UINT64_MAX), 109U);
}

TEST(size_mix, fixed_is_always_the_same) {
  const size_mix mix = parse("fixed:777");
  EXPECT_EQ(shares_of(mix, 1000).size(), 1U);
  EXPECT_EQ(mix.pick(12345), 777U);
  EXPECT_EQ(mix.mean_size(), 777.0);
}

TEST(size_mix, takes_the_ends_of_the_allowed_range) {
  EXPECT_EQ(parse("fixed:24").min_size(), smallest);
  EXPECT_EQ(parse("uniform:24-16384").max_size(), largest);
}

TEST(size_mix, other_texts_are_refused_with_what_is_accepted) {
  for (const char* const text :
       {"", "Game", "fixed", "fixed:", "fixed:x", "fixed:12x", "fixed:-5", "fixed:99999999999",
        "uniform:5", "uniform:200-100", "uniform:-", "uniform:24-", "uniform:a-b"}) {
    const std::string message = mix_error(text);
    EXPECT_NE(message.find('\'' + std::string(text) + '\''), std::string::npos) << message;
    EXPECT_NE(message.find("accepted: game, imix, uniform:A-B or fixed:N"), std::string::npos)
        << message;
  }
}

TEST(size_mix, sizes_out_of_range_are_refused_with_the_range) {
  for (const char* const text :
       {"fixed:23", "fixed:0", "fixed:16385", "uniform:10-100", "uniform:100-20000"}) {
    EXPECT_NE(mix_error(text).find("accepted: 24 to 16384 bytes"), std::string::npos) << text;
  }
  EXPECT_THROW(size_mix::parse("game", smallest, 4095), std::invalid_argument);
}

}  // namespace
}  // namespace ringpool::tools
