// Tests of the operations that write values of their own: additive noise and random erasing.
#include <numeric>

#include "augment/draws.hpp"
#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/noise.hpp"

namespace viewfold {
namespace {

using testing::applied;
using testing::column;
using testing::draw;
using testing::expect_uniform;
using testing::make_operation;
using testing::noise;

// The noise itself, in standard deviations: on mid-grey floats, far from black and white.
std::vector<double> normal_numbers(ImageSize size, float seed) {
  Image image(size.height, size.width, 1, PixelType::kFloat32);
  std::ranges::fill(image.values<float>(), 0.5F);
  image = applied(*make_operation("additive_noise"), "additive_noise", {1, 0.03125F, seed}, image);
  std::vector<double> numbers;
  for (const float value : image.values<float>()) {
    numbers.push_back((static_cast<double>(value) - 0.5) * 32.0);
  }
  return numbers;
}

double mean_of(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

TEST(AdditiveNoise, DrawsSigmaAndSeedUniformly) {
  const auto op = make_operation("additive_noise", {{"probability", "1"}, {"sigma_max", "0.2"}});
  const auto records = draw(*op);
  expect_uniform(column(records, 1), 0.0, 0.2);
  expect_uniform(column(records, 2), 0.0, 0x1p24);
}

TEST(AdditiveNoise, IsStandardNormalTimesSigma) {
  constexpr int kSide = 500;
  const auto numbers = normal_numbers({kSide, kSide}, 77);
  constexpr double kCount = 1.0 * kSide * kSide;
  EXPECT_NEAR(mean_of(numbers), 0.0, 5.0 / std::sqrt(kCount));
  std::vector<double> squares = numbers;
  std::ranges::transform(squares, squares.begin(), [](double x) { return x * x; });
  EXPECT_NEAR(mean_of(squares), 1.0, 5.0 * std::sqrt(2.0 / kCount));
  // Shares below these quantiles of the normal distribution.
  for (const auto& [quantile, share] : {std::pair{-2.326348, 0.01},
                                        {-1.281552, 0.1},
                                        {-0.674490, 0.25},
                                        {0.0, 0.5},
                                        {1.281552, 0.9},
                                        {3.090232, 0.999}}) {
    const auto below = std::ranges::count_if(numbers, [q = quantile](double x) { return x < q; });
    EXPECT_NEAR(static_cast<double>(below), kCount * share, testing::binomial_bound(kCount, share))
        << quantile;
  }
}

TEST(AdditiveNoise, NeighboursAndSeedsAreIndependent) {
  const auto first = normal_numbers({300, 300}, 1);
  const auto second = normal_numbers({300, 300}, 2);
  const auto correlation = [](std::span<const double> a, std::span<const double> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0) / static_cast<double>(a.size());
  };
  const double bound = 5.0 / std::sqrt(90000.0 - 300.0);
  EXPECT_NEAR(correlation(first, second), 0.0, bound);
  for (const std::size_t distance : {1U, 2U, 3U, 64U, 128U, 256U, 300U}) {
    const std::span all(first);
    EXPECT_NEAR(correlation(all.first(all.size() - distance), all.subspan(distance)), 0.0, bound)
        << distance;
  }
}

// Philox and Box-Muller written out for one value: the record alone says what the noise is.
TEST(AdditiveNoise, IsAFunctionOfTheSeedAndTheIndexAlone) {
  constexpr std::uint32_t kSeed = 123456;
  const auto numbers = normal_numbers({30, 40}, kSeed);
  for (const std::uint32_t i : {0U, 1U, 63U, 64U, 130U, 255U, 256U, 700U, 1199U}) {
    const std::uint32_t within = i % 256;
    const auto words = philox4x32({i / 256 * 64 + within % 64, 0, 0, 0}, {kSeed, 0});
    const auto uniform = [](std::uint32_t word) { return (word >> 8U) * 0x1p-24; };
    const std::uint32_t half = within / 128;
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(words[half])));
    const double angle = 2.0 * std::acos(-1.0) * uniform(words[half + 2]);
    const double expected = radius * (within % 128 < 64 ? std::cos(angle) : std::sin(angle));
    EXPECT_NEAR(numbers[i], expected, 2e-5) << i;
  }
}

TEST(AdditiveNoise, SigmaZeroIsTheIdentity) {
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    const Image image = noise({9, 7}, 3, type);
    EXPECT_EQ(applied(*make_operation("additive_noise"), "additive_noise", {1, 0, 5}, image),
              image);
  }
}

TEST(AdditiveNoise, StaysBetweenBlackAndWhite) {
  Image image(40, 40, 1);
  std::ranges::fill(image.values<std::uint8_t>(), std::uint8_t{128});
  image = applied(*make_operation("additive_noise"), "additive_noise", {1, 1, 5}, image);
  const auto values = image.values<std::uint8_t>();
  // Half a standard deviation to either side: 31 % each become black and white.
  for (const int limit : {0, 255}) {
    const auto count = static_cast<double>(std::ranges::count(values, limit));
    EXPECT_NEAR(count, 0.31 * 1600, testing::binomial_bound(1600, 0.31)) << limit;
  }
}

