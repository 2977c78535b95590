// Tests of balanced assignments and of cross entropies with fixed distributions, against closed
// forms and loops.
#include "viewfold/nn/losses/assignments.hpp"

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

at::Tensor rows(const std::vector<std::vector<double>>& values) {
  std::vector<at::Tensor> all;
  all.reserve(values.size());
  for (const auto& row : values) {
    all.push_back(at::tensor(row, at::kDouble));
  }
  return at::stack(all);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// SwAV's code, with its divisions by the sum, by K and by B.
at::Tensor sinkhorn_by_division(const at::Tensor& scores, double epsilon, std::int64_t iterations) {
  const double samples = static_cast<double>(scores.size(0));
  const double prototypes = static_cast<double>(scores.size(1));
  auto q = scores.div(epsilon).exp();
  q = q / q.sum();
  for (std::int64_t i = 0; i < iterations; ++i) {
    q = q / q.sum(0, true) / prototypes;
    q = q / q.sum(1, true) / samples;
  }
  return q * samples;
}

TEST(LogSinkhorn, HasItsClosedFormForTwoSamplesOfTwoPrototypes) {
  const auto scores = at::eye(2, at::kDouble);
  EXPECT_LT(largest_difference(log_sinkhorn(scores, 0.5, 3),
                               rows({{0.880797, 0.119203}, {0.119203, 0.880797}})),
            5e-7);
  const double rest = 2.0611536e-9;  // 1 / (1 + e^20)
  EXPECT_LT(largest_difference(log_sinkhorn(scores, 0.05, 3),
                               rows({{1.0 - rest, rest}, {rest, 1.0 - rest}})),
            1e-15);
}

TEST(LogSinkhorn, SplitsTheSampleThatIsLeftWhenTwoWantTheSamePrototype) {
  const auto q = log_sinkhorn(rows({{1.0, 0.0}, {0.8, 0.0}, {0.0, 0.2}}), 0.05, 3);
  const auto expected = rows({{0.98282, 0.01718}, {0.51170, 0.48830}, {2.16e-9, 1.0}});
  EXPECT_LT(largest_difference(q, expected), 5e-6);
  EXPECT_NEAR(q[2][0].item<double>(), 2.16e-9, 5e-12);
}

TEST(LogSinkhorn, EqualsTheDivisionsOfTheAuthorsCode) {
  for (const std::int64_t iterations : {1, 3, 10}) {
    const auto scores = normal_tensor({9, 4}, 1).mul(0.3);
    EXPECT_LT(largest_difference(log_sinkhorn(scores, 0.1, iterations),
                                 sinkhorn_by_division(scores, 0.1, iterations)),
              1e-13);
  }
}

TEST(LogSinkhorn, IsUniformWhenAllSamplesScoreAlike) {
  const auto scores = normal_tensor({1, 5}, 2).repeat({7, 1});
  for (const std::int64_t iterations : {1, 3}) {
    const auto q = log_sinkhorn(scores, 0.05, iterations);
    EXPECT_LT(largest_difference(q, at::full({7, 5}, 0.2, at::kDouble)), 1e-14);
  }
}

TEST(LogSinkhorn, GivesEverySampleOneAndInTheEndEveryPrototypeItsShare) {
  const auto scores = normal_tensor({12, 4}, 3);
  for (const std::int64_t iterations : {1, 2, 200}) {
    const auto q = log_sinkhorn(scores, 0.5, iterations);
    EXPECT_LT(largest_difference(q.sum(1), at::ones({12})), 1e-14) << iterations;
    EXPECT_GE(q.min().item<double>(), 0.0);
  }
  EXPECT_GT(largest_difference(log_sinkhorn(scores, 0.5, 1).sum(0), at::full({4}, 3.0)), 1e-3);
  EXPECT_LT(largest_difference(log_sinkhorn(scores, 0.5, 200).sum(0), at::full({4}, 3.0)), 1e-9);
}

TEST(LogSinkhorn, DoesNotDependOnWhatIsAddedToAllScoresOfAPrototype) {
  const auto scores = normal_tensor({6, 3}, 4);
  const auto added = scores + rows({{1.0, -2.0, 0.5}});
  EXPECT_LT(largest_difference(log_sinkhorn(scores, 0.2, 3), log_sinkhorn(added, 0.2, 3)), 1e-12);
}

TEST(LogSinkhorn, StaysFiniteWhereTheExponentialOverflows) {
  const auto scores = normal_tensor({6, 3}, 5, at::kFloat);
  EXPECT_FALSE(sinkhorn_by_division(scores, 1e-3, 3).isfinite().all().item<bool>());
  const auto q = log_sinkhorn(scores, 1e-3, 3);
  EXPECT_TRUE(q.isfinite().all().item<bool>());
  // Logarithms of some thousands are rounded to some 1e-4.
  EXPECT_LT(largest_difference(q.sum(1), at::ones({6})), 1e-3);
}

TEST(LogSinkhorn, HasNoGraphAndFullPrecision) {
  const auto scores = normal_tensor({4, 3}, 6, at::kFloat).requires_grad_(true);
  const auto q = log_sinkhorn(scores, 0.05, 3);
  EXPECT_FALSE(q.requires_grad());
  EXPECT_EQ(q.scalar_type(), at::kFloat);
  EXPECT_EQ(log_sinkhorn(scores.to(at::kBFloat16), 0.05, 3).scalar_type(), at::kFloat);
  EXPECT_EQ(log_sinkhorn(scores.to(at::kDouble), 0.05, 3).scalar_type(), at::kDouble);
  const Autocast autocast;
  EXPECT_TRUE(log_sinkhorn(scores, 0.05, 3).equal(q));
}

TEST(LogSinkhorn, RefusesOtherShapesAndSettings) {
  const auto scores = at::ones({4, 3});
  EXPECT_THROW((void)log_sinkhorn(scores[0], 0.05, 3), ContractViolation);
  EXPECT_THROW((void)log_sinkhorn(scores.narrow(0, 0, 0), 0.05, 3), ContractViolation);
  EXPECT_THROW((void)log_sinkhorn(scores, 0.0, 3), ContractViolation);
  EXPECT_THROW((void)log_sinkhorn(scores, std::nan(""), 3), ContractViolation);
  EXPECT_THROW((void)log_sinkhorn(scores, 0.05, 0), ContractViolation);
}

double soft_cross_entropy_by_loops(const at::Tensor& logits, const at::Tensor& targets) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < logits.size(0); ++i) {
    double all = 0.0;
    for (std::int64_t k = 0; k < logits.size(1); ++k) {
      all += std::exp(logits[i][k].item<double>());
    }
    for (std::int64_t k = 0; k < logits.size(1); ++k) {
      sum -= targets[i][k].item<double>() * (logits[i][k].item<double>() - std::log(all));
    }
  }
  return sum / static_cast<double>(logits.size(0));
}

