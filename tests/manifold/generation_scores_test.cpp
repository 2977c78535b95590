// Tests of scores of generated images.
#include "viewfold/manifold/generation_scores.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

TEST(FrechetDistance, OfGaussiansIsTheirClosedForm) {
  torch::manual_seed(1);
  const auto a = at::randn({40000, 3});
  EXPECT_NEAR(frechet_distance(a, a), 0.0, 1e-6);
  // N(0, 1) against N(2, 9) in one of the dimensions: 4 + (3 - 1)^2.
  auto b = at::randn({40000, 3});
  b.select(1, 0).mul_(3.0).add_(2.0);
  EXPECT_NEAR(frechet_distance(a, b), 8.0, 0.3);
  EXPECT_NEAR(frechet_distance(b, a), frechet_distance(a, b), 1e-6);
}

TEST(PrecisionRecall, TellQualityFromVariety) {
  torch::manual_seed(1);
  const auto real = at::cat({at::randn({200, 2}), at::randn({200, 2}) + 20.0});
  const auto one_mode = at::randn({200, 2}) * 0.5;
  const auto collapsed = precision_recall(real, one_mode);
  EXPECT_GT(collapsed.precision, 0.95);
  EXPECT_LT(collapsed.recall, 0.55);
  const auto noise = precision_recall(real, at::randn({400, 2}) * 1000.0);
  EXPECT_LT(noise.precision, 0.05);
  const auto same = precision_recall(real, real);
  EXPECT_EQ(same.precision, 1.0);
  EXPECT_EQ(same.recall, 1.0);
}

TEST(MeanSpread, IsTheMeanDistanceOfTwoMembers) {
  const auto group = at::tensor({1.0F, 0.0F, 0.0F, 2.0F, -3.0F, 0.0F}).view({1, 3, 2});
  EXPECT_NEAR(mean_spread(group), (2 * std::sqrt(2.0) + 2.0) / 3.0, 1e-6);
  EXPECT_NEAR(mean_spread(at::ones({4, 5, 3})), 0.0, 1e-3);
}

TEST(MeanCosine, ComparesRowsAtTheSamePlace) {
  const auto a = at::eye(2);
  const auto b = at::tensor({5.0F, 0.0F, 3.0F, 0.0F}).view({2, 2});
  EXPECT_NEAR(mean_cosine(a, b), 0.5, 1e-6);
}

}  // namespace
}  // namespace viewfold
