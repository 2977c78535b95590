// Tests of whitened similarity and distance.
#include "viewfold/eval/invariance.hpp"

#include <cmath>
#include <limits>
#include <string>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double largest(const at::Tensor& values) {
  return values.abs().max().item<double>();
}

at::Tensor covariance_of(const at::Tensor& rows) {
  const auto centred = rows - rows.mean(0);
  return centred.t().mm(centred) / static_cast<double>(rows.size(0) - 1);
}

/// Features whose dimensions depend on each other, with standard deviations from 0.1 to about 10
/// and means of about 100.
at::Tensor correlated(std::int64_t count, std::int64_t dim, std::uint64_t seed) {
  const auto mixing = normal_tensor({dim, dim}, seed) + 2.0 * at::eye(dim, at::kDouble);
  const auto scale = at::logspace(-1.0, 1.0, dim, 10.0, at::TensorOptions(at::kDouble));
  return normal_tensor({count, dim}, seed + 1).mm(mixing) * scale + 100.0;
}

at::Tensor plain_cosine(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(1) / (a.norm(2, 1) * b.norm(2, 1));
}

/// [2, 2] rows of length 2 and 3 at an angle whose cosine is s.
at::Tensor two_views(double s) {
  return at::tensor({2.0, 0.0, 3.0 * s, 3.0 * std::sqrt(1.0 - s * s)}, at::kDouble).reshape({2, 2});
}

TEST(Whitening, GivesTheFeaturesItWasFittedToMeanZeroAndCovarianceOne) {
  const auto features = correlated(200, 8, 1);
  const auto white = Whitening::fit(features, 0.0).apply(features);
  EXPECT_EQ(white.scalar_type(), at::kDouble);
  EXPECT_TRUE(white.is_contiguous());
  EXPECT_LT(largest(white.mean(0)), 1e-8);
  EXPECT_LT(largest(covariance_of(white) - at::eye(8, at::kDouble)), 1e-8);
}

TEST(Whitening, OfFloatFeaturesIsComputedInDouble) {
  const auto features = correlated(200, 8, 2).to(at::kFloat);
  const auto white = Whitening::fit(features, 0.0).apply(features);
  EXPECT_LT(largest(covariance_of(white) - at::eye(8, at::kDouble)), 1e-8);
}

TEST(Whitening, AddsItsRidgeToEveryVariance) {
  // The eigenvalues of the whitened covariance are then l / (l + ridge).
  auto features = normal_tensor({300, 4}, 3);
  features.select(1, 3).mul_(1e-3);  // varies about as little as the ridge below
  const auto covariance = covariance_of(features);
  const auto whitening = Whitening::fit(features, 1e-6);
  const double ridge = 1e-6 * covariance.trace().item<double>() / 4.0;
  EXPECT_NEAR(whitening.ridge(), ridge, 1e-12 * ridge);
  const auto values = at::linalg_eigvalsh(covariance);
  const auto white = at::linalg_eigvalsh(covariance_of(whitening.apply(features)));
  EXPECT_LT(largest(white - values / (values + ridge)), 1e-9);
  EXPECT_LT(white.min().item<double>(), 0.9);
}

TEST(Whitening, HasARidgeOfAMillionthOfTheMeanVarianceByDefault) {
  const auto features = correlated(100, 5, 4);
  const double mean_variance = covariance_of(features).diagonal().mean().item<double>();
  const auto whitening = Whitening::fit(features);
  EXPECT_NEAR(whitening.ridge() / mean_variance, 1e-6, 1e-15);
  EXPECT_EQ(whitening.images(), 100);
  EXPECT_EQ(whitening.dim(), 5);
}

TEST(Whitening, MakesDistancesThoseOfMahalanobis) {
  const auto features = correlated(150, 6, 5);
  const auto whitening = Whitening::fit(features);
  const auto inverse =
      at::linalg_inv(covariance_of(features) + whitening.ridge() * at::eye(6, at::kDouble));
  const auto a = correlated(10, 6, 6);
  const auto b = correlated(10, 6, 7);
  const auto distance = mahalanobis_distance(whitening.apply(a), whitening.apply(b));
  ASSERT_EQ(distance.sizes(), (std::vector<std::int64_t>{10}));
  for (std::int64_t i = 0; i < 10; ++i) {
    const auto d = a[i] - b[i];
    const double expected = std::sqrt(d.dot(inverse.mv(d)).item<double>());
    EXPECT_NEAR(distance[i].item<double>(), expected, 1e-8 * expected) << i;
  }
}