at::Tensor distributions(std::int64_t n, std::int64_t k, std::uint64_t seed) {
  return normal_tensor({n, k}, seed).softmax(1);
}

TEST(SoftCrossEntropy, IsTheLogOfAllPrototypesForAUniformPrediction) {
  const std::vector<std::pair<std::int64_t, double>> values{
      {30, 3.4012}, {100, 4.6052}, {512, 6.2383}, {3000, 8.0064}};
  for (const auto& [k, value] : values) {
    const auto loss =
        soft_cross_entropy(at::full({2, k}, 0.7, at::kDouble), distributions(2, k, 7));
    EXPECT_NEAR(loss.item<double>(), value, 5e-5);
    EXPECT_NEAR(loss.item<double>(), std::log(static_cast<double>(k)), 1e-12);
  }
}

TEST(SoftCrossEntropy, EqualsLoops) {
  const auto logits = normal_tensor({5, 4}, 8).mul(3.0);
  const auto targets = distributions(5, 4, 9);
  EXPECT_NEAR(soft_cross_entropy(logits, targets).item<double>(),
              soft_cross_entropy_by_loops(logits, targets), 1e-13);
}

TEST(SoftCrossEntropy, IsTheEntropyOfAPredictionThatIsRight) {
  const auto targets = distributions(5, 4, 10);
  const double entropy = -(targets * targets.log()).sum(1).mean().item<double>();
  EXPECT_NEAR(soft_cross_entropy(targets.log() + 2.0, targets).item<double>(), entropy, 1e-13);
  EXPECT_GT(soft_cross_entropy(targets.log().flip(0), targets).item<double>(), entropy + 1e-3);
}

