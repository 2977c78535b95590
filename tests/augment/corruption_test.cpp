// Tests of the common corruptions: closed forms on simple pictures, and what holds for all of them.
#include "viewfold/augment/corruption.hpp"

#include <array>
#include <functional>
#include <numeric>
#include <set>

#include "augment/draws.hpp"
#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/augment/detail/corruption_parts.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold {
namespace {

using testing::noise;

constexpr int kSmall = 32;  // sides: for either table of constants
constexpr int kLarge = 100;

RngKey key_of(std::uint32_t sample) {
  return {.seed = 11, .stream = "corruption", .sample = sample};
}

Image constant(int side, int bands, std::uint8_t value) {
  Image image(side, side, bands);
  std::ranges::fill(image.values<std::uint8_t>(), value);
  return image;
}

// One white pixel in the middle of black.
Image dot(int side) {
  Image image(side, side, 1);
  image.values<std::uint8_t>()[static_cast<std::size_t>((side + 1) * (side / 2))] = 255;
  return image;
}

int value_of(const Image& image, int y, int x, int band = 0) {
  return image.values<std::uint8_t>()[static_cast<std::size_t>(
      (y * image.width() + x) * image.bands() + band)];
}

// A sky with a sun above a hilly meadow, a house with windows, and grain: smooth parts, edges and
// textures at several scales.
Image scene(int side) {
  Image image(side, side, 3);
  const auto values = image.values<std::uint8_t>();
  Rng rng({.seed = 2, .stream = "scene"});
  for (int i = 0; i < side * side; ++i) {
    const double y = static_cast<double>(i / side) / side;
    const double x = static_cast<double>(i % side) / side;
    std::array<double, 3> colour{0.3 + 0.3 * y, 0.5 + 0.3 * y, 0.85};
    if (y > 0.55 + 0.1 * std::sin(7.0 * x) + 0.03 * std::sin(31.0 * x)) {
      const double grass = std::sin(50.0 * x + 20.0 * y) * std::sin(40.0 * y);
      colour = {0.3 + 0.1 * grass, 0.5 + 0.15 * grass, 0.2 + 0.05 * grass};
    }
    if (std::hypot(x - 0.7, y - 0.25) < 0.12) {
      colour = {0.95, 0.8, 0.3};
    }
    if (x > 0.15 && x < 0.45 && y > 0.4 && y < 0.85) {
      const bool window = std::fmod(10.0 * x, 1.0) < 0.5 && std::fmod(8.0 * y, 1.0) < 0.5;
      colour = window ? std::array{0.1, 0.1, 0.15} : std::array{0.65, 0.3, 0.25};
    }
    for (std::size_t b = 0; b < 3; ++b) {
      values[static_cast<std::size_t>(i) * 3 + b] =
          to_pixel<std::uint8_t>(static_cast<float>(255.0 * (colour.at(b) + 0.02 * rng.normal())));
    }
  }
  return image;
}

double squared_change(const Image& a, const Image& b) {
  const auto x = a.values<std::uint8_t>();
  const auto y = b.values<std::uint8_t>();
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += (x[i] - y[i]) * (x[i] - y[i]);
  }
  return sum / static_cast<double>(x.size());
}

struct Moments {
  double mean = 0.0;
  double variance = 0.0;
};

// Of values in 0 .. 1.
Moments moments_of(const Image& image) {
  const auto values = image.values<std::uint8_t>();
  const auto count = static_cast<double>(values.size());
  Moments found;
  for (const double value : values) {
    found.mean += value / 255.0 / count;
  }
  for (const double value : values) {
    found.variance += std::pow(value / 255.0 - found.mean, 2.0) / count;
  }
  return found;
}

constexpr double kRounding = 1.0 / (12.0 * 255.0 * 255.0);  // variance that 8 bits add

