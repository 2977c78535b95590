// Tests of the keyed random numbers.
#include "viewfold/core/rng.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, ReproducesTheThreePublishedVectors) {
  // Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}),
            (Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(Rng, SameKeyGivesTheSameNumbers) {
  const RngKey key{.seed = 7, .stream = "view", .epoch = 3, .sample = 1041, .view = 1, .op = 2};
  Rng a(key);
  Rng b(key);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(a.next_u32(), b.next_u32());
  }
}

TEST(Rng, EveryPartOfTheKeyChangesTheNumbers) {
  const RngKey base{.seed = 7, .stream = "view", .epoch = 3, .sample = 1041, .view = 1, .op = 2};
  std::vector<RngKey> keys(7, base);
  keys[1].seed = 8;
  keys[2].stream = "order";
  keys[3].epoch = 4;
  keys[4].sample = 1042;
  keys[5].view = 2;
  keys[6].op = 3;
  std::vector<std::uint32_t> firsts;
  for (const auto& key : keys) {
    firsts.push_back(Rng(key).next_u32());
  }
  std::sort(firsts.begin(), firsts.end());
  EXPECT_EQ(std::adjacent_find(firsts.begin(), firsts.end()), firsts.end());
}

TEST(Rng, UniformHasTheMomentsOfTheUniformDistribution) {
  Rng rng({.seed = 1, .stream = "test"});
  constexpr int kDraws = 100000;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  // Five standard errors of the mean of U and of U^2.
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12.0 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3.0, 5 * std::sqrt(4.0 / 45.0 / kDraws));
}

TEST(Rng, NormalHasTheMomentsOfTheNormalDistribution) {
  Rng rng({.seed = 2, .stream = "test"});
  constexpr int kDraws = 100000;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
}

TEST(Rng, BelowIsUniformOverItsBound) {
  Rng rng({.seed = 3, .stream = "test"});
  std::array<int, 7> counts{};
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[rng.below(7)];
  }
  for (const int count : counts) {
    EXPECT_NEAR(count, kDraws / 7, 5 * std::sqrt(kDraws / 7.0));
  }
}

TEST(Rng, BelowZeroIsACallersBug) {
  Rng rng({.seed = 3, .stream = "test"});
  EXPECT_THROW((void)rng.below(0), ContractViolation);
}

TEST(Rng, PermutationHoldsEachNumberOnce) {
  auto order = Rng({.seed = 4, .stream = "order"}).permutation(1000);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i], i);
  }
}

}  // namespace
}  // namespace viewfold
