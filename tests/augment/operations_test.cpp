// Tests of single operations: how often they happen, what they draw, what leaves an image as it is.
#include "augment/operations.hpp"

#include <array>
#include <map>
#include <numbers>
#include <numeric>
#include <vector>

#include "augment/draws.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/blur.hpp"

namespace viewfold {
namespace {

using testing::applied;
using testing::binomial_bound;
using testing::column;
using testing::draw;
using testing::expect_uniform;
using testing::kDraws;
using testing::make_operation;
using testing::noise;

TEST(Operations, HappenAsOftenAsTheirProbabilitySays) {
  std::size_t checked = 0;
  for (const auto& entry : augmentation_table()) {
    if (entry.columns.front().name != "applied") {
      continue;
    }
    ++checked;
    for (const double p : {0.0, 0.3, 0.8, 1.0}) {
      const auto op = make_operation(entry.name, {{"probability", std::to_string(p)}});
      const auto applied_flags = column(draw(*op), 0);
      const double count = std::accumulate(applied_flags.begin(), applied_flags.end(), 0.0);
      EXPECT_NEAR(count, kDraws * p, binomial_bound(kDraws, p)) << entry.name << " " << p;
    }
  }
  EXPECT_GE(checked, 16U);
}

TEST(ColorJitter, DrawsFactorsAndHueUniformly) {
  const auto records = draw(*make_operation("color_jitter", {{"probability", "1"},
                                                             {"brightness", "0.4"},
                                                             {"contrast", "1.5"},
                                                             {"saturation", "0.8"},
                                                             {"hue", "0.1"}}));
  expect_uniform(column(records, 2), 0.6, 1.4);
  expect_uniform(column(records, 3), 0.0, 2.5);  // a factor is never negative
  expect_uniform(column(records, 4), 0.2, 1.8);
  expect_uniform(column(records, 5), -0.1, 0.1);
}

TEST(ColorJitter, DrawsEachOfThe24OrdersEquallyOften) {
  std::map<int, int> counts;
  for (const double order :
       column(draw(*make_operation("color_jitter", {{"probability", "1"}})), 1)) {
    ++counts[static_cast<int>(order)];
  }
  EXPECT_EQ(counts.size(), 24U);
  for (const auto& [order, count] : counts) {
    std::string digits = std::to_string(order);
    std::sort(digits.begin(), digits.end());
    EXPECT_EQ(digits, "1234");
    EXPECT_NEAR(count, kDraws / 24.0, binomial_bound(kDraws, 1.0 / 24.0)) << order;
  }
}

TEST(ColorJitter, StrengthZeroIsTheIdentity) {
  const auto op = make_operation("color_jitter", {{"probability", "1"},
                                                  {"brightness", "0"},
                                                  {"contrast", "0"},
                                                  {"saturation", "0"},
                                                  {"hue", "0"}});
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    const Image image = noise({9, 7}, 3, type);
    for (std::uint32_t sample = 0; sample < 20; ++sample) {
      Rng rng({.sample = sample});
      EXPECT_EQ(applied(*op, op->sample(rng, {9, 7}), image), image);
    }
  }
}

TEST(ColorJitter, OrderMatters) {
  const auto op = make_operation("color_jitter");
  const Image image = noise({9, 7}, 3, PixelType::kUint8);
  EXPECT_NE(applied(*op, "color_jitter", {1, 1234, 1.6F, 0.5F, 1, 0}, image),
            applied(*op, "color_jitter", {1, 2134, 1.6F, 0.5F, 1, 0}, image));
}

// Pillow's convert("L"), to the last bit.
TEST(Grayscale, OfBytesIsPillowsLuma) {
  const Image image = noise({64, 67}, 3, PixelType::kUint8);
  const Image gray = applied(*make_operation("grayscale"), "grayscale", {1}, image);
  const auto rgb = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < rgb.size(); i += 3) {
    const int luma = (rgb[i] * 19595 + rgb[i + 1] * 38470 + rgb[i + 2] * 7471 + 0x8000) >> 16;
    for (std::size_t band = 0; band < 3; ++band) {
      ASSERT_EQ(gray.values<std::uint8_t>()[i + band], luma);
    }
  }
}