template <class Call>
std::string usage_error_of(const Call& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(Corruption, TheTableHasTheFifteenAndTheFourExtraOnes) {
  std::set<std::string_view> names;
  std::set<std::uint64_t> draws;
  int extra = 0;
  for (const auto& row : corruptions()) {
    names.insert(row.name);
    draws.insert(name_hash(row.name) & 0xFFFFU);
    extra += row.extra ? 1 : 0;
    EXPECT_FALSE(row.summary.empty()) << row.name;
    EXPECT_TRUE(row.group == "noise" || row.group == "blur" || row.group == "weather" ||
                row.group == "digital")
        << row.name;
    EXPECT_EQ(&find_corruption(row.name), &row);
  }
  EXPECT_EQ(names.size(), 19U);
  EXPECT_EQ(draws.size(), 19U);  // no two of them draw the same numbers under one key
  EXPECT_EQ(extra, 4);
}

TEST(Corruption, AnUnknownNameGivesTheNearestOne) {
  const auto call = [] { (void)corrupt(constant(8, 3, 1), "gausian_noise", 1, key_of(0)); };
  EXPECT_TRUE(contains(usage_error_of(call), "did you mean gaussian_noise?"));
}

TEST(Corruption, ASeverityOutsideOneToFiveIsAUsageError) {
  for (const int severity : {-1, 0, 6}) {
    const auto call = [&] { (void)corrupt(constant(8, 3, 1), "fog", severity, key_of(0)); };
    EXPECT_TRUE(contains(usage_error_of(call), "has no severity " + std::to_string(severity)));
  }
}

TEST(Corruption, OtherPixelsThanGrayOrRgbOfEightBitsAreAUsageError) {
  const auto call = [](const Image& image) {
    return usage_error_of([&] { (void)corrupt(image, "fog", 1, key_of(0)); });
  };
  EXPECT_TRUE(contains(call(Image(8, 8, 3, PixelType::kUint16)), "not uint16 with 3"));
  EXPECT_TRUE(contains(call(Image(8, 8, 3, PixelType::kFloat32)), "not float32 with 3"));
  EXPECT_TRUE(contains(call(Image(8, 8, 4)), "not uint8 with 4"));
  EXPECT_THROW((void)corrupt(Image(), "fog", 1, key_of(0)), ContractViolation);
}

TEST(Corruption, SizeBandsAndTypeStayDownToOnePixel) {
  for (const auto& size : {ImageSize{1, 1}, {1, 9}, {9, 1}, {2, 3}, {20, 50}, {70, 66}}) {
    for (const auto& row : corruptions()) {
      const Image image = noise(size, 3, PixelType::kUint8);
      for (const int severity : {1, 3, 5}) {
        const Image result = corrupt(image, row.name, severity, key_of(0));
        EXPECT_EQ(result.height(), size.height) << row.name;
        EXPECT_EQ(result.width(), size.width) << row.name;
        EXPECT_EQ(result.bands(), 3) << row.name;
        EXPECT_EQ(result.type(), PixelType::kUint8) << row.name;
      }
    }
  }
}

TEST(Corruption, TheSameKeyGivesTheSameBitsAndAnotherOneOthersWhereNumbersAreDrawn) {
  const Image image = scene(kSmall);
  RngKey other_op = key_of(0);
  other_op.op = 3;
  for (const auto& row : corruptions()) {
    const Image first = corrupt(image, row.name, 3, key_of(0));
    EXPECT_EQ(first, corrupt(image, row.name, 3, key_of(0))) << row.name;
    EXPECT_EQ(first != corrupt(image, row.name, 3, key_of(1)), row.random) << row.name;
    EXPECT_EQ(first != corrupt(image, row.name, 3, other_op), row.random) << row.name;
  }
}

// Where the published constants of the next severity change a picture less than those before: glass
// that displaces less often or blurs more, smaller shifts with stronger bends, blocks that fit the
// texture better, larger but fewer flakes, ice that grows while the picture fades, mud after water,
// and colours that first fade and then glow.
bool may_fall(std::string_view name, bool small, int severity) {
  if (name == "saturate") {
    return severity == 3;
  }
  if (name == "spatter") {
    return small && severity == 4;
  }
  if (name == "frost") {
    return severity >= 4;
  }
  if (name == "snow") {
    return !small && severity == 3;
  }
  if (name == "pixelate") {
    return small && severity == 3;
  }
  if (name == "glass_blur") {
    return small ? severity == 3 || severity == 5 : severity == 2 || severity == 4;
  }
  return name == "elastic_transform" && (small || severity == 3);
}

void expect_growing(int side) {
  constexpr std::uint32_t kKeys = 2;
  const bool small = side <= kSmallCorruptions;
  const Image image = scene(side);
  for (const auto& row : corruptions()) {
    double before = 0.0;
    for (int severity = 1; severity <= kSeverities; ++severity) {
      double change = 0.0;
      for (std::uint32_t i = 0; i < (row.random ? kKeys : 1); ++i) {
        change += squared_change(image, corrupt(image, row.name, severity, key_of(i)));
      }
      EXPECT_GT(change, 0.0) << row.name << " " << severity;
      if (!may_fall(row.name, small, severity)) {
        // Two constants of motion_blur and of glass_blur differ only beyond 8 bits.
        EXPECT_GE(change, 0.999 * before) << row.name << " " << severity;
      }
      before = change;
    }
  }
}

TEST(Corruption, SmallPicturesChangeMoreWithEachSeverity) {
  expect_growing(kSmall);
}

TEST(Corruption, LargePicturesChangeMoreWithEachSeverity) {
  expect_growing(kLarge);
}

TEST(Corruption, TheShorterSideDecidesWhichConstantsHold) {
  // Of half black and half white, contrast leaves the share c of the difference.
  const auto left = [](int height, int width) {
    Image image(height, width, 1);
    const auto values = image.values<std::uint8_t>();
    std::fill(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
              std::uint8_t{255});
    const Image result = corrupt(image, "contrast", 1, key_of(0));
    return value_of(result, 0, 0) - value_of(result, height - 1, width - 1);
  };
  EXPECT_NEAR(left(64, 64), 255 * 0.75, 1.0);
  EXPECT_NEAR(left(64, 300), 255 * 0.75, 1.0);
  EXPECT_NEAR(left(66, 66), 255 * 0.4, 1.0);
}

TEST(Corruption, GaussianNoiseHasTheStandardDeviationOfItsSeverity) {
  const auto measure = [](int side, int severity, double sigma) {
    const Image gray = constant(side, 3, 128);
    const auto found = moments_of(corrupt(gray, "gaussian_noise", severity, key_of(5)));
    const double count = 3.0 * side * side;
    EXPECT_NEAR(found.mean, 128 / 255.0, 5.0 * sigma / std::sqrt(count)) << severity;
    EXPECT_NEAR(found.variance, sigma * sigma + kRounding,
                5.0 * sigma * sigma * std::sqrt(2.0 / count))
        << severity;
  };
  constexpr std::array<double, 5> kSigmas{0.04, 0.06, 0.08, 0.09, 0.10};
  for (int severity = 1; severity <= kSeverities; ++severity) {
    measure(64, severity, kSigmas.at(static_cast<std::size_t>(severity - 1)));
  }
  measure(kLarge, 1, 0.08);
  measure(kLarge, 2, 0.12);  // those above reach black and white
}

TEST(Corruption, SeveritiesOfOneKeyDifferInStrengthOnly) {
  const Image gray = constant(kSmall, 1, 128);
  const Image weak = corrupt(gray, "gaussian_noise", 1, key_of(0));
  const Image strong = corrupt(gray, "gaussian_noise", 3, key_of(0));  // twice the sigma
  for (int i = 0; i < kSmall * kSmall; ++i) {
    const int once = value_of(weak, 0, i) - 128;
    const int twice = value_of(strong, 0, i) - 128;
    EXPECT_NEAR(twice, 2 * once, 1.5);  // half a level of each rounding
  }
}

TEST(Corruption, ShotNoiseHasTheVarianceOfCountedPhotons) {
  constexpr std::array<double, 5> kPhotons{500, 250, 100, 75, 50};
  const double level = 128 / 255.0;
  const double count = 3.0 * 64 * 64;
  for (int severity = 1; severity <= kSeverities; ++severity) {
    const double photons = kPhotons.at(static_cast<std::size_t>(severity - 1));
    const auto found = moments_of(corrupt(constant(64, 3, 128), "shot_noise", severity, key_of(6)));
    const double variance = level / photons;
    EXPECT_NEAR(found.mean, level, 5.0 * std::sqrt(variance / count)) << severity;
    EXPECT_NEAR(found.variance, variance + kRounding,
                5.0 * variance * std::sqrt((2.0 + 1.0 / (level * photons)) / count))
        << severity;
  }
}

TEST(Corruption, ShotNoiseOfFewPhotonsIsPoissonDistributed) {
  constexpr double kPhotons = 3.0;  // of white, severity 5 of large pictures
  const Image result = corrupt(constant(kLarge, 1, 128), "shot_noise", 5, key_of(7));
  const double mean = kPhotons * 128 / 255.0;
  const double count = 1.0 * kLarge * kLarge;
  double chance = std::exp(-mean);
  for (int photons = 0; photons < 3; ++photons) {
    const auto found = std::ranges::count(result.values<std::uint8_t>(), 85 * photons);
    EXPECT_NEAR(static_cast<double>(found), count * chance, testing::binomial_bound(count, chance));
    chance *= mean / (photons + 1);
  }
}

TEST(Corruption, ShotNoiseKeepsBlack) {
  EXPECT_EQ(corrupt(constant(kSmall, 3, 0), "shot_noise", 5, key_of(0)), constant(kSmall, 3, 0));
}

TEST(Corruption, SpeckleNoiseGrowsWithTheValue) {
  for (const std::uint8_t value : std::array<std::uint8_t, 2>{64, 128}) {
    const double sigma = value / 255.0 * 0.15;  // severity 1 of large pictures
    const auto found =
        moments_of(corrupt(constant(kLarge, 3, value), "speckle_noise", 1, key_of(8)));
    EXPECT_NEAR(found.variance, sigma * sigma + kRounding,
                5.0 * sigma * sigma * std::sqrt(2.0 / (3.0 * kLarge * kLarge)));
  }
}

TEST(Corruption, ImpulseNoiseTurnsAShareOfValuesBlackOrWhite) {
  constexpr std::array<double, 5> kShares{0.03, 0.06, 0.09, 0.17, 0.27};
  const double count = 3.0 * kLarge * kLarge;
  for (int severity = 1; severity <= kSeverities; ++severity) {
    const Image result = corrupt(constant(kLarge, 3, 77), "impulse_noise", severity, key_of(9));
    const auto values = result.values<std::uint8_t>();
    const double half = kShares.at(static_cast<std::size_t>(severity - 1)) / 2.0;
    const auto black = static_cast<double>(std::ranges::count(values, 0));
    const auto white = static_cast<double>(std::ranges::count(values, 255));
    const auto kept = static_cast<double>(std::ranges::count(values, 77));
    EXPECT_NEAR(black, count * half, testing::binomial_bound(count, half)) << severity;
    EXPECT_NEAR(white, count * half, testing::binomial_bound(count, half)) << severity;
    EXPECT_EQ(black + white + kept, count) << severity;
  }
}

TEST(Corruption, WhatMovesAndMixesPixelsKeepsAPictureOfOneColour) {
  for (const auto* name : {"defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
                           "gaussian_blur", "elastic_transform", "pixelate", "contrast"}) {
    for (const int side : {kSmall, kLarge}) {
      for (int severity = 1; severity <= kSeverities; ++severity) {
        const Image image = constant(side, 3, 93);
        EXPECT_EQ(corrupt(image, name, severity, key_of(0)), image) << name << " " << severity;
      }
    }
  }
}

TEST(Corruption, GrayIsOneBandOfItsThreeCopies) {
  for (const int side : {kSmall, kLarge}) {
    const Image gray = convert_bands(scene(side), 1);
    const Image three = convert_bands(gray, 3);
    for (const auto* name :
         {"defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur", "snow", "fog",
          "brightness", "contrast", "elastic_transform", "pixelate"}) {
      const Image result = corrupt(gray, name, 4, key_of(0));
      EXPECT_EQ(corrupt(three, name, 4, key_of(0)), convert_bands(result, 3)) << name;
    }
  }
}

TEST(Corruption, GrayPicturesHaveNoSaturation) {
  const Image gray = constant(kSmall, 1, 93);
  const auto call = [&] { (void)corrupt(gray, "saturate", 1, key_of(0)); };
  EXPECT_TRUE(contains(usage_error_of(call), "the image is gray"));
  for (const auto& row : corruptions()) {
    if (row.name != "saturate") {
      EXPECT_EQ(corrupt(gray, row.name, 2, key_of(0)).bands(), 1) << row.name;
    }
  }
}

TEST(Corruption, DefocusSpreadsADotOverADisc) {
  const Image result = corrupt(dot(kSmall), "defocus_blur", 4, key_of(0));  // radius 1: 5 pixels
  for (int y = 0; y < kSmall; ++y) {
    for (int x = 0; x < kSmall; ++x) {
      const bool lit = std::abs(y - kSmall / 2) + std::abs(x - kSmall / 2) <= 1;
      EXPECT_EQ(value_of(result, y, x), lit ? 51 : 0) << y << " " << x;
    }
  }
}

TEST(Corruption, GaussianBlurSpreadsADotAsItsDensity) {
  const Image result = corrupt(dot(kSmall), "gaussian_blur", 5, key_of(0));  // sigma 1
  const double peak = 255.0 / (2.0 * std::acos(-1.0));
  for (int i = -4; i <= 4; ++i) {
    EXPECT_NEAR(value_of(result, kSmall / 2 + i, kSmall / 2 - 1),
                peak * std::exp(-0.5 * (i * i + 1)), 0.6);
  }
}

TEST(Corruption, MotionBlurSpreadsADotToOneSideOnly) {
  double weights = 0.0;  // severity 5: radius 9, sigma 2.5
  for (int i = 0; i <= 18; ++i) {
    weights += std::exp(-0.5 * i * i / (2.5 * 2.5));
  }
  constexpr int kSide = 60;
  for (std::uint32_t sample = 0; sample < 10; ++sample) {
    const Image result = corrupt(dot(kSide), "motion_blur", 5, key_of(sample));
    EXPECT_NEAR(value_of(result, kSide / 2, kSide / 2), 255.0 / weights, 0.6);
    const auto values = result.values<std::uint8_t>();
    EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0), 255, 10);  // of each of 19, 0.5
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int left = kSide / 2 - x;
        // The angle is at most 45 degrees.
        EXPECT_TRUE(value_of(result, y, x) == 0 || std::abs(y - kSide / 2) <= left)
            << y << " " << x;
      }
    }
  }
}