TEST(SoftCrossEntropy, HasTheGradientOfItsDifferencesAndNoneForTheTargets) {
  const auto targets = distributions(3, 4, 11).requires_grad_(true);
  const auto loss = [&targets](const at::Tensor& logits) {
    return soft_cross_entropy(logits, targets);
  };
  expect_gradient_by_differences(loss, normal_tensor({3, 4}, 12));
  EXPECT_FALSE(targets.grad().defined());
}

TEST(SoftCrossEntropy, KeepsFullPrecisionUnderAutocast) {
  const auto logits = normal_tensor({6, 4}, 13, at::kFloat).mul(10.0);
  const auto targets = distributions(6, 4, 14).to(at::kFloat);
  const double expected = soft_cross_entropy(logits, targets).item<double>();
  const Autocast autocast;
  const auto loss = soft_cross_entropy(logits, targets);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(loss.item<double>(), expected);
  EXPECT_EQ(soft_cross_entropy(logits.to(at::kBFloat16), targets).scalar_type(), at::kFloat);
}

TEST(SoftCrossEntropy, RefusesUnequalShapes) {
  EXPECT_THROW((void)soft_cross_entropy(at::ones({4, 3}), at::ones({4, 2})), ContractViolation);
  EXPECT_THROW((void)soft_cross_entropy(at::ones({3}), at::ones({3})), ContractViolation);
}

TEST(MultiCropCrossEntropy, EqualsLoopsOverAllPairsOfDifferentCrops) {
  std::vector<at::Tensor> logits;
  for (std::uint64_t v = 0; v < 5; ++v) {
    logits.push_back(normal_tensor({3, 4}, 20 + v));
  }
  const std::vector<at::Tensor> targets{distributions(3, 4, 30), distributions(3, 4, 31)};
  double sum = 0.0;
  int pairs = 0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    for (std::size_t v = 0; v < logits.size(); ++v) {
      if (v != t) {
        sum += soft_cross_entropy_by_loops(logits[v], targets[t]);
        ++pairs;
      }
    }
  }
  EXPECT_EQ(pairs, 8);
  EXPECT_NEAR(multi_crop_cross_entropy(logits, targets).item<double>(), sum / pairs, 1e-13);
}

TEST(MultiCropCrossEntropy, IsTheMeanOfBothDirectionsForTwoViews) {
  const auto a = normal_tensor({3, 4}, 40);
  const auto b = normal_tensor({3, 4}, 41);
  const auto of_a = distributions(3, 4, 42);
  const auto of_b = distributions(3, 4, 43);
  EXPECT_NEAR(multi_crop_cross_entropy({a, b}, {of_a, of_b}).item<double>(),
              0.5 * (soft_cross_entropy_by_loops(b, of_a) + soft_cross_entropy_by_loops(a, of_b)),
              1e-13);
}

TEST(MultiCropCrossEntropy, ComparesOneTargetWithTheOtherCropsOnly) {
  const auto a = normal_tensor({3, 4}, 44).requires_grad_(true);
  const auto b = normal_tensor({3, 4}, 45).requires_grad_(true);
  const auto of_a = distributions(3, 4, 46);
  const auto loss = multi_crop_cross_entropy({a, b}, {of_a});
  EXPECT_NEAR(loss.item<double>(), soft_cross_entropy_by_loops(b, of_a), 1e-13);
  loss.backward();
  EXPECT_TRUE(b.grad().defined());
  EXPECT_FALSE(a.grad().defined());
}

TEST(MultiCropCrossEntropy, RefusesCountsAndShapesThatDoNotFit) {
  const auto a = at::ones({3, 4});
  EXPECT_THROW((void)multi_crop_cross_entropy({a}, {a}), ContractViolation);
  EXPECT_THROW((void)multi_crop_cross_entropy({a, a}, {}), ContractViolation);
  EXPECT_THROW((void)multi_crop_cross_entropy({a, a}, {a, a, a}), ContractViolation);
  EXPECT_THROW((void)multi_crop_cross_entropy({a, a}, {a, at::ones({3, 1})}), ContractViolation);
}

}  // namespace
}  // namespace viewfold
