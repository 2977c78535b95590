// Tests of the ridge read-out.
#include "viewfold/eval/read_out.hpp"

#include <cmath>
#include <limits>
#include <string>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

double largest(const at::Tensor& values) {
  return values.abs().max().item<double>();
}

/// w of (X'X + penalty I) w = X'Y, for centred X and Y.
at::Tensor solved(const at::Tensor& x, const at::Tensor& y, double penalty) {
  const auto centred = x - x.mean(0);
  const auto gram = centred.t().mm(centred) + penalty * at::eye(x.size(1), at::kDouble);
  return at::linalg_solve(gram, centred.t().mm(y - y.mean(0)));
}

/// Targets that are a linear map of the features, with noise.
ReadOutRows linear_rows(std::int64_t count, double noise, std::uint64_t seed) {
  const auto features = normal_tensor({count, 12}, seed);
  const auto weight = normal_tensor({12, 3}, 1000);
  return {.features = features,
          .targets = features.mm(weight) + 5.0 + noise * normal_tensor({count, 3}, seed + 1)};
}

TEST(FitRidge, HasTheClosedFormOfTwoPoints) {
  const auto points = at::tensor({-1.0, 1.0}, at::kDouble).reshape({2, 1});
  for (const double penalty : {1e-6, 0.5, 2.0, 100.0}) {
    const auto fit = fit_ridge({.features = points, .targets = points}, penalty);
    EXPECT_NEAR(fit.weight.item<double>(), 2.0 / (2.0 + penalty), 1e-12) << penalty;
    EXPECT_NEAR(fit.bias.item<double>(), 0.0, 1e-12) << penalty;
  }
}

TEST(FitRidge, DoesNotPenaliseTheBias) {
  const auto x = at::tensor({9.0, 11.0}, at::kDouble).reshape({2, 1});
  const auto y = at::tensor({99.0, 101.0}, at::kDouble).reshape({2, 1});
  const auto fit = fit_ridge({.features = x, .targets = y}, 1e9);
  EXPECT_LT(largest(fit.predict(x) - 100.0), 1e-6);
}

TEST(FitRidge, SolvesTheNormalEquationsWithFewAndWithManyFeatures) {
  for (const std::int64_t features : {1, 7, 8, 9, 30}) {
    const auto x = normal_tensor({8, features}, 1) + 3.0;
    const auto y = normal_tensor({8, 2}, 2) - 1.0;
    for (const double penalty : {0.01, 1.0, 50.0}) {
      const auto fit = fit_ridge({.features = x, .targets = y}, penalty);
      EXPECT_LT(largest(fit.weight - solved(x, y, penalty)), 1e-9) << features << " " << penalty;
      EXPECT_LT(largest(fit.predict(x).mean(0) - y.mean(0)), 1e-9) << features << " " << penalty;
    }
  }
}

TEST(FitRidge, IsTheSameForFeaturesTwiceWithTwiceThePenalty) {
  const auto other = normal_tensor({11, 6}, 5);
  for (const std::int64_t rows : {20, 4}) {  // as it is, and in the dual
    const auto x = normal_tensor({rows, 6}, 3);
    const auto y = normal_tensor({rows, 2}, 4);
    const auto once = fit_ridge({.features = x, .targets = y}, 0.7);
    const auto twice = fit_ridge({.features = at::cat({x, x}, 1), .targets = y}, 1.4);
    EXPECT_LT(largest(twice.predict(at::cat({other, other}, 1)) - once.predict(other)), 1e-10);
  }
}

TEST(FitRidge, OfTwoSetsOfFeaturesSideBySideFitsAtLeastAsWellAsOfEach) {
  const auto a = normal_tensor({60, 5}, 6);
  const auto b = normal_tensor({60, 8}, 7);
  const auto y = a.narrow(1, 0, 1) + b.narrow(1, 3, 1) + normal_tensor({60, 1}, 8);
  const auto fitted = [&y](const at::Tensor& x) {
    return r_squared(y, fit_ridge({.features = x, .targets = y}, 1e-9).predict(x))[0];
  };
  const double both = fitted(at::cat({a, b}, 1));
  EXPECT_GT(both, fitted(a));
  EXPECT_GT(both, fitted(b));
}

TEST(FitRidge, RefusesWhatDoesNotFit) {
  const auto x = normal_tensor({10, 3}, 9);
  const auto y = normal_tensor({10, 1}, 10);
  EXPECT_THROW((void)fit_ridge({.features = x, .targets = y}, 0.0), ContractViolation);
  EXPECT_THROW((void)fit_ridge({.features = x, .targets = y.narrow(0, 0, 9)}, 1.0),
               ContractViolation);
  EXPECT_THROW((void)fit_ridge({.features = x, .targets = y.squeeze(1)}, 1.0), ContractViolation);
  const auto fit = fit_ridge({.features = x, .targets = y}, 1.0);
  EXPECT_THROW((void)fit.predict(normal_tensor({10, 4}, 11)), ContractViolation);
  y[4][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW((void)fit_ridge({.features = x, .targets = y}, 1.0), ContractViolation);
}

TEST(RSquared, ComparesErrorsWithThoseOfTheMean) {
  const auto truth = at::tensor({1.0, 2.0, 3.0}, at::kDouble).unsqueeze(1).repeat({1, 4});
  const auto predicted = at::tensor({1.0, 1.0, 2.0, 3.0,  //
                                     2.0, 2.0, 2.0, 2.0,  //
                                     3.0, 4.0, 2.0, 1.0},
                                    at::kDouble)
                             .reshape({3, 4});
  const auto r2 = r_squared(truth, predicted);
  ASSERT_EQ(r2.size(), 4U);
  EXPECT_DOUBLE_EQ(r2[0], 1.0);
  EXPECT_DOUBLE_EQ(r2[1], 0.5);
  EXPECT_DOUBLE_EQ(r2[2], 0.0);
  EXPECT_DOUBLE_EQ(r2[3], -3.0);
}

TEST(RSquared, NamesATargetThatDoesNotVary) {
  auto truth = normal_tensor({6, 3}, 12);
  truth.select(1, 1).fill_(0.1);
  try {
    (void)r_squared(truth, truth);
    FAIL() << "a constant has an R^2";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("target 1 "), std::string::npos) << error.what();
  }
  EXPECT_THROW((void)r_squared(truth, truth.narrow(1, 0, 2)), ContractViolation);
}

