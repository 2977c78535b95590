// Tests of maps of features, of how far they can be trusted, and of sheets of thumbnails.
#include "viewfold/eval/embedding_map.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <vector>

#include "core/test_folder.hpp"
#include "eval/small_sets.hpp"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using testing::ImageList;
using testing::normal_matrix;
using testing::random_image;

// Three heaps of `each` rows around axes of their own: [3 each, 8], heap by heap.
at::Tensor three_heaps(std::int64_t each) {
  auto rows = normal_matrix(3 * each, 8, 1) * 0.05;
  for (std::int64_t i = 0; i < 3 * each; ++i) {
    rows[i][i / each] += 1.0;
  }
  return rows;
}

// Points on the unit circle at these angles: their order along it is that of their distances.
at::Tensor on_circle(const std::vector<double>& angles) {
  const auto values = at::tensor(angles, at::kDouble);
  return at::stack({values.cos(), values.sin()}, 1).to(at::kFloat);
}

at::Tensor on_line(const std::vector<double>& places) {
  const auto values = at::tensor(places, at::kDouble);
  return at::stack({values, at::zeros_like(values)}, 1);
}

double distance(const at::Tensor& rows, std::int64_t a, std::int64_t b) {
  return (rows[a] - rows[b]).norm().item<double>();
}

TEST(NeighbourProbabilities, HaveThePerplexityThatIsAskedFor) {
  const auto features = normal_matrix(60, 5, 2);
  for (const double perplexity : {2.0, 7.5, 30.0}) {
    const auto rows = neighbour_probabilities(features, perplexity);
    ASSERT_EQ(rows.sizes(), (std::vector<std::int64_t>{60, 60}));
    for (std::int64_t i = 0; i < 60; ++i) {
      double sum = 0.0;
      double entropy = 0.0;
      for (std::int64_t j = 0; j < 60; ++j) {
        const double p = rows[i][j].item<double>();
        sum += p;
        entropy -= p > 0.0 ? p * std::log(p) : 0.0;
      }
      EXPECT_NEAR(sum, 1.0, 1e-12);
      EXPECT_NEAR(std::exp(entropy), perplexity, 2e-5 * perplexity);
      EXPECT_EQ(rows[i][i].item<double>(), 0.0);
    }
  }
}

TEST(NeighbourProbabilities, AreGaussianInTheDistanceOfUnitRows) {
  const auto features = normal_matrix(20, 4, 3);
  const auto unit = features.to(at::kDouble) / features.to(at::kDouble).norm(2, 1, true);
  const auto rows = neighbour_probabilities(features, 6.0);
  for (std::int64_t i = 0; i < 20; ++i) {
    const auto log_of = [&](std::int64_t j) { return std::log(rows[i][j].item<double>()); };
    const auto square = [&](std::int64_t j) { return std::pow(distance(unit, i, j), 2); };
    const std::int64_t a = (i + 1) % 20;
    const std::int64_t b = (i + 2) % 20;
    const double precision = (log_of(a) - log_of(b)) / (square(b) - square(a));
    EXPECT_GT(precision, 0.0);
    for (std::int64_t j = 0; j < 20; ++j) {
      if (j != i) {
        EXPECT_NEAR(log_of(a) - log_of(j), precision * (square(j) - square(a)), 1e-6);
      }
    }
  }
}

TEST(NeighbourProbabilities, AreEvenOverRowsEquallyFarAway) {
  const auto rows = neighbour_probabilities(at::eye(9).to(at::kFloat), 3.0);
  const auto expected = (at::ones({9, 9}, at::kDouble) - at::eye(9, at::kDouble)) / 8.0;
  EXPECT_LT((rows - expected).abs().max().item<double>(), 1e-5);
}

TEST(EmbeddingMap, BringsThreeEquallyFarPointsAsFarApart) {
  const auto map =
      embedding_map(at::eye(3).to(at::kFloat), {.perplexity = 1.5, .iterations = 5000});
  const double side = distance(map.points, 0, 1);
  EXPECT_GT(side, 0.0);
  EXPECT_NEAR(distance(map.points, 0, 2) / side, 1.0, 1e-2);  // forces fade with distance
  EXPECT_NEAR(distance(map.points, 1, 2) / side, 1.0, 1e-2);
  EXPECT_NEAR(map.divergence, 0.0, 1e-5);
}

