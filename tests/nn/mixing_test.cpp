// Tests of mixtures of images: exact shares, and what is left alone.
#include "viewfold/nn/mixing.hpp"

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

TEST(Blend, IsEitherImageAtTheEndsAndLinearBetween) {
  const auto first = normal_tensor({3, 2, 4, 5}, 1);
  const auto second = normal_tensor({3, 2, 4, 5}, 2);
  EXPECT_TRUE(blend(first, second, 1.0).images.equal(first));
  EXPECT_TRUE(blend(first, second, 0.0).images.equal(second));
  const auto mixture = blend(first, second, 0.25);
  EXPECT_TRUE(mixture.images.allclose(first * 0.25 + second * 0.75, 0.0, 1e-12));
  EXPECT_EQ(mixture.share, 0.25);
}

TEST(PasteBox, HasTheShareOfThePixelsThatAreLeft) {
  const auto first = at::zeros({2, 3, 12, 20}, at::kDouble);
  const auto second = at::ones({2, 3, 12, 20}, at::kDouble);
  const auto before = first.clone();
  for (int seed = 0; seed < 200; ++seed) {
    torch::manual_seed(seed);
    const auto mixture = paste_box(first, second, 0.005 * seed);
    EXPECT_NEAR(mixture.share, 1.0 - mixture.images.mean().item<double>(), 1e-12) << seed;
    EXPECT_GE(mixture.share, 0.0);
    EXPECT_LE(mixture.share, 1.0);
    EXPECT_TRUE(mixture.images[0].equal(mixture.images[1]));  // one box for all
  }
  EXPECT_TRUE(first.equal(before));
  EXPECT_TRUE(paste_box(first, second, 1.0).images.equal(first));
}

// Boxes are cut at the rim: of uniform shares, 0.701 of the image is left on average at 32 pixels
// (a sum over all boxes and places), not a half.
TEST(PasteBox, LeavesMoreThanWasDrawn) {
  torch::manual_seed(1);
  const auto first = at::zeros({1, 1, 32, 32}, at::kDouble);
  const auto second = at::ones({1, 1, 32, 32}, at::kDouble);
  constexpr int kDraws = 6000;  // standard error 0.0024
  double sum = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    sum += paste_box(first, second, draw_share(1.0)).share;
  }
  EXPECT_NEAR(sum / kDraws, 0.701, 0.01);
}

TEST(DrawShare, HasTheMomentsOfBeta) {
  torch::manual_seed(2);
  constexpr int kDraws = 4000;
  for (const double beta : {0.5, 1.0, 4.0}) {
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < kDraws; ++i) {
      const double share = draw_share(beta);
      EXPECT_GE(share, 0.0);
      EXPECT_LE(share, 1.0);
      sum += share;
      squares += share * share;
    }
    const double mean = sum / kDraws;
    EXPECT_NEAR(mean, 0.5, 0.03) << beta;
    EXPECT_NEAR(squares / kDraws - mean * mean, 1.0 / (4.0 * (2.0 * beta + 1.0)), 0.01) << beta;
  }
}

TEST(Reversed, PairsEveryImageWithItsMirrorInTheBatch) {
  const auto images = normal_tensor({5, 1, 2, 2}, 3);
  const auto reversed = reversed_images(images, {});
  EXPECT_TRUE(reversed.equal(images.flip(0)));
  // The one in the middle of an odd number is its own partner.
  EXPECT_TRUE(blend(images, reversed, 0.3).images[2].allclose(images[2], 0.0, 1e-12));
  const auto rows = normal_tensor({4, 3}, 4).requires_grad_();
  reversed_rows(rows, {})[0].sum().backward();
  EXPECT_TRUE(rows.grad()[3].equal(at::ones({3}, at::kDouble)));
  EXPECT_EQ(rows.grad().sum().item<double>(), 3.0);
}

TEST(Mixtures, RefuseWhatDoesNotFit) {
  const auto images = normal_tensor({2, 1, 4, 4}, 1);
  EXPECT_THROW((void)blend(images, normal_tensor({2, 1, 4, 5}, 1), 0.5), ContractViolation);
  EXPECT_THROW((void)blend(images, images, 1.5), ContractViolation);
  EXPECT_THROW((void)paste_box(images, images, -0.1), ContractViolation);
  EXPECT_THROW((void)draw_share(0.0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