TEST(ReadOut, ReadsWhatIsALinearMapOfTheFeatures) {
  const auto score = read_out(linear_rows(100, 0.0, 20), linear_rows(50, 0.0, 30), 1);
  ASSERT_EQ(score.r_squared.size(), 3U);
  ASSERT_EQ(score.penalty.size(), 3U);
  for (const double r2 : score.r_squared) {
    EXPECT_GT(r2, 1.0 - 1e-9);
  }
}

TEST(ReadOut, ReadsNothingWhereThereIsNothing) {
  auto train = linear_rows(300, 0.0, 40);
  auto test = linear_rows(300, 0.0, 50);
  train.targets = normal_tensor({300, 2}, 60);
  test.targets = normal_tensor({300, 2}, 61);
  for (const double r2 : read_out(train, test, 1).r_squared) {
    EXPECT_LT(std::abs(r2), 0.1);
  }
}

TEST(ReadOut, IsRidgeOnStandardisedFeaturesWithThePenaltyThatItNames) {
  const auto train = linear_rows(40, 3.0, 70);
  const auto test = linear_rows(30, 3.0, 80);
  const auto score = read_out(train, test, 1);
  const auto mean = train.features.mean(0);
  const auto deviation = train.features.std(0, /*unbiased=*/false);
  const auto x = (train.features - mean) / deviation;
  const auto test_x = (test.features - mean) / deviation;
  for (std::int64_t target = 0; target < 3; ++target) {
    const auto i = static_cast<std::size_t>(target);
    const auto y = train.targets.narrow(1, target, 1);
    const auto predicted = test_x.mm(solved(x, y, score.penalty[i])) + y.mean();
    EXPECT_NEAR(score.r_squared[i], r_squared(test.targets.narrow(1, target, 1), predicted)[0],
                1e-9);
  }
}

TEST(ReadOut, PenalisesMoreWhereThereIsMoreNoise) {
  const auto penalty = [](double noise) {
    return read_out(linear_rows(40, noise, 90), linear_rows(30, noise, 100), 1).penalty[0];
  };
  EXPECT_LT(penalty(0.01), 0.1);
  EXPECT_GT(penalty(30.0), 1.0);
}

TEST(ReadOut, DoesNotDependOnTheScaleOfFeaturesNorOnThoseThatDoNotVary) {
  const auto train = linear_rows(40, 2.0, 110);
  const auto test = linear_rows(30, 2.0, 120);
  const auto scale = at::logspace(-3.0, 3.0, 12, 10.0, at::TensorOptions(at::kDouble));
  const auto expected = read_out(train, test, 1);
  const auto other = [&](const ReadOutRows& rows, double constant) {
    const auto column = at::full({rows.features.size(0), 1}, constant, at::kDouble);
    return ReadOutRows{.features = at::cat({rows.features * scale - 4.0, column}, 1),
                       .targets = rows.targets};
  };
  const auto actual = read_out(other(train, 0.1), other(test, 70.0), 1);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(actual.r_squared[i], expected.r_squared[i], 1e-8);
  }
}

TEST(ReadOut, ReadsEachTargetOnItsOwn) {
  const auto train = linear_rows(40, 4.0, 130);
  const auto test = linear_rows(30, 4.0, 140);
  const auto all = read_out(train, test, 7);
  for (std::int64_t target = 0; target < 3; ++target) {
    const auto alone =
        read_out({.features = train.features, .targets = train.targets.narrow(1, target, 1)},
                 {.features = test.features, .targets = test.targets.narrow(1, target, 1)}, 7);
    EXPECT_NEAR(alone.r_squared[0], all.r_squared[static_cast<std::size_t>(target)], 1e-9);
    EXPECT_EQ(alone.penalty[0], all.penalty[static_cast<std::size_t>(target)]);
  }
}

TEST(ReadOut, TakesMoreFeaturesThanImages) {
  const auto widen = [](ReadOutRows rows, std::uint64_t seed) {
    const auto noise = normal_tensor({rows.features.size(0), 60}, seed);
    rows.features = at::cat({10.0 * rows.features, noise}, 1).to(at::kFloat);
    return rows;
  };
  const auto score =
      read_out(widen(linear_rows(50, 0.0, 150), 160), widen(linear_rows(40, 0.0, 170), 180), 1);
  for (const double r2 : score.r_squared) {
    EXPECT_GT(r2, 0.2);
    EXPECT_LE(r2, 1.0);
  }
}

TEST(ReadOut, RefusesWhatCannotBeRead) {
  const auto train = linear_rows(10, 1.0, 190);
  const auto test = linear_rows(5, 1.0, 200);
  EXPECT_NO_THROW((void)read_out(train, test, 1));
  EXPECT_THROW((void)read_out(linear_rows(9, 1.0, 210), test, 1), UsageError);
  EXPECT_THROW((void)read_out({.features = at::ones({10, 12}), .targets = train.targets}, test, 1),
               DataError);
  EXPECT_THROW((void)read_out(
                   train, {.features = test.features.narrow(1, 0, 11), .targets = test.targets}, 1),
               ContractViolation);
}

}  // namespace
}  // namespace viewfold