TEST(Corruption, WeakGlassTakesEveryPixelFromNextToIt) {
  const Image image = noise({kSmall, kSmall}, 1, PixelType::kUint8);
  const Image result = corrupt(image, "glass_blur", 1, key_of(0));
  int moved = 0;
  for (int y = 0; y < kSmall; ++y) {
    for (int x = 0; x < kSmall; ++x) {
      const int value = value_of(result, y, x);
      const bool still = y < 2 || x < 2;
      bool known = value == value_of(image, y, x);
      moved += known ? 0 : 1;
      for (int i = 1; i < 4 && !still; ++i) {
        known = known || value == value_of(image, y - i / 2, x - i % 2);
      }
      EXPECT_TRUE(known) << y << " " << x;
    }
  }
  EXPECT_NEAR(moved, 900 * 0.75, testing::binomial_bound(900, 0.75));
}

TEST(Corruption, ZoomBlurKeepsTheMiddleAndMixesTheRim) {
  constexpr int kSide = 225;
  const Image result = corrupt(dot(kSide), "zoom_blur", 5, key_of(0));
  EXPECT_GT(value_of(result, kSide / 2, kSide / 2), 255 / 3);
  // What was at 0.9 of the way to the rim is seen from there outwards.
  Image ring(kSide, kSide, 1);
  const auto values = ring.values<std::uint8_t>();
  for (int i = 0; i < kSide * kSide; ++i) {
    const int far = std::max(std::abs(i / kSide - kSide / 2), std::abs(i % kSide - kSide / 2));
    values[static_cast<std::size_t>(i)] = far >= 79 && far <= 81 ? 255 : 0;
  }
  const Image spread = corrupt(ring, "zoom_blur", 5, key_of(0));
  const auto at = [&](int far) { return value_of(spread, kSide / 2, kSide / 2 + far); };
  EXPECT_EQ(at(75), 0);
  EXPECT_GT(at(80), 30);
  EXPECT_GT(at(90), 10);
  EXPECT_GT(at(103), 10);  // 80 * 1.3
  EXPECT_EQ(at(110), 0);
}