TEST(ColorJitter, SaturationLeavesGreyPixelsAlone) {
  Image image(1, 256, 3);
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    image.values<std::uint8_t>()[i] = static_cast<std::uint8_t>(i / 3);
  }
  for (const float factor : {0.0F, 0.3F, 1.7F, 4.0F}) {
    EXPECT_EQ(
        applied(*make_operation("color_jitter"), "color_jitter", {1, 1234, 1, 1, factor, 0}, image),
        image)
        << factor;
  }
}

// Factors above 2 move values by several times their distance.
TEST(ColorJitter, LargeFactorsReachBlackAndWhite) {
  Image image(1, 6, 3);
  const std::array<std::uint8_t, 6> levels = {0, 10, 60, 100, 200, 255};
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    image.values<std::uint8_t>()[i] = levels[i / 3];
  }
  const auto first_band = [](const Image& made) {
    std::vector<int> values;
    for (std::size_t i = 0; i < made.value_count(); i += 3) {
      values.push_back(made.values<std::uint8_t>()[i]);
    }
    return values;
  };
  const auto op = make_operation("color_jitter");
  EXPECT_EQ(first_band(applied(*op, "color_jitter", {1, 1234, 3.5F, 1, 1, 0}, image)),
            (std::vector<int>{0, 35, 210, 255, 255, 255}));
  // Around the mean of 104 (625 / 6).
  EXPECT_EQ(first_band(applied(*op, "color_jitter", {1, 1234, 1, 3, 1, 0}, image)),
            (std::vector<int>{0, 0, 0, 92, 255, 255}));
}

TEST(ColorJitter, HueAndSaturationNeedThreeBands) {
  const auto op = make_operation("color_jitter");
  for (const int bands : {1, 2, 4, 5}) {
    const Image image = noise({9, 7}, bands, PixelType::kUint8);
    EXPECT_EQ(applied(*op, "color_jitter", {1, 1234, 1, 1, 0.2F, 0.3F}, image), image);
  }
}

TEST(ColorJitter, ContrastOfManyBandsIsAroundTheMeanOfEach) {
  const Image image = noise({9, 7}, 5, PixelType::kFloat32);
  const Image flat =
      applied(*make_operation("color_jitter"), "color_jitter", {1, 1234, 1, 0, 1, 0}, image);
  for (std::size_t band = 0; band < 5; ++band) {
    double sum = 0.0;
    for (std::size_t i = band; i < image.value_count(); i += 5) {
      sum += static_cast<double>(image.values<float>()[i]);
    }
    for (std::size_t i = band; i < image.value_count(); i += 5) {
      EXPECT_NEAR(flat.values<float>()[i], sum / 63.0, 1e-6);
    }
  }
}

TEST(ColorJitter, AFullTurnOfTheHueIsTheIdentity) {
  const auto op = make_operation("color_jitter");
  const Image image = noise({16, 16}, 3, PixelType::kUint8);
  const Image half = applied(*op, "color_jitter", {1, 1234, 1, 1, 1, 0.5F}, image);
  const Image whole = applied(*op, "color_jitter", {1, 1234, 1, 1, 1, 0.5F}, half);
  EXPECT_GT(testing::difference(half, image).largest, 100);
  // Rounding to grey levels between the two half turns moves the hue a little.
  EXPECT_LE(testing::difference(whole, image).largest, 1);
}

