// Tests of uniformity as a loss against closed forms.
#include "viewfold/nn/losses/uniformity.hpp"

#include <cmath>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

TEST(UniformityLoss, OfEqualPointsIsZero) {
  EXPECT_NEAR(uniformity_loss(at::ones({5, 3}, at::kDouble), 2.0).item<double>(), 0.0, 1e-12);
}

TEST(UniformityLoss, OfTwoOppositePointsIsMinusFourT) {
  const auto z = at::tensor({1.0, 2.0, -3.0, -6.0}, at::kDouble).reshape({2, 2});
  const auto opposite = at::stack({z[0], -z[0]});
  EXPECT_NEAR(uniformity_loss(opposite, 2.0).item<double>(), -8.0, 1e-12);
  EXPECT_NEAR(uniformity_loss(opposite, 0.5).item<double>(), -2.0, 1e-12);
}

TEST(UniformityLoss, IsTheLogarithmOfTheMeanPotentialOfAllPairs) {
  const auto z = normal_tensor({6, 4}, 1, at::kDouble);
  const auto u = z / z.norm(2, {1}, true);
  double sum = 0.0;
  for (std::int64_t i = 0; i < 6; ++i) {
    for (std::int64_t j = 0; j < 6; ++j) {
      sum += i == j ? 0.0 : std::exp(-2.0 * (u[i] - u[j]).square().sum().item<double>());
    }
  }
  EXPECT_NEAR(uniformity_loss(z, 2.0).item<double>(), std::log(sum / 30.0), 1e-10);
}

TEST(UniformityLoss, DrivesPointsApart) {
  auto z = normal_tensor({8, 2}, 2, at::kDouble).mul(0.1).add(1.0).requires_grad_();
  const double before = uniformity_loss(z, 2.0).item<double>();
  uniformity_loss(z, 2.0).backward();
  EXPECT_LT(uniformity_loss(z.detach() - z.grad(), 2.0).item<double>(), before);
}

TEST(UniformityLoss, NeedsTwoRows) {
  EXPECT_THROW((void)uniformity_loss(at::ones({1, 3}), 2.0), ContractViolation);
  EXPECT_THROW((void)uniformity_loss(at::ones({3}), 2.0), ContractViolation);
  EXPECT_THROW((void)uniformity_loss(at::ones({2, 3}), 0.0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