TEST(RandomErasing, DrawsAreaAndShapeUniformly) {
  const auto op = make_operation("random_erasing", {{"probability", "1"}, {"scale_max", "0.2"}});
  std::vector<double> areas;
  std::vector<double> shapes;
  for (const auto& record : draw(*op, {3000, 3000})) {  // large: rounding does not matter
    const double width = static_cast<double>(record.values[3]);
    const double height = static_cast<double>(record.values[4]);
    areas.push_back(std::clamp(width * height / 9e6, 0.02, 0.2));
    shapes.push_back(std::clamp(std::log(height / width), std::log(0.3), std::log(3.3)));
    EXPECT_NEAR(areas.back(), width * height / 9e6, 1e-3);
    EXPECT_NEAR(shapes.back(), std::log(height / width), 2e-3);
  }
  expect_uniform(areas, 0.02, 0.2);
  expect_uniform(shapes, std::log(0.3), std::log(3.3));
}

TEST(RandomErasing, EveryPositionIsDrawnEquallyOften) {
  const auto op = make_operation("random_erasing", {{"probability", "1"},
                                                    {"scale_min", "0.04"},
                                                    {"scale_max", "0.04"},
                                                    {"ratio_min", "1"},
                                                    {"ratio_max", "1"}});
  std::vector<double> places;
  for (const auto& record : draw(*op, {1000, 2000})) {  // a square of 283 pixels
    places.push_back(static_cast<double>(record.values[1]));
    ASSERT_EQ(record.values[3], 283.0F);
    ASSERT_EQ(record.values[4], 283.0F);
    ASSERT_LE(record.values[2], 717.0F);
  }
  expect_uniform(places, 0.0, 1717.0);
  expect_uniform(column(draw(*op, {1000, 2000}), 2), 0.0, 717.0);
  expect_uniform(column(draw(*op, {1000, 2000}), 5), 0.0, 0x1p24);
}

TEST(RandomErasing, WhereNoRectangleFitsNothingHappens) {
  const auto op = make_operation("random_erasing", {{"probability", "1"}});
  for (const auto& record : draw(*op, {1, 1})) {
    for (const float value : record.values) {
      ASSERT_EQ(value, 0.0F);
    }
  }
}

Image erased(const std::string& value,
             const Image& image,
             std::string_view name = "random_erasing") {
  const auto op = make_operation(name, {{"value", value}});
  return applied(*op, name, {1, 2, 1, 3, 4, 99}, image);  // x 2, y 1, 3 wide, 4 high
}

bool inside(int y, int x) {
  return x >= 2 && x < 5 && y >= 1 && y < 5;
}

TEST(RandomErasing, WritesTheRectangleAndNothingElse) {
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    for (const std::string value : {"zero", "mean", "noise"}) {
      const Image image = noise({7, 6}, 2, type);
      const Image made = erased(value, image);
      with_pixel_type(type, [&]<class T>() {
        for (int i = 0; i < 7 * 6 * 2; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const bool same = made.values<T>()[at] == image.values<T>()[at];
          if (!inside(i / 12, i / 2 % 6)) {
            EXPECT_TRUE(same) << value << " " << i;
          } else if (value == "zero") {
            EXPECT_EQ(made.values<T>()[at], T{0});
          }
        }
      });
    }
  }
}

TEST(RandomErasing, MeanIsThatOfEachBandOfThePicture) {
  Image image = noise({7, 6}, 2, PixelType::kFloat32);
  std::array<double, 2> means{};
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    means[i % 2] += static_cast<double>(image.values<float>()[i]) / 42.0;
  }
  const Image made = erased("mean", image);
  const auto first = static_cast<std::size_t>((1 * 6 + 2) * 2);
  EXPECT_NEAR(made.values<float>()[first], means[0], 1e-6);
  EXPECT_NEAR(made.values<float>()[first + 1], means[1], 1e-6);
}

TEST(RandomErasing, NoiseIsUniformAndDependsOnTheSeed) {
  const auto op = make_operation("random_erasing", {{"value", "noise"}});
  const Image black(100, 100, 1, PixelType::kFloat32);
  const auto noise_of = [&](float seed) {
    return applied(*op, "random_erasing", {1, 0, 0, 100, 100, seed}, black);
  };
  const Image first = noise_of(7);
  EXPECT_EQ(noise_of(7), first);
  EXPECT_NE(noise_of(8), first);
  expect_uniform({first.values<float>().begin(), first.values<float>().end()}, 0.0, 1.0);
}

TEST(RandomErasing, MasksLoseTheirClassThere) {
  Canvas canvas;
  Image mask(7, 6, 1, PixelType::kUint16);
  std::ranges::fill(mask.values<std::uint16_t>(), std::uint16_t{300});
  canvas.start(mask);
  make_operation("random_erasing", {{"value", "mean"}})
      ->apply_to_mask(make_record("random_erasing", {1, 2, 1, 3, 4, 99}), canvas);
  for (int i = 0; i < 42; ++i) {
    EXPECT_EQ(canvas.image().values<std::uint16_t>()[static_cast<std::size_t>(i)],
              inside(i / 6, i % 6) ? 0 : 300);
  }
}

}  // namespace
}  // namespace viewfold
