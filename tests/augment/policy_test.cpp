// Tests of RandAugment and TrivialAugment: what they choose from, and how strongly.
#include "viewfold/augment/detail/policy.hpp"

#include <cmath>
#include <map>

#include "augment/operations.hpp"
#include <gtest/gtest.h>

namespace viewfold {
namespace {

using testing::make_operation;
using testing::noise;

constexpr PolicySpace kSpace{.translate_share = 0.5};

Image changed(std::uint32_t op, double magnitude, const Image& image) {
  Canvas canvas;
  canvas.start(image);
  apply_policy(op, magnitude, true, canvas);
  return canvas.image();
}

TEST(Policy, WithoutStrengthOnlyTheOperationsWithoutOneActAtAll) {
  const Image image = noise({20, 24}, 3, PixelType::kUint8);
  for (std::uint32_t op = 0; op < kPolicyOps; ++op) {
    const Image after = changed(op, policy_magnitude(op, 0.0, kSpace, {20, 24}), image);
    // Solarize inverts white itself; autocontrast and equalize have no strength.
    if (op < 11) {
      EXPECT_EQ(after, image) << op;
    }
  }
}

TEST(Policy, MagnitudesAreThoseOfTheirRanges) {
  const ImageSize size{20, 24};
  EXPECT_EQ(policy_magnitude(0, 1.0, kSpace, size), 0.0);
  EXPECT_EQ(policy_magnitude(1, 1.0, kSpace, size), 0.3);
  EXPECT_EQ(policy_magnitude(3, 1.0, kSpace, size), 12.0);  // half of the width
  EXPECT_EQ(policy_magnitude(4, 0.5, kSpace, size), 5.0);   // and of the height
  EXPECT_EQ(policy_magnitude(5, 1.0, kSpace, size), 30.0);
  EXPECT_EQ(policy_magnitude(10, 1.0, kSpace, size), 4.0);  // bits that are kept
  EXPECT_EQ(policy_magnitude(10, 0.0, kSpace, size), 8.0);
  EXPECT_EQ(policy_magnitude(11, 1.0, kSpace, size), 0.0);  // threshold
  PolicySpace wide = kSpace;
  wide.translate_pixels = 32.0;
  EXPECT_EQ(policy_magnitude(3, 1.0, wide, size), 32.0);
}

TEST(Policy, ATranslationMovesByWholePixels) {
  const Image image = noise({6, 8}, 1, PixelType::kUint8);
  const Image moved = changed(3, 2.9, image);
  for (std::size_t y = 0; y < 6; ++y) {
    for (std::size_t x = 2; x < 8; ++x) {
      EXPECT_EQ(moved.values<std::uint8_t>()[8 * y + x],
                image.values<std::uint8_t>()[8 * y + x - 2]);
    }
  }
}

TEST(Policy, AShearLeavesTheUpperLeftCornerWhereItIs) {
  EXPECT_NEAR(policy_move(1, 0.3, {0.0, 0.0}, {20, 24}).x, 0.0, 1e-9);
  EXPECT_NEAR(std::abs(policy_move(1, 0.3, {0.0, 10.0}, {20, 24}).x), 3.0, 1e-9);
  EXPECT_NEAR(policy_move(2, 0.3, {0.0, 0.0}, {20, 24}).y, 0.0, 1e-9);
  EXPECT_NEAR(std::abs(policy_move(2, 0.3, {10.0, 0.0}, {20, 24}).y), 3.0, 1e-9);
}

// A mask whose classes are the grey levels of the picture must stay so under every operation that
// moves pixels.
TEST(Policy, MasksMoveWithThePicture) {
  const Image image = noise({21, 26}, 1, PixelType::kUint8);
  for (std::uint32_t op = 0; op < kPolicyOps; ++op) {
    const double magnitude = policy_magnitude(op, 0.6, kSpace, {21, 26});
    Canvas mask;
    mask.start(image);
    apply_policy_to_mask(op, magnitude, mask);
    const bool moves = op >= 1 && op <= 5;
    EXPECT_EQ(mask.image() == image, !moves) << op;
    if (moves) {
      EXPECT_EQ(mask.image(), changed(op, magnitude, image)) << op;
    }
  }
}

TEST(RandAugment, ChoosesEveryOperationEquallyOften) {
  const auto op = make_operation("rand_augment", {{"ops", "3"}});
  std::map<float, int> chosen;
  constexpr int kDraws = 14000;
  for (std::uint32_t sample = 0; sample < kDraws; ++sample) {
    Rng rng({.sample = sample});
    const auto record = op->sample(rng, {32, 32});
    for (const std::size_t i : {0U, 2U, 4U}) {
      ++chosen[record.values[i]];
    }
    EXPECT_EQ(record.values[6], 0.0F);  // a fourth one is not asked for
  }
  EXPECT_EQ(chosen.size(), kPolicyOps);
  const double expected = 3.0 * kDraws / kPolicyOps;
  for (const auto& [name, count] : chosen) {
    EXPECT_NEAR(count, expected, 5.0 * std::sqrt(expected)) << name;
  }
}

TEST(RandAugment, GivesAllOperationsOneStrength) {
  const auto op = make_operation("rand_augment", {{"magnitude", "15"}});
  int negative = 0;
  int rotations = 0;
  for (std::uint32_t sample = 0; sample < 4000; ++sample) {
    Rng rng({.sample = sample});
    const auto record = op->sample(rng, {32, 32});
    if (record.values[0] == 5.0F) {
      ++rotations;
      EXPECT_NEAR(std::abs(record.values[1]), 15.0F, 1e-5F);
      negative += record.values[1] < 0.0F ? 1 : 0;
    }
  }
  EXPECT_NEAR(negative, rotations / 2.0, 2.5 * std::sqrt(rotations));
}

TEST(TrivialAugment, DrawsStrengthsOverTheWholeRange) {
  const auto op = make_operation("trivial_augment");
  std::map<float, int> degrees;
  int count = 0;
  for (std::uint32_t sample = 0; sample < 30000; ++sample) {
    Rng rng({.sample = sample});
    const auto record = op->sample(rng, {32, 32});
    if (record.values[0] == 5.0F) {
      ++degrees[std::abs(record.values[1])];
      ++count;
    }
  }
  EXPECT_EQ(degrees.size(), 31U);
  EXPECT_EQ(degrees.rbegin()->first, 135.0F);
  EXPECT_EQ(degrees.begin()->first, 0.0F);
  for (const auto& [angle, times] : degrees) {
    EXPECT_NEAR(times, count / 31.0, 5.0 * std::sqrt(count / 31.0)) << angle;
  }
}

}  // namespace
}  // namespace viewfold