TEST(RandomResizedCrop, DrawsAreaAndShapeUniformly) {
  const auto op = make_operation("random_resized_crop",
                                 {{"scale_min", "0.2"}, {"scale_max", "0.5"}, {"size", "8"}});
  const ImageSize size{3000, 3000};  // large: no box is refused, rounding does not matter
  std::vector<double> areas;
  std::vector<double> shapes;
  for (const auto& record : draw(*op, size)) {
    const double width = static_cast<double>(record.values[2]);
    const double height = static_cast<double>(record.values[3]);
    areas.push_back(std::clamp(width * height / 9e6, 0.2, 0.5));
    shapes.push_back(std::clamp(std::log(width / height), std::log(0.75), -std::log(0.75)));
    EXPECT_NEAR(areas.back(), width * height / 9e6, 1e-3);
    EXPECT_NEAR(shapes.back(), std::log(width / height), 1e-3);
  }
  expect_uniform(areas, 0.2, 0.5);
  expect_uniform(shapes, std::log(0.75), -std::log(0.75));
}

TEST(RandomResizedCrop, EveryBoxLiesInsideTheImage) {
  for (const ImageSize size :
       {ImageSize{1, 1}, ImageSize{1, 9}, ImageSize{9, 1}, ImageSize{5, 40}, ImageSize{64, 48}}) {
    for (const auto& record : draw(*make_operation("random_resized_crop"), size)) {
      ASSERT_GE(record.values[0], 0.0F);
      ASSERT_GE(record.values[1], 0.0F);
      ASSERT_GE(record.values[2], 1.0F);
      ASSERT_GE(record.values[3], 1.0F);
      ASSERT_LE(record.values[0] + record.values[2], static_cast<float>(size.width));
      ASSERT_LE(record.values[1] + record.values[3], static_cast<float>(size.height));
      ASSERT_EQ(record.values[4], static_cast<float>(size.height));
      ASSERT_EQ(record.values[5], static_cast<float>(size.width));
    }
  }
}

TEST(RandomResizedCrop, WhereNoBoxFitsTheLargestCentralOneIsTaken) {
  // A tenth of a 10 x 1000 image cannot have a shape of 3/4 .. 4/3: such a box is 31 pixels high.
  const auto op = make_operation("random_resized_crop", {{"scale_min", "0.1"}});
  for (const auto& record : draw(*op, {10, 1000})) {
    ASSERT_EQ(record.values[2], 13.0F);  // 10 * 4/3
    ASSERT_EQ(record.values[3], 10.0F);
    ASSERT_EQ(record.values[0], 493.0F);
    ASSERT_EQ(record.values[1], 0.0F);
  }
}

TEST(RandomResizedCrop, ScaleOneAndShapeOneIsTheIdentity) {
  for (const std::string interpolation : {"bilinear", "bicubic"}) {
    const auto op = make_operation("random_resized_crop", {{"scale_min", "1"},
                                                           {"scale_max", "1"},
                                                           {"ratio_min", "1"},
                                                           {"ratio_max", "1"},
                                                           {"size", "17"},
                                                           {"interpolation", interpolation}});
    for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
      const Image image = noise({17, 17}, 3, type);
      Rng rng({.seed = 3});
      EXPECT_EQ(applied(*op, op->sample(rng, {17, 17}), image), image) << interpolation;
    }
  }
}

TEST(RandomResizedCrop, RefusesRangesUpsideDown) {
  try {
    (void)make_operation("random_resized_crop", {{"scale_min", "0.5"}, {"scale_max", "0.2"}});
    FAIL() << "scale_min above scale_max was accepted";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "random_resized_crop: scale_min = 0.5 is above scale_max = 0.2 (lower scale_min "
                 "or raise scale_max)");
  }
  EXPECT_THROW((void)make_operation("random_resized_crop", {{"ratio_min", "3"}}), UsageError);
  EXPECT_THROW((void)make_operation("gaussian_blur", {{"sigma_min", "3"}}), UsageError);
}

