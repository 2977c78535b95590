// Tests of NT-Xent against closed forms and loops.
#include "viewfold/nn/losses/nt_xent.hpp"

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// SimCLR's Eq. 1, anchor by anchor.
double nt_xent_by_loops(const at::Tensor& z0, const at::Tensor& z1, double temperature) {
  const auto z = at::cat({z0, z1}).to(at::kDouble);
  const auto n = z0.size(0);
  double sum = 0.0;
  for (std::int64_t i = 0; i < 2 * n; ++i) {
    double others = 0.0;
    for (std::int64_t k = 0; k < 2 * n; ++k) {
      if (k != i) {
        others += std::exp(cosine_of_rows(z, i, z, k) / temperature);
      }
    }
    sum -= std::log(std::exp(cosine_of_rows(z, i, z, (i + n) % (2 * n)) / temperature) / others);
  }
  return sum / static_cast<double>(2 * n);
}

double value(const at::Tensor& z0, const at::Tensor& z1, double temperature) {
  return nt_xent(z0, z1, temperature).item<double>();
}

TEST(NtXent, IsTheLogOfAllOthersWhenAllRowsAreEqual) {
  const auto ones = [](std::int64_t n) { return at::ones({n, 3}, at::kDouble); };
  EXPECT_NEAR(value(ones(2), ones(2), 0.2), 1.0986, 5e-5);  // ln 3
  EXPECT_NEAR(value(ones(256), ones(256), 0.5), 6.2364, 5e-5);
  EXPECT_NEAR(value(ones(512), ones(512), 0.1), 6.9305, 5e-5);
  EXPECT_NEAR(value(ones(33), ones(33), 0.1), std::log(65.0), 1e-12);
}

TEST(NtXent, HasItsClosedFormForTwoOrthogonalImages) {
  const auto z = at::eye(2, at::kDouble);
  EXPECT_NEAR(value(z, z, 0.5), 0.23954, 5e-6);
  EXPECT_NEAR(value(z, z, 1.0), 0.55144, 5e-6);
  EXPECT_NEAR(value(z, z, 0.2), 0.013386, 5e-7);
  EXPECT_NEAR(value(z, z, 0.5), std::log(1.0 + 2.0 * std::exp(-2.0)), 1e-14);
  EXPECT_NEAR(value(z, z.flip(0), 0.5), 2.23954, 5e-6);  // the partners are the wrong ones
}

TEST(NtXent, IsZeroForOneImage) {
  EXPECT_NEAR(value(normal_tensor({1, 5}, 1), normal_tensor({1, 5}, 2), 0.3), 0.0, 1e-15);
}

TEST(NtXent, EqualsLoopsInSinglePrecision) {
  for (const std::int64_t n : {2, 3, 8, 33}) {
    const auto z0 = normal_tensor({n, 7}, 3, at::kFloat);
    const auto z1 = normal_tensor({n, 7}, 4, at::kFloat);
    for (const double temperature : {0.1, 0.5, 1.0}) {
      // A logit of 1 / temperature carries a few roundings; their mean is no larger.
      const double tolerance =
          8.0 * kEps32 * (1.0 / temperature + std::log(2.0 * static_cast<double>(n)));
      EXPECT_NEAR(value(z0, z1, temperature), nt_xent_by_loops(z0, z1, temperature), tolerance)
          << n << " images at " << temperature;
    }
  }
}

TEST(NtXent, EqualsLoopsInDoublePrecision) {
  for (const std::int64_t n : {2, 3, 8, 33}) {
    const auto z0 = normal_tensor({n, 5}, 5);
    const auto z1 = z0 + 0.3 * normal_tensor({n, 5}, 6);
    EXPECT_NEAR(value(z0, z1, 0.1), nt_xent_by_loops(z0, z1, 0.1), 1e-12);
  }
}

TEST(NtXent, DoesNotDependOnLengthsOrOnTheOrderOfImages) {
  const auto z0 = normal_tensor({6, 4}, 7);
  const auto z1 = normal_tensor({6, 4}, 8);
  const double expected = value(z0, z1, 0.2);
  const auto lengths = at::arange(1, 7, at::kDouble).view({6, 1});
  EXPECT_NEAR(value(z0 * lengths, z1 * 1e-3, 0.2), expected, 1e-13);
  EXPECT_NEAR(value(z0.flip(0), z1.flip(0), 0.2), expected, 1e-13);
  EXPECT_NEAR(value(z1, z0, 0.2), expected, 1e-13);
}