TEST(EmbeddingMap, KeepsHeapsApart) {
  const auto map = embedding_map(three_heaps(40), {.perplexity = 10.0, .iterations = 400});
  ASSERT_EQ(map.points.sizes(), (std::vector<std::int64_t>{120, 2}));
  for (std::int64_t i = 0; i < 120; ++i) {
    double nearest = std::numeric_limits<double>::infinity();
    std::int64_t which = -1;
    const auto distances = (map.points - map.points[i]).norm(2, 1);
    for (std::int64_t j = 0; j < 120; ++j) {
      if (j != i && distances[j].item<double>() < nearest) {
        nearest = distances[j].item<double>();
        which = j;
      }
    }
    EXPECT_EQ(which / 40, i / 40);
  }
  EXPECT_LT(map.points.mean(0).abs().max().item<double>(), 1e-9);
  EXPECT_EQ(map.trustworthiness, trustworthiness(three_heaps(40), map.points, 10));
  EXPECT_GT(map.trustworthiness, 0.9);
}

// The divergence by loops, with its gradient at the points.
std::pair<double, at::Tensor> divergence_of(const at::Tensor& features,
                                            const at::Tensor& points,
                                            double perplexity) {
  const auto one_way = neighbour_probabilities(features, perplexity);
  const std::int64_t count = points.size(0);
  const auto p = (one_way + one_way.t()) / (2.0 * static_cast<double>(count));
  const auto y = points.clone().requires_grad_(true);
  const auto squares = (y.unsqueeze(0) - y.unsqueeze(1)).square().sum(2);
  const auto off = 1.0 - at::eye(count, at::kDouble);
  const auto nearness = off / (1.0 + squares);
  const auto q = nearness / nearness.sum();
  const auto terms = p * ((p + 1e-300).log() - (q + (1.0 - off)).log()) * off;
  const auto sum = terms.sum();
  sum.backward();
  return {sum.item<double>(), y.grad()};
}

TEST(EmbeddingMap, EndsNearAMinimumOfTheDivergence) {
  const auto features = three_heaps(15);
  const auto early = embedding_map(features, {.perplexity = 8.0, .iterations = 300});
  const auto late = embedding_map(features, {.perplexity = 8.0, .iterations = 2000});
  const auto [value, gradient] = divergence_of(features, late.points, 8.0);
  EXPECT_NEAR(late.divergence, value, 1e-5);
  EXPECT_LT(late.divergence, early.divergence);
  EXPECT_LT(gradient.abs().max().item<double>(), 1e-3 * late.points.abs().max().item<double>());
  EXPECT_LT(gradient.norm().item<double>(), 1e-3);
}

TEST(EmbeddingMap, HasTheSameBitsWhateverTheThreads) {
  const auto features = normal_matrix(150, 20, 4);
  const int before = at::get_num_threads();
  const EmbeddingMapSpec spec{.perplexity = 12.0, .iterations = 300, .seed = 5};
  at::set_num_threads(1);
  const auto one = embedding_map(features, spec);
  at::set_num_threads(3);
  const auto three = embedding_map(features, spec);
  at::set_num_threads(before);
  EXPECT_TRUE(one.points.equal(three.points));
  EXPECT_EQ(one.divergence, three.divergence);
  EmbeddingMapSpec other = spec;
  other.seed = 6;
  EXPECT_FALSE(embedding_map(features, other).points.equal(one.points));
}

TEST(EmbeddingMap, TakesEqualRowsRowsOfZerosAndOneColumn) {
  auto features = three_heaps(20);
  features.narrow(0, 0, 15).copy_(features[0].clone());
  features[30].zero_();
  const auto map = embedding_map(features, {.perplexity = 5.0, .iterations = 300});
  EXPECT_TRUE(map.points.isfinite().all().item<bool>());
  EXPECT_TRUE(std::isfinite(map.divergence));
  const auto one_column = at::linspace(-1.0, 1.0, 20).unsqueeze(1);
  EXPECT_TRUE(embedding_map(one_column, {.perplexity = 5.0, .iterations = 300})
                  .points.isfinite()
                  .all()
                  .item<bool>());
}

