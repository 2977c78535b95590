// Tests of the numbers of spread.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;

EvaluationResult spectrum(const at::Tensor& features, const std::string& images = "10000") {
  const auto& entry = find_evaluation("spectrum");
  const auto config = entry.config();
  ConfigSource source;
  source.set("images", images, "test");
  read_config(*config, source);
  const FeatureSet set{.features = features.to(at::kFloat).contiguous(),
                       .labels = at::zeros({features.size(0)}, at::kLong)};
  return entry.run({.train = set, .test = set, .classes = {}, .seed = 1}, *config);
}

double number(const at::Tensor& features, const std::string& name) {
  return spectrum(features).numbers.at(name);
}

at::Tensor rows(const std::vector<std::vector<float>>& values) {
  std::vector<at::Tensor> all;
  for (const auto& row : values) {
    all.push_back(at::tensor(row));
  }
  return at::stack(all);
}

// Values in [0, 1).
at::Tensor uniform_matrix(std::int64_t count, std::int64_t width, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "test"});
  std::vector<double> values;
  for (std::int64_t i = 0; i < count * width; ++i) {
    values.push_back(rng.uniform());
  }
  return at::tensor(values, at::kDouble).view({count, width});
}

// [width, D], rows of unit length at right angles.
at::Tensor frame(std::int64_t width, std::int64_t d, std::uint64_t seed) {
  const auto q = std::get<0>(at::linalg_qr(normal_matrix(d, width, seed).to(at::kDouble)));
  return q.t().contiguous();
}

TEST(Spectrum, GivesUniformityOfMinusEightForAntipodalPoints) {
  EXPECT_NEAR(number(rows({{3.0F, 0.0F}, {-0.5F, 0.0F}}), "uniformity"), -8.0, 1e-6);
}

TEST(Spectrum, GivesUniformityOfMinusFourForPointsAtRightAngles) {
  EXPECT_NEAR(number(at::eye(6) * 7.0, "uniformity"), -4.0, 1e-6);
}

TEST(Spectrum, GivesUniformityOfZeroForCollapsedFeatures) {
  EXPECT_NEAR(number(at::full({5, 3}, 0.7), "uniformity"), 0.0, 1e-5);
}

TEST(Spectrum, EqualsTheUniformityOfACircle) {
  // exp(-2 (2 - 2 cos)) sums to n I_0(4) exp(-4) over a round, with each point itself at 1. More
  // points than one block of rows holds.
  constexpr std::int64_t kPoints = 2100;
  const auto angle = at::arange(kPoints, at::kDouble) * (2.0 * M_PI / kPoints);
  const auto circle = at::stack({angle.cos(), angle.sin()}, 1);
  const double mean = std::cyl_bessel_i(0.0, 4.0) * std::exp(-4.0);
  EXPECT_NEAR(number(circle, "uniformity"), std::log((kPoints * mean - 1.0) / (kPoints - 1.0)),
              1e-5);
}

TEST(Spectrum, EqualsUniformityByLoops) {
  const auto features = normal_matrix(30, 4, 1);
  const auto wide = features.to(at::kDouble);
  const auto unit = wide / wide.norm(2, {1}, true);
  double sum = 0.0;
  for (std::int64_t i = 0; i < 30; ++i) {
    for (std::int64_t j = 0; j < 30; ++j) {
      sum += i == j ? 0.0 : std::exp(-2.0 * (unit[i] - unit[j]).square().sum().item<double>());
    }
  }
  EXPECT_NEAR(number(features, "uniformity"), std::log(sum / (30.0 * 29.0)), 1e-6);
}

TEST(Spectrum, CountsEqualSingularValues) {
  EXPECT_NEAR(number(at::eye(5) * 3.0, "effective_rank"), 5.0, 1e-3);
  EXPECT_NEAR(number(frame(3, 8, 2), "effective_rank"), 3.0, 1e-3);  // fewer rows than dimensions
  EXPECT_NEAR(number(at::ones({7, 4}), "effective_rank"), 1.0, 1e-3);
}

TEST(Spectrum, WeighsSingularValuesByTheirEntropy) {
  const double entropy = -0.75 * std::log(0.75) - 0.25 * std::log(0.25);
  EXPECT_NEAR(number(rows({{3.0F, 0.0F}, {0.0F, 1.0F}}), "effective_rank"), std::exp(entropy),
              1e-4);
}

TEST(Spectrum, RanksIsotropicFeaturesNearTheirWidth) {
  const auto features = normal_matrix(4000, 16, 3);
  EXPECT_NEAR(number(features, "effective_rank"), 16.0, 0.1);
  EXPECT_NEAR(number(features, "participation_ratio"), 16.0, 0.2);
}

TEST(Spectrum, SeesNoMoreDirectionsThanThereAre) {
  const auto flat = normal_matrix(500, 3, 4).to(at::kDouble).mm(frame(3, 24, 5));
  EXPECT_NEAR(number(flat, "effective_rank"), 3.0, 0.1);
  EXPECT_NEAR(number(flat, "participation_ratio"), 3.0, 0.1);
}