TEST(NtXent, HasTheGradientOfItsDifferences) {
  const auto z1 = normal_tensor({3, 4}, 10);
  const auto loss = [&z1](const at::Tensor& z0) { return nt_xent(z0, z1, 0.5); };
  expect_gradient_by_differences(loss, normal_tensor({3, 4}, 9));
}

TEST(NtXent, SendsGradientsToBothViews) {
  const auto z0 = normal_tensor({4, 3}, 11).requires_grad_(true);
  const auto z1 = normal_tensor({4, 3}, 12).requires_grad_(true);
  nt_xent(z0, z1, 0.5).backward();
  EXPECT_GT(z0.grad().norm().item<double>(), 1e-3);
  EXPECT_GT(z1.grad().norm().item<double>(), 1e-3);
}

TEST(NtXent, StaysFiniteForZeroRowsAndTinyTemperatures) {
  auto z = normal_tensor({4, 3}, 13, at::kFloat);
  z[1].zero_();
  const auto leaf = z.clone().requires_grad_(true);
  const auto loss = nt_xent(leaf, z.flip(0), 1e-3);
  loss.backward();
  EXPECT_TRUE(std::isfinite(loss.item<double>()));
  EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>());
}

TEST(NtXent, KeepsFullPrecisionUnderAutocast) {
  const auto z0 = normal_tensor({16, 8}, 14, at::kFloat);
  const auto z1 = normal_tensor({16, 8}, 15, at::kFloat);
  const double expected = value(z0, z1, 0.1);
  const Autocast autocast;
  const auto loss = nt_xent(z0, z1, 0.1);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(loss.item<double>(), expected);
  // bfloat16 inputs are widened before anything is computed.
  const auto narrow0 = z0.to(at::kBFloat16);
  const auto narrow1 = z1.to(at::kBFloat16);
  EXPECT_EQ(value(narrow0, narrow1, 0.1),
            value(narrow0.to(at::kFloat), narrow1.to(at::kFloat), 0.1));
}

TEST(NtXentOf, IsNtXentWhenTheQueriesAreTheBatchItself) {
  const auto z0 = normal_tensor({5, 4}, 16);
  const auto z1 = normal_tensor({5, 4}, 17);
  const double both = nt_xent_of(z0, z1, {z0, z1}, 0.2).item<double>() +
                      nt_xent_of(z1, z0, {z0, z1}, 0.2).item<double>();
  EXPECT_NEAR(0.5 * both, value(z0, z1, 0.2), 1e-12);
}

// Two images: the negatives of each are both views of the other one.
TEST(NtXentOf, HasItsClosedFormForTwoImages) {
  const auto z = at::eye(2, at::kDouble);
  const auto half = at::full({2, 2}, std::sqrt(0.5), at::kDouble);  // as near to both
  EXPECT_NEAR(nt_xent_of(half, z, {z, z}, 0.3).item<double>(), std::log(3.0), 1e-12);
  EXPECT_THROW((void)nt_xent_of(z.narrow(0, 0, 1), z.narrow(0, 0, 1),
                                {z.narrow(0, 0, 1), z.narrow(0, 0, 1)}, 0.3),
               ContractViolation);
}

TEST(NtXent, RefusesUnequalShapesAndTemperaturesThatAreNotPositive) {
  const auto z = at::ones({4, 3});
  EXPECT_THROW((void)nt_xent(z, at::ones({3, 3}), 0.5), ContractViolation);
  EXPECT_THROW((void)nt_xent(z, at::ones({4, 2}), 0.5), ContractViolation);
  EXPECT_THROW((void)nt_xent(z[0], z[0], 0.5), ContractViolation);
  EXPECT_THROW((void)nt_xent(z.narrow(0, 0, 0), z.narrow(0, 0, 0), 0.5), ContractViolation);
  EXPECT_THROW((void)nt_xent(z, z, 0.0), ContractViolation);
  EXPECT_THROW((void)nt_xent(z, z, std::nan("")), ContractViolation);
}

}  // namespace
}  // namespace viewfold