TEST(EmbeddingMap, ReportsProgressUpToTheEnd) {
  std::vector<std::int64_t> seen;
  (void)embedding_map(
      three_heaps(10),
      {.perplexity = 5.0, .iterations = 120, .progress = [&](std::int64_t done, std::int64_t all) {
         EXPECT_EQ(all, 120);
         seen.push_back(done);
       }});
  EXPECT_EQ(seen, (std::vector<std::int64_t>{50, 100, 120}));
}

TEST(EmbeddingMap, RefusesWhatItCannotMap) {
  const auto map = [](const at::Tensor& features, double perplexity, std::int64_t iterations = 1) {
    (void)embedding_map(features, {.perplexity = perplexity, .iterations = iterations});
  };
  EXPECT_THROW(map(normal_matrix(31, 3, 1), 30.0), UsageError);
  EXPECT_NO_THROW(map(normal_matrix(32, 3, 1), 30.0));
  EXPECT_THROW(map(normal_matrix(32, 3, 1), 1.0), UsageError);
  EXPECT_THROW(map(normal_matrix(32, 3, 1), std::nan("")), UsageError);
  EXPECT_THROW(map(normal_matrix(32, 3, 1), 5.0, 0), UsageError);
  EXPECT_THROW(map(normal_matrix(kMostMapPoints + 1, 1, 1), 5.0), UsageError);
  EXPECT_THROW(map(at::ones({32, 3}) * at::arange(1, 33).unsqueeze(1), 5.0), DataError);
  EXPECT_THROW(map(normal_matrix(32, 3, 1).to(at::kDouble), 5.0), ContractViolation);
  auto holed = normal_matrix(32, 3, 1);
  holed[3][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(map(holed, 5.0), ContractViolation);
}

TEST(Trustworthiness, IsOneWhenTheMapKeepsAllNeighbours) {
  const std::vector<double> angles{0.0, 0.1, 0.23, 0.4, 0.61, 0.85, 1.1, 1.4};
  for (const std::int64_t k : {1, 2, 3}) {
    EXPECT_DOUBLE_EQ(trustworthiness(on_circle(angles), on_line(angles), k), 1.0);
  }
}

TEST(Trustworthiness, CountsTheRanksOfIntruders) {
  // In truth 0 1 2 3 4 in a row; on the map point 4 has come between 0 and 1. Nearest in truth:
  // 0-1, 1-0, 2-1, 3-2, 4-3. On the map: 0-4 (rank 4), 4-0 (rank 4), 1-4 (rank 4), 2-1, 3-2.
  const auto truth = on_circle({0.0, 0.1, 0.21, 0.33, 0.46});
  const auto map = on_line({0.0, 0.2, 0.5, 0.9, 0.09});
  const double intruders = 3.0 * (4.0 - 1.0);
  EXPECT_DOUBLE_EQ(trustworthiness(truth, map, 1),
                   1.0 - 2.0 / (5.0 * 1.0 * (10.0 - 3.0 - 1.0)) * intruders);
}

TEST(Trustworthiness, IsThatOfFullRankings) {
  constexpr std::int64_t kCount = 40;
  const auto features = normal_matrix(kCount, 6, 7);
  const auto points = normal_matrix(kCount, 2, 8).to(at::kDouble);
  const auto unit = features.to(at::kDouble) / features.to(at::kDouble).norm(2, 1, true);
  for (const std::int64_t k : {1, 5, 19}) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < kCount; ++i) {
      const auto ranks_by = [&](const at::Tensor& rows) {
        auto away = (rows - rows[i]).norm(2, 1);
        away[i] = -1.0;
        return away.argsort().argsort();  // the point itself has 0
      };
      const auto in_truth = ranks_by(unit);
      const auto on_map = ranks_by(points);
      for (std::int64_t j = 0; j < kCount; ++j) {
        const auto rank = in_truth[j].item<std::int64_t>();
        const auto place = on_map[j].item<std::int64_t>();
        sum += place >= 1 && place <= k && rank > k ? static_cast<double>(rank - k) : 0.0;
      }
    }
    const double most = static_cast<double>(kCount * k * (2 * kCount - 3 * k - 1));
    EXPECT_NEAR(trustworthiness(features, points, k), 1.0 - 2.0 * sum / most, 1e-12) << k;
  }
}