TEST(Corruption, ContrastMovesEveryValueTowardsTheMeanOfItsBand) {
  const Image image = scene(kSmall);
  std::array<double, 3> means{};
  const auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    means.at(i % 3) += values[i] / (1.0 * kSmall * kSmall);
  }
  const Image result = corrupt(image, "contrast", 4, key_of(0));
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(result.values<std::uint8_t>()[i],
                (values[i] - means.at(i % 3)) * 0.3 + means.at(i % 3), 0.501);
  }
}

TEST(Corruption, BrightnessAddsToTheValueOfHsvAndKeepsTheRatios) {
  const Image image = noise({kSmall, kSmall}, 3, PixelType::kUint8);
  const Image result = corrupt(image, "brightness", 5, key_of(0));
  for (int i = 0; i < kSmall * kSmall; ++i) {
    int value = 0;
    for (int b = 0; b < 3; ++b) {
      value = std::max(value, value_of(image, 0, i, b));
    }
    const double brighter = std::min(value + 0.3 * 255.0, 255.0);
    for (int b = 0; b < 3; ++b) {
      const double expected = value > 0 ? value_of(image, 0, i, b) * brighter / value : brighter;
      EXPECT_NEAR(value_of(result, 0, i, b), expected, 0.501);
    }
  }
}

