// Tests of the linear probe.
#include <cmath>
#include <string>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;

EvaluationResult probe(const EvaluationInput& input, const std::string& l2) {
  const auto& entry = find_evaluation("linear");
  const auto config = entry.config();
  ConfigSource source;
  source.set("l2", l2, "test");
  read_config(*config, source);
  return entry.run(input, *config);
}

/// `count` points of each class around its centre.
FeatureSet clusters(const at::Tensor& centres,
                    std::int64_t count,
                    double spread,
                    std::uint64_t seed) {
  const std::int64_t classes = centres.size(0);
  const auto labels = at::arange(classes, at::kLong).repeat({count});
  const auto noise = normal_matrix(classes * count, centres.size(1), seed);
  return {.features = centres.index_select(0, labels) + noise * spread, .labels = labels};
}

TEST(Linear, SeparatesWhatIsSeparable) {
  const auto centres = normal_matrix(5, 16, 1) * 4.0;
  const EvaluationInput input{
      .train = clusters(centres, 60, 0.5, 2), .test = clusters(centres, 40, 0.5, 3), .classes = {}};
  const auto result = probe(input, "1");
  EXPECT_EQ(result.numbers.at("accuracy"), 1.0);
  EXPECT_EQ(result.numbers.at("train_accuracy"), 1.0);
  EXPECT_EQ(result.confusion.size(), 5U);
  EXPECT_EQ(result.confusion[3][3], 40);
}

TEST(Linear, ChoosesAStrongPenaltyWhereFeaturesAreMostlyNoise) {
  auto centres = at::zeros({2, 200});
  centres.select(1, 0).copy_(at::tensor({-1.0F, 1.0F}));
  const EvaluationInput input{.train = clusters(centres, 100, 1.0, 21),
                              .test = clusters(centres, 500, 1.0, 22),
                              .classes = {}};
  const auto chosen = probe(input, "0");
  const double l2 = chosen.numbers.at("l2");
  EXPECT_GE(l2, 100.0) << chosen.protocol;
  EXPECT_GT(chosen.numbers.at("accuracy"), probe(input, "1").numbers.at("accuracy"));
  // The choice is all that differs from naming the same strength.
  EXPECT_EQ(chosen.numbers, probe(input, std::to_string(l2)).numbers);
}

TEST(Linear, ChoosesAWeakPenaltyWhereSmallDifferencesTell) {
  // The class is the sign of the difference of two nearly equal dimensions.
  const auto common = normal_matrix(4000, 1, 31);
  const auto small = normal_matrix(4000, 1, 32);
  const auto features = at::cat({common, common + 0.02 * small}, 1);
  const auto labels = small.squeeze(1).gt(0).to(at::kLong);
  const EvaluationInput input{
      .train = {.features = features.narrow(0, 0, 2000), .labels = labels.narrow(0, 0, 2000)},
      .test = {.features = features.narrow(0, 2000, 2000), .labels = labels.narrow(0, 2000, 2000)},
      .classes = {}};
  const auto chosen = probe(input, "0");
  EXPECT_EQ(chosen.numbers.at("l2"), 1.0) << chosen.protocol;
}

TEST(Linear, CannotSolveExclusiveOr) {
  const auto centres =
      at::tensor({-1.0F, -1.0F, 1.0F, -1.0F, 1.0F, 1.0F, -1.0F, 1.0F}).view({4, 2});
  auto train = clusters(centres, 400, 0.2, 4);
  auto test = clusters(centres, 400, 0.2, 5);
  train.labels = train.labels % 2;
  test.labels = test.labels % 2;
  const EvaluationInput input{.train = train, .test = test, .classes = {}};
  EXPECT_LE(probe(input, "1").numbers.at("accuracy"), 0.76);  // three of four corners at most
}

TEST(Linear, IgnoresShiftAndScaleOfDimensions) {
  const auto centres = normal_matrix(3, 6, 6);
  EvaluationInput input{.train = clusters(centres, 100, 1.0, 7),
                        .test = clusters(centres, 100, 1.0, 8),
                        .classes = {}};
  const auto expected = probe(input, "3");
  const auto scale = at::tensor({1e-3F, 1.0F, 1e3F, 5.0F, 0.1F, 20.0F});
  for (auto* set : {&input.train, &input.test}) {
    set->features = (set->features + 3.0) * scale;
  }
  EXPECT_EQ(probe(input, "3").confusion, expected.confusion);
}

// The optimum by gradient descent in double precision, written out anew.
at::Tensor optimum_by_descent(const at::Tensor& x, const at::Tensor& y, double l2) {
  auto w = at::zeros({x.size(1), 3}, at::kDouble);
  auto b = at::zeros({3}, at::kDouble);
  for (int step = 0; step < 4000; ++step) {
    const auto error = (x.mm(w) + b).softmax(1) - at::one_hot(y, 3);
    w -= (x.t().mm(error) / x.size(0) + l2 * w) * 0.5;
    b -= error.mean(0) * 0.5;
  }
  return at::cat({w, b.unsqueeze(0)});
}