TEST(Trustworthiness, RefusesWhatDoesNotFit) {
  const auto features = normal_matrix(10, 3, 1);
  const auto points = normal_matrix(10, 2, 2).to(at::kDouble);
  EXPECT_THROW((void)trustworthiness(features, points, 5), ContractViolation);
  EXPECT_THROW((void)trustworthiness(features, points, 0), ContractViolation);
  EXPECT_THROW((void)trustworthiness(features, points.narrow(0, 0, 9), 2), ContractViolation);
  EXPECT_THROW((void)trustworthiness(features, points.to(at::kFloat), 2), ContractViolation);
}

std::vector<Image> plain_images(std::size_t count) {
  std::vector<Image> images;
  for (std::size_t i = 0; i < count; ++i) {
    Image image(40, 48, i % 2 == 0 ? 3 : 1);
    std::ranges::fill(image.values<std::uint8_t>(), static_cast<std::uint8_t>(30 * i));
    images.push_back(image);
  }
  return images;
}

TEST(Sprite, HoldsTheThumbnailsRowByRow) {
  const TestFolder folder("sprite");
  const auto path = folder.path() / "sprite.jpg";
  const auto sprite = write_sprite(ImageList(plain_images(8)), 16, 3, path, 2);
  EXPECT_EQ(sprite.rows, 3);
  EXPECT_EQ(sprite.columns, 3);
  EXPECT_EQ(sprite.tile, 16);
  EXPECT_EQ(sprite.bytes, std::filesystem::file_size(path));
  const Image sheet = read_image(path);
  ASSERT_EQ(sheet.width(), 48);
  ASSERT_EQ(sheet.height(), 48);
  ASSERT_EQ(sheet.bands(), 3);
  for (int i = 0; i < 9; ++i) {
    for (int band = 0; band < 3; ++band) {
      const auto at = static_cast<std::size_t>(((i / 3 * 16 + 9) * 48 + i % 3 * 16 + 5) * 3 + band);
      EXPECT_NEAR(sheet.values<std::uint8_t>()[at], i < 8 ? 30 * i : 0, 2) << i;
    }
  }
}

TEST(Sprite, IsScaledAndCutAsAnEncoderSeesAnImage) {
  const TestFolder folder("sprite_cut");
  const auto path = folder.path() / "sprite.jpg";
  const Image image =
      resize_crop(random_image(4, 7, 3, 1), {0, 0, 7, 4}, 64, 100);  // smooth: survives the JPEG
  (void)write_sprite(ImageList({image}), 32, 1, path);
  const Image sheet = read_image(path);
  const Image expected = resize_center_crop(image, 32);
  ASSERT_EQ(sheet.value_count(), expected.value_count());
  double sum = 0.0;
  for (std::size_t i = 0; i < sheet.value_count(); ++i) {
    sum += std::abs(sheet.values<std::uint8_t>()[i] - expected.values<std::uint8_t>()[i]);
  }
  EXPECT_LT(sum / static_cast<double>(sheet.value_count()), 6.0);
}

TEST(Sprite, StaysSmallEvenOfNoise) {
  const TestFolder folder("sprite_noise");
  const auto path = folder.path() / "sprite.jpg";
  auto images = testing::random_images(100, 32, 3);
  for (auto& image : images) {  // black and white: nothing is harder
    for (auto& value : image.values<std::uint8_t>()) {
      value = value < 128 ? 0 : 255;
    }
  }
  const auto sprite = write_sprite(ImageList(images), 32, 10, path);
  constexpr double kMostOf2000 = 2.5e6;
  EXPECT_LT(static_cast<double>(sprite.bytes), kMostOf2000 / 20.0);
  EXPECT_EQ(std::filesystem::file_size(path), sprite.bytes);
}

TEST(Sprite, IsNotWrittenWhereItCannotBe) {
  const TestFolder folder("sprite_bad");
  EXPECT_THROW(
      (void)write_sprite(ImageList(plain_images(2)), 16, 2, folder.path() / "no" / "sprite.jpg"),
      WriteError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW((void)write_sprite(ImageList({}), 16, 2, folder.path() / "a"), ContractViolation);
  EXPECT_THROW((void)write_sprite(ImageList(plain_images(2)), 0, 2, folder.path() / "a"),
               ContractViolation);
  EXPECT_THROW((void)write_sprite(ImageList(plain_images(2)), 40000, 2, folder.path() / "a"),
               ContractViolation);
}

}  // namespace
}  // namespace viewfold