TEST(Corruption, BrightnessMakesBlackGray) {
  EXPECT_EQ(corrupt(constant(kLarge, 3, 0), "brightness", 2, key_of(0)), constant(kLarge, 3, 51));
}

TEST(Corruption, SaturateMultipliesTheSaturationOfHsv) {
  const Image image = noise({kSmall, kSmall}, 3, PixelType::kUint8);
  const Image result = corrupt(image, "saturate", 1, key_of(0));
  for (int i = 0; i < kSmall * kSmall; ++i) {
    int value = 0;
    for (int b = 0; b < 3; ++b) {
      value = std::max(value, value_of(image, 0, i, b));
    }
    for (int b = 0; b < 3; ++b) {
      EXPECT_NEAR(value_of(result, 0, i, b), value - 0.3 * (value - value_of(image, 0, i, b)),
                  0.501);
    }
  }
}

TEST(Corruption, SaturateGivesGrayPixelsTheHueOfRed) {
  const Image result = corrupt(constant(kSmall, 3, 100), "saturate", 5, key_of(0));
  EXPECT_EQ(value_of(result, 0, 0, 0), 100);
  EXPECT_EQ(value_of(result, 0, 0, 1), 80);
  EXPECT_EQ(value_of(result, 0, 0, 2), 80);
}

