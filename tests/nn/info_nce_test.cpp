// Tests of InfoNCE against a queue, by closed forms and loops.
#include "viewfold/nn/losses/info_nce.hpp"

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

// MoCo's Eq. 1, query by query.
double info_nce_by_loops(const at::Tensor& q,
                         const at::Tensor& k,
                         const at::Tensor& queue,
                         double temperature) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    const double positive = std::exp(cosine_of_rows(q, i, k, i) / temperature);
    double all = positive;
    for (std::int64_t j = 0; j < queue.size(0); ++j) {
      all += std::exp(cosine_of_rows(q, i, queue, j) / temperature);
    }
    sum -= std::log(positive / all);
  }
  return sum / static_cast<double>(q.size(0));
}

double value(const at::Tensor& q,
             const at::Tensor& k,
             const at::Tensor& queue,
             double temperature) {
  return info_nce_with_queue(q, k, queue, temperature).item<double>();
}

TEST(InfoNce, IsTheLogOfAllKeysWhenAllVectorsAreEqual) {
  const auto e = at::eye(2, at::kDouble).narrow(0, 0, 1);  // [1, 2]
  EXPECT_NEAR(value(e, e, e.repeat({4096, 1}), 0.2), 8.3180, 5e-5);
  EXPECT_NEAR(value(e, e, e.repeat({16384, 1}), 0.1), 9.7041, 5e-5);
  EXPECT_NEAR(value(e, e, e.repeat({65536, 1}), 0.07), 11.0904, 5e-5);
  EXPECT_NEAR(value(e, e, e.repeat({65536, 1}), 0.07), std::log(65537.0), 1e-12);
}

TEST(InfoNce, HasItsClosedFormForOrthogonalNegatives) {
  const auto e = at::eye(2, at::kDouble);
  const auto q = e.narrow(0, 0, 1);
  const auto negative = e.narrow(0, 1, 1);
  EXPECT_NEAR(value(q, q, negative.repeat({4096, 1}), 0.1), 0.17055, 5e-6);
  EXPECT_NEAR(value(q, q, negative.repeat({4096, 1}), 0.2), 3.35336, 5e-6);
  EXPECT_NEAR(value(q, q, negative.repeat({65536, 1}), 0.07), 0.040135, 5e-7);
}

TEST(InfoNce, EqualsLoopsInSingleAndDoublePrecision) {
  for (const std::int64_t n : {2, 3, 8, 33}) {
    const auto q = normal_tensor({n, 6}, 1);
    const auto k = normal_tensor({n, 6}, 2);
    const auto queue = unit_rows(normal_tensor({n + 3, 6}, 3));
    const double expected = info_nce_by_loops(q, k, queue, 0.2);
    EXPECT_NEAR(value(q, k, queue, 0.2), expected, 1e-12);
    // A logit of 1 / 0.2 carries a few roundings, of the inputs too; their mean is no larger.
    EXPECT_NEAR(value(q.to(at::kFloat), k.to(at::kFloat), queue.to(at::kFloat), 0.2), expected,
                16.0 * kEps32 * 5.0);
  }
}

TEST(InfoNce, DoesNotDependOnLengthsOfQueriesAndKeysOrTheOrderOfTheQueue) {
  const auto q = normal_tensor({4, 5}, 4);
  const auto k = normal_tensor({4, 5}, 5);
  const auto queue = unit_rows(normal_tensor({9, 5}, 6));
  const double expected = value(q, k, queue, 0.1);
  EXPECT_NEAR(value(q * 7.0, k * 0.01, queue, 0.1), expected, 1e-12);
  EXPECT_NEAR(value(q, k, queue.flip(0), 0.1), expected, 1e-12);
}

TEST(InfoNce, HasTheGradientOfItsDifferences) {
  const auto k = normal_tensor({3, 4}, 7);
  const auto queue = unit_rows(normal_tensor({5, 4}, 8));
  const auto loss = [&](const at::Tensor& q) { return info_nce_with_queue(q, k, queue, 0.5); };
  expect_gradient_by_differences(loss, normal_tensor({3, 4}, 9));
}

TEST(InfoNce, SendsNoGradientToKeysAndQueue) {
  const auto q = normal_tensor({3, 4}, 10).requires_grad_(true);
  const auto k = normal_tensor({3, 4}, 11).requires_grad_(true);
  const auto queue = unit_rows(normal_tensor({5, 4}, 12)).requires_grad_(true);
  info_nce_with_queue(q, k, queue, 0.2).backward();
  EXPECT_TRUE(q.grad().defined());
  EXPECT_FALSE(k.grad().defined());
  EXPECT_FALSE(queue.grad().defined());
}

TEST(InfoNce, StaysFiniteFarFromTheAnswer) {
  // logit difference 2 / 1e-3: e^2000 has no float, its logarithm has
  const auto q = at::ones({1, 2}, at::kFloat);
  EXPECT_NEAR(value(q, -q, unit_rows(q), 1e-3), 2000.0, 1e-2);
}

TEST(InfoNce, KeepsFullPrecisionUnderAutocast) {
  const auto q = normal_tensor({8, 16}, 13, at::kFloat);
  const auto k = normal_tensor({8, 16}, 14, at::kFloat);
  const auto queue = unit_rows(normal_tensor({64, 16}, 15, at::kFloat));
  const double expected = value(q, k, queue, 0.1);
  const Autocast autocast;
  EXPECT_EQ(value(q, k, queue, 0.1), expected);
}

TEST(InfoNce, RefusesWhatDoesNotFit) {
  const auto q = at::ones({3, 4});
  EXPECT_THROW((void)info_nce_with_queue(q, at::ones({2, 4}), q, 0.1), ContractViolation);
  EXPECT_THROW((void)info_nce_with_queue(q, q, at::ones({5, 3}), 0.1), ContractViolation);
  EXPECT_THROW((void)info_nce_with_queue(q, q, q.narrow(0, 0, 0), 0.1), ContractViolation);
  EXPECT_THROW((void)info_nce_with_queue(q, q, q, -0.1), ContractViolation);
}

}  // namespace
}  // namespace viewfold