TEST(Whitening, ForgetsInvertibleAffineMapsOfTheFeatures) {
  const auto features = correlated(200, 6, 8);
  const auto other = correlated(200, 6, 9);
  const auto mixing = normal_tensor({6, 6}, 10) + 2.0 * at::eye(6, at::kDouble);
  const auto shift = normal_tensor({6}, 11) * 50.0;
  const auto map = [&](const at::Tensor& rows) { return rows.mm(mixing) + shift; };
  const auto before = Whitening::fit(features, 0.0);
  const auto after = Whitening::fit(map(features), 0.0);
  const auto f = before.apply(features);
  const auto g = before.apply(other);
  const auto mapped_f = after.apply(map(features));
  const auto mapped_g = after.apply(map(other));
  EXPECT_LT(largest(mahalanobis_distance(mapped_f, mapped_g) / mahalanobis_distance(f, g) - 1.0),
            1e-8);
  EXPECT_LT(largest(whitened_cosine(mapped_f, mapped_g) - whitened_cosine(f, g)), 1e-8);
  EXPECT_GT(largest(plain_cosine(map(features), map(other)) - plain_cosine(features, other)), 1e-3);
}

TEST(Whitening, WithItsRidgeForgetsTurnsShiftsAndOneScale) {
  const auto features = correlated(200, 6, 12);
  const auto turn = std::get<0>(at::linalg_qr(normal_tensor({6, 6}, 13)));
  const auto map = [&](const at::Tensor& rows) { return 7.0 * rows.mm(turn) - 30.0; };
  const auto f = Whitening::fit(features, 0.1).apply(features);
  const auto mapped = Whitening::fit(map(features), 0.1).apply(map(features));
  EXPECT_LT(largest(whitened_cosine(mapped, mapped.flip(0)) - whitened_cosine(f, f.flip(0))), 1e-8);
}

TEST(Whitening, SaysHowManyImagesItNeeds) {
  const auto features = normal_tensor({16, 8}, 14);
  EXPECT_NO_THROW((void)Whitening::fit(features));
  try {
    (void)Whitening::fit(features.narrow(0, 0, 15));
    FAIL() << "15 images were enough for 8 dimensions";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("16 images"), std::string::npos) << error.what();
  }
}

TEST(Whitening, TakesADimensionThatDoesNotVary) {
  auto features = normal_tensor({100, 4}, 15);
  features.select(1, 2).fill_(3.0);
  const auto white = Whitening::fit(features).apply(features);
  EXPECT_TRUE(white.isfinite().all().item<bool>());
  EXPECT_THROW((void)Whitening::fit(features, 0.0), DataError);
}

TEST(Whitening, RefusesWhatCannotBeWhitened) {
  EXPECT_THROW((void)Whitening::fit(at::full({100, 4}, 0.1, at::kDouble)), DataError);
  auto features = normal_tensor({100, 4}, 16);
  EXPECT_THROW((void)Whitening::fit(features.to(at::kLong)), ContractViolation);
  EXPECT_THROW((void)Whitening::fit(features, -1.0), ContractViolation);
  EXPECT_THROW((void)Whitening::fit(features).apply(normal_tensor({3, 5}, 17)), ContractViolation);
  features[7][1] = kNaN;
  EXPECT_THROW((void)Whitening::fit(features), ContractViolation);
}

TEST(Whitening, KeepsANaNInItsRow) {
  const auto whitening = Whitening::fit(normal_tensor({100, 4}, 18));
  auto features = normal_tensor({5, 4}, 19);
  const auto expected = whitening.apply(features);
  features[2][0] = kNaN;
  const auto white = whitening.apply(features);
  EXPECT_TRUE(white[2].isnan().any().item<bool>());
  for (const std::int64_t row : {0, 1, 3, 4}) {
    EXPECT_LT(largest(white[row] - expected[row]), 1e-12) << row;
  }
}

TEST(WhitenedCosine, IsOneForARowAndItselfAndMinusOneForItsOpposite) {
  const auto rows = normal_tensor({50, 7}, 20);
  EXPECT_TRUE(whitened_cosine(rows, rows).eq(1.0).all().item<bool>());
  EXPECT_LT(largest(whitened_cosine(rows, -3.0 * rows) + 1.0), 1e-12);
  EXPECT_TRUE(mahalanobis_distance(rows, rows).eq(0.0).all().item<bool>());
}

TEST(WhitenedCosine, IsNotDefinedForARowWithoutDirection) {
  auto rows = normal_tensor({3, 4}, 21);
  rows[1].zero_();
  const auto cosine = whitened_cosine(rows, normal_tensor({3, 4}, 22));
  EXPECT_TRUE(cosine.isnan().equal(at::tensor({0, 1, 0}, at::kLong).to(at::kBool)));
}

TEST(WhitenedCosine, RefusesRowsThatDoNotFit) {
  const auto rows = normal_tensor({3, 4}, 23);
  EXPECT_THROW((void)whitened_cosine(rows, rows.narrow(0, 0, 2)), ContractViolation);
  EXPECT_THROW((void)whitened_cosine(rows, rows.to(at::kFloat)), ContractViolation);
  EXPECT_THROW((void)mahalanobis_distance(rows, rows.narrow(1, 0, 3)), ContractViolation);
}