TEST(Corruption, PixelateShowsTheMeansOfBlocks) {
  const Image image = noise({kLarge, kLarge}, 3, PixelType::kUint8);
  const Image result = corrupt(image, "pixelate", 5, key_of(0));  // a quarter: blocks of 4 x 4
  for (int y = 0; y < kLarge; ++y) {
    for (int x = 0; x < kLarge; ++x) {
      double mean = 0.0;
      for (int i = 0; i < 16; ++i) {
        mean += value_of(image, y / 4 * 4 + i / 4, x / 4 * 4 + i % 4, 1) / 16.0;
      }
      EXPECT_NEAR(value_of(result, y, x, 1), mean, 0.501);
    }
  }
}

// Means of two pixels are halves every other time, and halves are rounded up.
TEST(Corruption, PixelateKeepsTheMeanWhereBlocksDifferInSize) {
  const Image image = scene(kSmall);
  for (int severity = 1; severity <= kSeverities; ++severity) {
    const Image result = corrupt(image, "pixelate", severity, key_of(0));
    EXPECT_NEAR(255.0 * moments_of(result).mean, 255.0 * moments_of(image).mean, 0.25) << severity;
  }
}

TEST(Corruption, JpegIsTheCodecAtTheQualityOfTheSeverity) {
  const Image image = scene(kSmall);
  EXPECT_EQ(corrupt(image, "jpeg_compression", 5, key_of(0)), decode_image(encode_jpeg(image, 40)));
}

TEST(Corruption, ElasticTransformShakesTheMiddleByAShareOfTheSide) {
  Image ramp(kSmall, kSmall, 1);
  const auto values = ramp.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::uint8_t>(7 * (i % kSmall));
  }
  double largest = 0.0;
  for (std::uint32_t sample = 0; sample < 50; ++sample) {
    const Image result = corrupt(ramp, "elastic_transform", 1, key_of(sample));
    const double shift = value_of(result, kSmall / 2, kSmall / 2) / 7.0 - kSmall / 2;
    largest = std::max(largest, std::abs(shift));
  }
  // The middle is half way between two points that move by 0.08 of the side at most; the map back
  // from there stretches that a little.
  EXPECT_LT(largest, 1.3 * 0.08 * kSmall);
  EXPECT_GT(largest, 0.4 * 0.08 * kSmall);
}