TEST(Grayscale, HasEqualChannels) {
  const auto op = make_operation("grayscale");
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    const Image image = noise({9, 7}, 3, type);
    const Image gray = applied(*op, "grayscale", {1}, image);
    const Image expected = convert_bands(convert_bands(image, 1), 3);
    if (type == PixelType::kFloat32) {
      for (std::size_t i = 0; i < gray.value_count(); ++i) {
        ASSERT_NEAR(gray.values<float>()[i], expected.values<float>()[i], 1e-6F);
      }
    } else {
      EXPECT_EQ(gray, expected);
    }
    EXPECT_NE(gray, image);
  }
}

TEST(Grayscale, LeavesOtherNumbersOfBandsAlone) {
  for (const int bands : {1, 2, 5}) {
    const Image image = noise({9, 7}, bands, PixelType::kUint8);
    EXPECT_EQ(applied(*make_operation("grayscale"), "grayscale", {1}, image), image);
  }
}

template <class T>
std::vector<T> solarized(const std::string& threshold, std::vector<T> values) {
  const PixelType type = std::is_same_v<T, std::uint8_t>    ? PixelType::kUint8
                         : std::is_same_v<T, std::uint16_t> ? PixelType::kUint16
                                                            : PixelType::kFloat32;
  Image image(1, static_cast<int>(values.size()), 1, type);
  std::ranges::copy(values, image.values<T>().begin());
  image = applied(*make_operation("solarize", {{"threshold", threshold}}), "solarize", {1}, image);
  std::ranges::copy(image.values<T>(), values.begin());
  return values;
}

TEST(Solarize, InvertsFromItsThresholdOn) {
  using U8 = std::vector<std::uint8_t>;
  using U16 = std::vector<std::uint16_t>;
  using F32 = std::vector<float>;
  EXPECT_EQ(solarized("0.5", U8{0, 127, 128, 255}), (U8{0, 127, 127, 0}));
  EXPECT_EQ(solarized("0.5", U16{0, 32767, 32768, 65535}), (U16{0, 32767, 32767, 0}));
  EXPECT_EQ(solarized("0.5", F32{0.0F, 0.25F, 0.5F, 0.75F}), (F32{0.0F, 0.25F, 0.5F, 0.25F}));
  EXPECT_EQ(solarized("0", U8{0, 100, 255}), (U8{255, 155, 0}));
  EXPECT_EQ(solarized("1", U8{0, 254, 255}), (U8{0, 254, 0}));
}

TEST(GaussianBlur, DrawsSigmaUniformly) {
  const auto records = draw(*make_operation("gaussian_blur", {{"probability", "1"}}));
  expect_uniform(column(records, 1), 0.1, 2.0);
}

TEST(GaussianBlur, ItsKernelSumsToOne) {
  Scratch scratch;
  for (const double sigma : {0.1, 1.0, 5.0}) {
    Image flat(24, 31, 3);
    std::ranges::fill(flat.values<std::uint8_t>(), std::uint8_t{201});
    const Image before = flat;
    gaussian_blur(flat, scratch, 4, sigma);
    EXPECT_EQ(flat, before);
    Image point(41, 41, 1, PixelType::kFloat32);  // large: nothing is reflected at the border
    point.values<float>()[20 * 41 + 20] = 1.0F;
    gaussian_blur(point, scratch, 10, sigma);
    const auto values = point.values<float>();
    EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), 1.0, 1e-5);
  }
}

TEST(GaussianBlur, SpreadsAPointAsAGaussian) {
  Scratch scratch;
  constexpr double kSigma = 1.3;
  Image point(21, 21, 1, PixelType::kFloat32);
  point.values<float>()[10 * 21 + 10] = 1.0F;
  gaussian_blur(point, scratch, 10, kSigma);
  // What the cut tails weigh, 1/2048, is spread over the taps that are left.
  for (int y = 0; y < 21; ++y) {
    for (int x = 0; x < 21; ++x) {
      const double squared = (y - 10) * (y - 10) + (x - 10) * (x - 10);
      const double expected =
          std::exp(-squared / (2 * kSigma * kSigma)) / (2 * std::numbers::pi * kSigma * kSigma);
      EXPECT_NEAR(point.values<float>()[static_cast<std::size_t>(21 * y + x)], expected, 1e-4);
    }
  }
}