TEST(MeanOverGrid, OfFeaturesThatChangeWithEverythingIsNearZero) {
  constexpr std::int64_t kStrengths = 8;
  constexpr std::int64_t kImages = 200;
  constexpr std::int64_t kDim = 16;
  const auto whitening = Whitening::fit(normal_tensor({2000, kDim}, 24));
  const auto f = whitening.apply(normal_tensor({kImages, kDim}, 25));
  const auto changed = whitening.apply(normal_tensor({kStrengths * kImages, kDim}, 26));
  const auto cosine = whitened_cosine(f.repeat({kStrengths, 1}), changed);
  const auto similarity = mean_over_grid(cosine.reshape({kStrengths, kImages}));
  EXPECT_EQ(similarity.counted, kStrengths * kImages);
  EXPECT_LT(std::abs(similarity.mean),
            3.0 / std::sqrt(static_cast<double>(kStrengths * kImages * kDim)));
}

TEST(MeanOverGrid, IgnoresAndCountsWhatIsNotDefined) {
  const auto values = at::tensor({0.5, kNaN, 0.25, kNaN, 0.75, 0.5}, at::kDouble).reshape({2, 3});
  const auto mean = mean_over_grid(values);
  EXPECT_DOUBLE_EQ(mean.mean, 0.5);
  EXPECT_EQ(mean.counted, 4);
  EXPECT_EQ(mean.ignored, 2);
  const auto nothing = mean_over_grid(at::full({3}, kNaN, at::kDouble));
  EXPECT_TRUE(std::isnan(nothing.mean));
  EXPECT_EQ(nothing.counted, 0);
  EXPECT_EQ(nothing.ignored, 3);
}

TEST(SetSimilarity, IsOneForIdenticalViews) {
  const auto views = normal_tensor({4, 1, 9}, 27).repeat({1, 30, 1});
  const auto similarity = set_similarity(views);
  EXPECT_NEAR(similarity.with_diagonal.mean, 1.0, 1e-12);
  EXPECT_NEAR(similarity.off_diagonal.mean, 1.0, 1e-12);
  EXPECT_EQ(similarity.distance.mean, 0.0);
}

TEST(SetSimilarity, OfTwoViewsIsHalfwayToTheirCosine) {
  for (const double s : {-0.6, 0.0, 0.8}) {
    const auto views = two_views(s);
    const auto similarity = set_similarity(views.unsqueeze(0));
    EXPECT_NEAR(similarity.with_diagonal.mean, (1.0 + s) / 2.0, 1e-12);
    EXPECT_NEAR(similarity.off_diagonal.mean, s, 1e-12);
    EXPECT_NEAR(similarity.distance.mean, std::sqrt(4.0 + 9.0 - 12.0 * s), 1e-12);
  }
}

TEST(SetSimilarity, IsTheMeanOverPairsByLoops) {
  constexpr std::int64_t kObjects = 3;
  constexpr std::int64_t kViews = 5;
  const auto views = normal_tensor({kObjects, kViews, 4}, 28);
  double all = 0.0;
  double different = 0.0;
  double distance = 0.0;
  for (std::int64_t n = 0; n < kObjects; ++n) {
    for (std::int64_t i = 0; i < kViews; ++i) {
      for (std::int64_t j = 0; j < kViews; ++j) {
        const auto a = views[n][i];
        const auto b = views[n][j];
        const double cosine = (a.dot(b) / (a.norm() * b.norm())).item<double>();
        all += cosine;
        different += i == j ? 0.0 : cosine;
        distance += (a - b).norm().item<double>();
      }
    }
  }
  const auto similarity = set_similarity(views);
  EXPECT_NEAR(similarity.with_diagonal.mean, all / (kObjects * kViews * kViews), 1e-12);
  EXPECT_NEAR(similarity.off_diagonal.mean, different / (kObjects * kViews * (kViews - 1)), 1e-12);
  EXPECT_NEAR(similarity.distance.mean, distance / (kObjects * kViews * (kViews - 1)), 1e-12);
  EXPECT_EQ(similarity.with_diagonal.counted, kObjects * kViews * kViews);
  EXPECT_EQ(similarity.off_diagonal.counted, kObjects * kViews * (kViews - 1));
}

TEST(SetSimilarity, LeavesOutViewsThatAreNotDefinedButWeighsObjectsAlike) {
  const double s = 0.6;
  const auto nothing = at::full({1, 2}, kNaN, at::kDouble);
  const auto alike = at::ones({3, 2}, at::kDouble);
  const auto similarity =
      set_similarity(at::stack({at::cat({two_views(s), nothing}), alike}));  // [2, 3, 2]
  EXPECT_NEAR(similarity.with_diagonal.mean, ((1.0 + s) / 2.0 + 1.0) / 2.0, 1e-12);
  EXPECT_NEAR(similarity.off_diagonal.mean, (s + 1.0) / 2.0, 1e-12);
  EXPECT_EQ(similarity.with_diagonal.ignored, 5);
  EXPECT_EQ(similarity.off_diagonal.ignored, 4);
  EXPECT_EQ(similarity.distance.ignored, 4);
}

TEST(SetSimilarity, NeedsTwoViews) {
  EXPECT_THROW((void)set_similarity(normal_tensor({3, 1, 4}, 29)), ContractViolation);
  EXPECT_THROW((void)set_similarity(normal_tensor({3, 4}, 30)), ContractViolation);
}

}  // namespace
}  // namespace viewfold