TEST(Corruption, FogIsBetweenNoCloudAndFullCloud) {
  const Image image = scene(kSmall);
  const double white = std::ranges::max(image.values<std::uint8_t>()) / 255.0;
  constexpr std::array<double, 5> kAmounts{0.2, 0.5, 0.75, 1.0, 1.5};
  for (int severity = 1; severity <= kSeverities; ++severity) {
    const double amount = kAmounts.at(static_cast<std::size_t>(severity - 1));
    const double scale = white / (white + amount);
    const Image result = corrupt(image, "fog", severity, key_of(0));
    double thickest = 0.0;
    for (std::size_t i = 0; i < image.value_count(); ++i) {
      const double clear = image.values<std::uint8_t>()[i] * scale;
      const double value = result.values<std::uint8_t>()[i];
      EXPECT_GE(value, clear - 0.501);
      EXPECT_LE(value, clear + 255.0 * amount * scale + 0.501);
      thickest = std::max(thickest, (value - clear) / (255.0 * amount * scale));
    }
    EXPECT_GT(thickest, 0.95) << severity;  // the map of 32 x 32 is shown whole
  }
}

TEST(Corruption, SnowNeverDarkens) {
  for (const int side : {kSmall, kLarge}) {
    const Image image = scene(side);
    for (int severity = 1; severity <= kSeverities; ++severity) {
      const Image result = corrupt(image, "snow", severity, key_of(0));
      EXPECT_TRUE(std::ranges::equal(image.values<std::uint8_t>(), result.values<std::uint8_t>(),
                                     std::less_equal()))
          << severity;
    }
  }
}

TEST(Corruption, SnowWhitensBlackAndItsFlakesAreSymmetric) {
  const Image result = corrupt(constant(kLarge, 3, 0), "snow", 1, key_of(0));
  const auto values = result.values<std::uint8_t>();
  EXPECT_NEAR(std::ranges::min(values), 25.5, 0.5);  // (1 - 0.8) * 0.5 where no flake is
  EXPECT_GT(std::ranges::max(values), 100);
  EXPECT_TRUE(std::equal(values.begin(), values.end(), values.rbegin()));  // gray: bands are equal
}

// The five photographs of the published sets have these statistics: mean green 0.48 to 0.81, its
// standard deviation 0.06 to 0.17; on average red, green and blue are 0.57, 0.65 and 0.70.
TEST(Corruption, FrostIsAsBrightAndBlueAsItsPhotographs) {
  constexpr int kKeys = 20;
  std::array<double, 3> means{};
  for (std::uint32_t sample = 0; sample < kKeys; ++sample) {
    const Image ice = corrupt(constant(kLarge, 3, 0), "frost", 4, key_of(sample));  // 0.7 of it
    Image green(kLarge, kLarge, 1);
    for (std::size_t i = 0; i < ice.value_count(); ++i) {
      means.at(i % 3) += ice.values<std::uint8_t>()[i] / (255.0 * 0.7 * kKeys * kLarge * kLarge);
      if (i % 3 == 1) {
        green.values<std::uint8_t>()[i / 3] = ice.values<std::uint8_t>()[i];
      }
    }
    const Moments found = moments_of(green);
    EXPECT_GT(found.mean / 0.7, 0.45);
    EXPECT_LT(found.mean / 0.7, 0.85);
    EXPECT_GT(std::sqrt(found.variance) / 0.7, 0.06);
    EXPECT_LT(std::sqrt(found.variance) / 0.7, 0.17);
  }
  EXPECT_NEAR(means[0], 0.57, 0.07);
  EXPECT_NEAR(means[1], 0.65, 0.07);
  EXPECT_NEAR(means[2], 0.70, 0.07);
}

TEST(Corruption, FrostIsAMixtureOfPictureAndIce) {
  const Image image = scene(kSmall);
  const Image result = corrupt(image, "frost", 5, key_of(0));  // 0.75 and 0.45
  const Image ice = corrupt(constant(kSmall, 3, 0), "frost", 5, key_of(0));
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    const double sum = 0.75 * image.values<std::uint8_t>()[i] + ice.values<std::uint8_t>()[i];
    EXPECT_NEAR(result.values<std::uint8_t>()[i], std::min(sum, 255.0), 1.01);
  }
}