TEST(Linear, PredictsAsTheKnownOptimum) {
  const auto centres = normal_matrix(3, 4, 9);
  const EvaluationInput input{.train = clusters(centres, 50, 1.5, 10),
                              .test = clusters(centres, 200, 1.5, 11),
                              .classes = {}};
  for (const double l2 : {1.0, 0.03}) {
    const auto mean = input.train.features.mean(0);
    const auto deviation = input.train.features.std(0, /*unbiased=*/false);
    const auto standard = [&](const at::Tensor& m) {
      return ((m - mean) / deviation).to(at::kDouble);
    };
    const auto best = optimum_by_descent(standard(input.train.features), input.train.labels, l2);
    const auto guess = (standard(input.test.features).mm(best.narrow(0, 0, 4)) + best[4]).argmax(1);
    const auto result = probe(input, std::to_string(l2 * 150.0));  // beside a sum over 150
    for (std::int64_t truth = 0; truth < 3; ++truth) {
      for (std::int64_t predicted = 0; predicted < 3; ++predicted) {
        const auto both = input.test.labels.eq(truth).logical_and(guess.eq(predicted));
        EXPECT_EQ(
            result.confusion[static_cast<std::size_t>(truth)][static_cast<std::size_t>(predicted)],
            both.sum().item<std::int64_t>())
            << l2;
      }
    }
  }
}

TEST(Linear, EndsWhereTheGradientIsSmall) {
  const auto centres = normal_matrix(4, 32, 12);
  // Directions of very different size: what first-order methods are slow at.
  const auto mix = normal_matrix(32, 32, 13) * at::logspace(0.0, -3.0, 32);
  const EvaluationInput input{.train = {clusters(centres, 500, 1.0, 14).features.mm(mix),
                                        clusters(centres, 500, 1.0, 14).labels},
                              .test = {clusters(centres, 50, 1.0, 15).features.mm(mix),
                                       clusters(centres, 50, 1.0, 15).labels},
                              .classes = {}};
  EXPECT_LT(probe(input, "0.2").numbers.at("largest_gradient"), 2e-5);
}

TEST(Linear, GivesTheSameBitsForAnyNumberOfThreads) {
  const auto centres = normal_matrix(10, 24, 16);
  const EvaluationInput input{.train = clusters(centres, 300, 2.0, 17),
                              .test = clusters(centres, 100, 2.0, 18),
                              .classes = {}};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto first = probe(input, "1");
  at::set_num_threads(2);
  const auto second = probe(input, "1");
  at::set_num_threads(before);
  EXPECT_EQ(first.confusion, second.confusion);
  EXPECT_EQ(first.numbers, second.numbers);  // steps and gradient are among them
}

TEST(Linear, BearsDimensionsThatDoNotVary) {
  const auto centres = normal_matrix(3, 4, 19) * 3.0;
  auto train = clusters(centres, 50, 0.3, 20);
  auto test = clusters(centres, 50, 0.3, 21);
  const auto with_constant = [](const FeatureSet& set, double value) -> FeatureSet {
    const auto column = at::full({set.features.size(0), 1}, value, at::kFloat);
    return {.features = at::cat({set.features, column}, 1), .labels = set.labels};
  };
  // Another value in the test set must not matter: nothing was learned of it.
  const EvaluationInput input{
      .train = with_constant(train, 1234.567), .test = with_constant(test, -1e6), .classes = {}};
  EXPECT_EQ(probe(input, "1").numbers.at("accuracy"), 1.0);
}

TEST(Linear, PrefersSmallWeightsUnderAStrongPenalty) {
  // Three of class 0 for each of class 1: without weights only the bias is left.
  const auto features = normal_matrix(400, 3, 22);
  const auto labels = at::arange(400, at::kLong).remainder(4).eq(3).to(at::kLong);
  const EvaluationInput input{
      .train = {features, labels}, .test = {features, labels}, .classes = {}};
  EXPECT_EQ(probe(input, "1e6").numbers.at("accuracy"), 0.75);
}

TEST(Linear, LeavesItsInputAlone) {
  const auto centres = normal_matrix(3, 4, 23);
  const auto train = clusters(centres, 30, 1.0, 24);
  const EvaluationInput input{
      .train = {train.features.clone(), train.labels.clone()}, .test = train, .classes = {}};
  (void)probe(input, "1");
  EXPECT_TRUE(input.train.features.equal(train.features));
  EXPECT_TRUE(input.train.labels.equal(train.labels));
}

}  // namespace
}  // namespace viewfold
