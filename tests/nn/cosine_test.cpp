// Tests of the losses of SimSiam and BYOL.
#include "viewfold/nn/losses/cosine.hpp"

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

double simsiam(const at::Tensor& p, const at::Tensor& z) {
  return negative_cosine(p, z).item<double>();
}

double byol(const at::Tensor& p, const at::Tensor& z) {
  return byol_regression(p, z).item<double>();
}

TEST(NegativeCosine, IsMinusOneZeroAndOneAtItsCorners) {
  const auto e = at::eye(2, at::kDouble);
  EXPECT_NEAR(simsiam(e, 3.0 * e), -1.0, 1e-15);
  EXPECT_NEAR(simsiam(e, e.flip(0)), 0.0, 1e-15);
  EXPECT_NEAR(simsiam(e, -e), 1.0, 1e-15);
}

TEST(NegativeCosine, EqualsLoopsInSingleAndDoublePrecision) {
  for (const std::int64_t n : {2, 3, 8, 33}) {
    const auto p = normal_tensor({n, 6}, 1);
    const auto z = normal_tensor({n, 6}, 2);
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum -= cosine_of_rows(p, i, z, i);
    }
    const double expected = sum / static_cast<double>(n);
    EXPECT_NEAR(simsiam(p, z), expected, 1e-14);
    // Each cosine is at most 1 and carries a few roundings; their mean is no larger.
    EXPECT_NEAR(simsiam(p.to(at::kFloat), z.to(at::kFloat)), expected, 8.0 * kEps32);
  }
}

TEST(NegativeCosine, DoesNotDependOnLengths) {
  const auto p = normal_tensor({5, 4}, 3);
  const auto z = normal_tensor({5, 4}, 4);
  EXPECT_NEAR(simsiam(100.0 * p, 1e-4 * z), simsiam(p, z), 1e-14);
}

TEST(NegativeCosine, HasTheGradientOfItsDifferencesAndNoneForTheTarget) {
  const auto z = normal_tensor({3, 4}, 5).requires_grad_(true);
  const auto loss = [&z](const at::Tensor& p) { return negative_cosine(p, z); };
  expect_gradient_by_differences(loss, normal_tensor({3, 4}, 6));
  EXPECT_FALSE(z.grad().defined());
}

TEST(NegativeCosine, WidensHalfPrecisionUnderAutocast) {
  const auto p = normal_tensor({8, 16}, 7, at::kFloat).to(at::kBFloat16);
  const auto z = normal_tensor({8, 16}, 8, at::kFloat).to(at::kBFloat16);
  const double expected = simsiam(p.to(at::kFloat), z.to(at::kFloat));
  const Autocast autocast;
  EXPECT_EQ(negative_cosine(p, z).scalar_type(), at::kFloat);
  EXPECT_EQ(simsiam(p, z), expected);
}

TEST(NegativeCosine, RefusesUnequalShapes) {
  EXPECT_THROW((void)negative_cosine(at::ones({2, 3}), at::ones({3, 2})), ContractViolation);
}

TEST(ByolRegression, IsZeroTwoAndFourAtItsCorners) {
  const auto e = at::eye(2, at::kDouble);
  EXPECT_NEAR(byol(e, 3.0 * e), 0.0, 1e-15);
  EXPECT_NEAR(byol(e, e.flip(0)), 2.0, 1e-15);
  EXPECT_NEAR(byol(e, -e), 4.0, 1e-15);
}

TEST(ByolRegression, IsTheSquaredDistanceOfUnitRows) {
  const auto p = normal_tensor({7, 5}, 9);
  const auto z = normal_tensor({7, 5}, 10);
  const auto difference = p / p.norm(2, {1}, true) - z / z.norm(2, {1}, true);
  EXPECT_NEAR(byol(p, z), difference.pow(2).sum(1).mean().item<double>(), 1e-14);
  // Both directions of both losses: L_BYOL = 2 * 2 + 4 L_SimSiam.
  EXPECT_NEAR(byol(p, z) + byol(z, p), 4.0 + 4.0 * 0.5 * (simsiam(p, z) + simsiam(z, p)), 1e-14);
}

}  // namespace
}  // namespace viewfold