TEST(GaussianBlur, TheKernelIsATenthOfTheShorterSideAndNeverBelowThree) {
  const auto reach = [](int height, int width) {  // how far a point spreads to the right
    Image point(height, width, 1, PixelType::kFloat32);
    const auto middle = static_cast<std::size_t>(height / 2 * width);
    point.values<float>()[middle + static_cast<std::size_t>(width / 2)] = 1.0F;
    point = applied(*make_operation("gaussian_blur"), "gaussian_blur", {1, 1000.0F}, point);
    const auto row = point.values<float>().subspan(middle, static_cast<std::size_t>(width));
    return std::ranges::count_if(row, [](float value) { return value > 0.0F; });
  };
  EXPECT_EQ(reach(224, 224), 23);  // SimCLR's 22, made odd
  EXPECT_EQ(reach(60, 300), 7);
  EXPECT_EQ(reach(300, 60), 7);
  EXPECT_EQ(reach(32, 32), 3);
  EXPECT_EQ(reach(9, 9), 3);
}

TEST(HorizontalFlip, MovesWholePixels) {
  Image image(2, 3, 2);
  const std::vector<std::uint8_t> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::ranges::copy(values, image.values<std::uint8_t>().begin());
  const Image flipped = applied(*make_operation("horizontal_flip"), "horizontal_flip", {1}, image);
  const std::vector<std::uint8_t> expected = {5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8};
  EXPECT_TRUE(std::ranges::equal(flipped.values<std::uint8_t>(), expected));
}

TEST(HorizontalFlip, TwiceIsTheIdentity) {
  const auto op = make_operation("horizontal_flip");
  for (const int bands : {1, 3, 5}) {
    for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
      const Image image = noise({4, 9}, bands, type);
      const Image once = applied(*op, "horizontal_flip", {1}, image);
      EXPECT_NE(once, image);
      EXPECT_EQ(applied(*op, "horizontal_flip", {1}, once), image);
    }
  }
}

TEST(Rotation, DrawsTheAngleUniformly) {
  const auto records = draw(*make_operation("rotation", {{"degrees", "30"}}));
  expect_uniform(column(records, 1), -30.0, 30.0);
}

TEST(Rotation, TurnsCounterClockwise) {
  Image image(5, 5, 1);
  image.values<std::uint8_t>()[2 * 5 + 4] = 255;  // in the middle of the right side
  const Image turned = applied(*make_operation("rotation"), "rotation", {1, 90.0F}, image);
  Image expected(5, 5, 1);
  expected.values<std::uint8_t>()[2] = 255;  // in the middle of the upper side
  EXPECT_EQ(turned, expected);
}

TEST(Rotation, HalfATurnReversesAllPixels) {
  const Image image = noise({6, 9}, 1, PixelType::kUint8);
  const Image turned = applied(*make_operation("rotation"), "rotation", {1, 180.0F}, image);
  Image expected = image;
  std::ranges::reverse(expected.values<std::uint8_t>());
  EXPECT_EQ(turned, expected);
}

TEST(Rotation, CornersThatComeInAreBlack) {
  Image white(33, 33, 3);
  std::ranges::fill(white.values<std::uint8_t>(), std::uint8_t{255});
  const Image turned = applied(*make_operation("rotation"), "rotation", {1, 45.0F}, white);
  EXPECT_EQ(turned.values<std::uint8_t>()[0], 0);
  EXPECT_EQ(turned.values<std::uint8_t>()[(16 * 33 + 16) * 3], 255);
}

}  // namespace
}  // namespace viewfold