TEST(Corruption, SpatteredWaterOnlyLightens) {
  const Image black = constant(kLarge, 3, 0);
  for (int severity = 1; severity <= 3; ++severity) {
    const Image result = corrupt(black, "spatter", severity, key_of(0));
    int brightest = 0;
    for (int i = 0; i < kLarge * kLarge; ++i) {
      EXPECT_NEAR(value_of(result, 0, i, 0), value_of(result, 0, i, 1) * 175.0 / 238.0, 1.0);
      EXPECT_EQ(value_of(result, 0, i, 1), value_of(result, 0, i, 2));
      brightest = std::max(brightest, value_of(result, 0, i, 1));
    }
    EXPECT_EQ(brightest, std::lround(238 * (severity < 3 ? 0.6 : 0.5))) << severity;
  }
}

TEST(Corruption, SpatteredMudCoversAtLeastFourFifths) {
  const Image result = corrupt(constant(kLarge, 3, 255), "spatter", 4, key_of(0));
  constexpr std::array<int, 3> kMud{63, 42, 20};
  int covered = 0;
  for (int i = 0; i < kLarge * kLarge; ++i) {
    for (int b = 0; b < 3; ++b) {
      const int mud = kMud.at(static_cast<std::size_t>(b));
      const int value = value_of(result, 0, i, b);
      EXPECT_TRUE(value == 255 || (value >= mud && value <= 255 - 0.8 * (255 - mud) + 0.501));
    }
    covered += value_of(result, 0, i) < 255 ? 1 : 0;
  }
  EXPECT_GT(covered, kLarge * kLarge / 50);
  EXPECT_LT(covered, kLarge * kLarge / 2);
}

TEST(CorruptionFilters, BordersRepeatReflectAndMirror) {
  using corruption::Border;
  const auto line = [](Border border) {
    std::string text;
    for (int i = -4; i < 7; ++i) {
      text += "abc"[corruption::inside(i, 3, border)];
    }
    return text;
  };
  EXPECT_EQ(line(Border::kReplicate), "aaaaabccccc");
  EXPECT_EQ(line(Border::kReflect), "ccbaabccbaa");
  EXPECT_EQ(line(Border::kMirror), "abcbabcbabc");
  EXPECT_EQ(corruption::inside(-5, 1, Border::kMirror), 0);
  EXPECT_EQ(corruption::inside(-5, 1, Border::kReflect), 0);
}

TEST(CorruptionFilters, SmoothingIsLinearInARampInside) {
  corruption::Plane ramp(20, 30);
  for (int y = 0; y < ramp.height; ++y) {
    for (int x = 0; x < ramp.width; ++x) {
      ramp.at(y, x) = 3.0 * x - 2.0 * y;
    }
  }
  const auto smooth = corruption::smooth(ramp, 1.0);  // reaches 4 pixels
  for (int y = 4; y < 16; ++y) {
    for (int x = 4; x < 26; ++x) {
      EXPECT_NEAR(smooth.at(y, x), ramp.at(y, x), 1e-12);
      EXPECT_NEAR(corruption::value_at(ramp, y + 0.25, x + 0.5, corruption::Border::kReplicate),
                  ramp.at(y, x) + 1.0, 1e-12);
    }
  }
}

TEST(CorruptionFilters, ZoomingTakesTheCornersOfTheMiddleToTheCorners) {
  corruption::Plane ramp(40, 20);
  for (int y = 0; y < ramp.height; ++y) {
    for (int x = 0; x < ramp.width; ++x) {
      ramp.at(y, x) = 100.0 * y + x;
    }
  }
  EXPECT_EQ(corruption::zoomed(ramp, 1.0).values, ramp.values);
  const auto twice = corruption::zoomed(ramp, 2.0);
  EXPECT_NEAR(twice.at(0, 0), 100.0 * 10 + 5, 1e-9);
  EXPECT_NEAR(twice.at(39, 19), 100.0 * 29 + 14, 1e-9);
}

TEST(CorruptionFilters, PlasmaCoversItsRangeAndWraps) {
  Rng rng(key_of(0));
  const auto map = corruption::plasma(64, 64, 32, 3.0, rng);
  EXPECT_EQ(std::ranges::min(map.values), 0.0);
  EXPECT_EQ(std::ranges::max(map.values), 1.0);
  std::array<double, 64> steps{};  // the largest between a column and the next one
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      double& step = steps.at(static_cast<std::size_t>(x));
      step = std::max(step, std::abs(map.at(y, x) - map.at(y, (x + 1) % 64)));
    }
  }
  EXPECT_LT(steps.back(), 1.5 * *std::max_element(steps.begin(), steps.end() - 1));
  EXPECT_LT(steps.back(), 0.25);
}

}  // namespace
}  // namespace viewfold
