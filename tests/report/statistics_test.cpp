// Tests of mean, spread and interval against numbers from tables and by hand.
#include "viewfold/report/statistics.hpp"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

TEST(Summarise, GivesMeanAndDeviationWithNMinus1) {
  const auto summary = summarise(std::vector{1.0, 2.0, 6.0});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->n, 3U);
  EXPECT_DOUBLE_EQ(summary->mean, 3.0);
  EXPECT_DOUBLE_EQ(summary->sd.value(), std::sqrt(7.0));  // (4 + 1 + 9) / 2
}

TEST(Summarise, NothingHasNoMeanAndOneNumberNoDeviation) {
  EXPECT_FALSE(summarise({}));
  const auto summary = summarise(std::vector{0.25});
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->mean, 0.25);
  EXPECT_FALSE(summary->sd);
  EXPECT_FALSE(mean_interval(*summary));
}

TEST(TQuantile, AgreesWithPrintedTables) {
  // Two-sided 95 %, degrees of freedom 1, 2, 3, 4, 5, 9, 10, 30, 120.
  constexpr double kTolerance = 5e-4;  // three decimals are printed
  EXPECT_NEAR(t_quantile(0.95, 1), 12.706, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 2), 4.303, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 3), 3.182, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 4), 2.776, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 5), 2.571, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 9), 2.262, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 10), 2.228, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 30), 2.042, kTolerance);
  EXPECT_NEAR(t_quantile(0.95, 120), 1.980, kTolerance);
  EXPECT_NEAR(t_quantile(0.99, 2), 9.925, kTolerance);
  EXPECT_NEAR(t_quantile(0.50, 3), 0.765, kTolerance);
}

TEST(TQuantile, EqualsTheClosedFormsOfOneAndTwoDegrees) {
  for (const double coverage : {0.0, 0.1, 0.5, 0.9, 0.999}) {
    EXPECT_NEAR(t_quantile(coverage, 1), std::tan(coverage * std::acos(0.0)),
                1e-10 * (1.0 + t_quantile(coverage, 1)));
    // P = t / sqrt(2 + t^2)
    const double t = coverage * std::sqrt(2.0 / (1.0 - coverage * coverage));
    EXPECT_NEAR(t_quantile(coverage, 2), t, 1e-10 * (1.0 + t));
  }
}

TEST(TQuantile, RefusesWhatHasNoQuantile) {
  EXPECT_THROW((void)t_quantile(0.95, 0), ContractViolation);
  EXPECT_THROW((void)t_quantile(1.0, 3), ContractViolation);
}

TEST(MeanInterval, IsWhatOneComputesByHand) {
  // n = 2: mean 2, sd sqrt(2), half width 12.7062 * sqrt(2) / sqrt(2).
  const auto two = mean_interval(*summarise(std::vector{1.0, 3.0}));
  ASSERT_TRUE(two);
  EXPECT_NEAR(two->low, 2.0 - 12.7062, 1e-4);
  EXPECT_NEAR(two->high, 2.0 + 12.7062, 1e-4);
  // n = 3: mean 3, sd sqrt(7), half width 4.30265 * 1.52753.
  const auto three = mean_interval(*summarise(std::vector{1.0, 2.0, 6.0}));
  ASSERT_TRUE(three);
  EXPECT_NEAR(three->low, 3.0 - 6.57242, 1e-4);
  EXPECT_NEAR(three->high, 3.0 + 6.57242, 1e-4);
  // n = 5: mean 3, sd sqrt(2.5), half width 2.77645 * 0.707107.
  const auto five = mean_interval(*summarise(std::vector{1.0, 2.0, 3.0, 4.0, 5.0}));
  ASSERT_TRUE(five);
  EXPECT_NEAR(five->low, 3.0 - 1.96324, 1e-4);
  EXPECT_NEAR(five->high, 3.0 + 1.96324, 1e-4);
}

}  // namespace
}  // namespace viewfold::report
