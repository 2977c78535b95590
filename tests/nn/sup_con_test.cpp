// Tests of the supervised contrastive loss against loops and NT-Xent.
#include "viewfold/nn/losses/sup_con.hpp"

#include <cmath>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/nt_xent.hpp"

namespace viewfold {
namespace {

// Eq. 2 of arXiv:2004.11362, term by term.
double reference(const at::Tensor& z, const std::vector<std::int64_t>& labels, double temperature) {
  const auto u = z / z.norm(2, {1}, true);
  const auto s = u.mm(u.t()).div(temperature);
  const auto n = u.size(0);
  double sum = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    double all = 0.0;
    for (std::int64_t a = 0; a < n; ++a) {
      all += a == i ? 0.0 : std::exp(s[i][a].item<double>());
    }
    double inner = 0.0;
    int positives = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      if (p != i && labels[static_cast<std::size_t>(p)] == labels[static_cast<std::size_t>(i)]) {
        inner += std::log(std::exp(s[i][p].item<double>()) / all);
        ++positives;
      }
    }
    sum -= inner / positives;
  }
  return sum / static_cast<double>(n);
}

TEST(SupCon, IsTheMeanOverPositivesOfTheirCrossEntropies) {
  const auto z0 = normal_tensor({5, 7}, 1, at::kDouble);
  const auto z1 = normal_tensor({5, 7}, 2, at::kDouble);
  const std::vector<std::int64_t> labels{0, 1, 0, 2, 1};
  auto twice = labels;
  twice.insert(twice.end(), labels.begin(), labels.end());
  const auto loss = sup_con(z0, z1, at::tensor(labels, at::kLong), 0.3);
  EXPECT_NEAR(loss.item<double>(), reference(at::cat({z0, z1}), twice, 0.3), 1e-10);
}

TEST(SupCon, IsNtXentWhereEveryImageIsAClassOfItsOwn) {
  const auto z0 = normal_tensor({6, 4}, 3, at::kDouble);
  const auto z1 = normal_tensor({6, 4}, 4, at::kDouble);
  EXPECT_NEAR(sup_con(z0, z1, at::arange(6, at::kLong), 0.5).item<double>(),
              nt_xent(z0, z1, 0.5).item<double>(), 1e-12);
}

TEST(SupCon, OfEqualRowsIsTheLogarithmOfTheOthers) {
  const auto z = at::ones({4, 3}, at::kDouble);
  EXPECT_NEAR(sup_con(z, z, at::tensor({0, 0, 1, 1}, at::kLong), 0.1).item<double>(), std::log(7.0),
              1e-12);
}

TEST(SupCon, HasFiniteGradientsForOneImage) {
  const auto z = normal_tensor({1, 3}, 5).requires_grad_();
  const auto loss = sup_con(z, z * 2.0, at::zeros({1}, at::kLong), 0.1);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), 0.0, 1e-6);
  EXPECT_TRUE(z.grad().isfinite().all().item<bool>());
}

TEST(SupCon, RefusesLabelsOfAnotherShapeOrType) {
  const auto z = normal_tensor({2, 3}, 6);
  EXPECT_THROW((void)sup_con(z, z, at::zeros({3}, at::kLong), 0.1), ContractViolation);
  EXPECT_THROW((void)sup_con(z, z, at::zeros({2}), 0.1), ContractViolation);
  EXPECT_THROW((void)sup_con(z, z, at::zeros({2}, at::kLong), 0.0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