TEST(Spectrum, TakesParticipationOfVariancesWhateverTheMean) {
  // Variances of 4 to 1: (4 + 1)^2 / (4^2 + 1^2).
  const auto cross = rows({{2.0F, 0.0F}, {-2.0F, 0.0F}, {0.0F, 1.0F}, {0.0F, -1.0F}});
  EXPECT_NEAR(number(cross + 10.0, "participation_ratio"), 25.0 / 17.0, 1e-6);
  const auto wide = at::cat({cross, at::zeros({4, 9})}, 1);  // fewer rows than dimensions
  EXPECT_NEAR(number(wide + 10.0, "participation_ratio"), 25.0 / 17.0, 1e-6);
}

TEST(Spectrum, EqualsTwoNearestNeighboursByHand) {
  // At 0, 1 and 3 the ratios are 3, 2 and 1.5; the largest of them is left out.
  const auto line = at::tensor({0.0, 1.0, 3.0}, at::kDouble).unsqueeze(1).mm(frame(1, 5, 6));
  const double a = std::log(1.5);
  const double b = std::log(2.0);
  const double slope = (a * -std::log(2.0 / 3.0) + b * -std::log(1.0 / 3.0)) / (a * a + b * b);
  EXPECT_NEAR(number(line, "intrinsic_dimension"), slope, 1e-5);
}

TEST(Spectrum, FindsTheDimensionOfALineAPlaneAndASpace) {
  // The slope of n rows deviates by about d / sqrt(n): here are three deviations.
  for (const std::int64_t d : {1, 2, 3}) {
    const auto flat = uniform_matrix(1500, d, 7).mm(frame(d, 20, 8)) + 1.0;
    const double width = static_cast<double>(d);
    EXPECT_NEAR(number(flat, "intrinsic_dimension"), width, 0.08 * width) << d;
  }
}

TEST(Spectrum, LeavesRowsThatComeTwiceOutOfTheDimension) {
  const auto once = uniform_matrix(600, 2, 9).to(at::kFloat);
  const auto twice = at::cat({once, once.narrow(0, 0, 50)});
  EXPECT_NEAR(number(twice, "intrinsic_dimension"), 2.0, 0.3);
}

TEST(Spectrum, CountsDimensionsThatDoNotVary) {
  auto features = normal_matrix(40, 5, 10);
  features.select(1, 1).fill_(1234.567F);
  features.select(1, 3).fill_(-0.1F);
  EXPECT_DOUBLE_EQ(number(features, "dead_features"), 0.4);
  EXPECT_DOUBLE_EQ(number(normal_matrix(40, 5, 10), "dead_features"), 0.0);
}

TEST(Spectrum, LeavesOutWhatCollapsedFeaturesDoNotHave) {
  const auto numbers = spectrum(at::full({10, 4}, 0.3)).numbers;
  EXPECT_EQ(numbers.at("dead_features"), 1.0);
  EXPECT_FALSE(numbers.contains("participation_ratio"));
  EXPECT_FALSE(numbers.contains("intrinsic_dimension"));
  EXPECT_FALSE(spectrum(at::zeros({10, 4})).numbers.contains("effective_rank"));
  EXPECT_FALSE(spectrum(at::ones({1, 4})).numbers.contains("uniformity"));
}

TEST(Spectrum, DoesNotDependOnTheUnit) {
  const auto features = normal_matrix(100, 6, 11);
  const auto small = spectrum(features).numbers;
  for (const auto& [name, value] : spectrum(features * 1024.0).numbers) {
    EXPECT_NEAR(value, small.at(name), 1e-6 * std::abs(value)) << name;
  }
}

TEST(Spectrum, DrawsNoMoreImagesThanAsked) {
  const auto result = spectrum(normal_matrix(300, 8, 12), "5");
  EXPECT_NE(result.protocol.find("of 5 of 300 test images"), std::string::npos) << result.protocol;
  EXPECT_LT(result.numbers.at("effective_rank"), 5.001);  // five rows have no more
}

TEST(Spectrum, TellsClassesByTheirNearestMean) {
  const auto& entry = find_evaluation("spectrum");
  const FeatureSet train{
      .features = rows({{5.0F, 0.1F}, {1.0F, 0.3F}, {0.0F, 2.0F}, {-1.0F, 0.0F}}),
      .labels = at::tensor({0, 0, 2, 5}, at::kLong)};
  const FeatureSet test{.features = rows({{9.0F, 1.0F}, {0.1F, 0.4F}, {-3.0F, 1.0F}, {3.0F, 1.0F}}),
                        .labels = at::tensor({0, 2, 5, 2}, at::kLong)};
  const auto result = entry.run({.train = train, .test = test, .classes = {}}, *entry.config());
  EXPECT_EQ(result.numbers.at("accuracy"), 0.75);
  EXPECT_EQ(result.confusion[2][0], 1);
}

}  // namespace
}  // namespace viewfold
