// Tests of affine warps against their definition, for every instruction set that this machine has.
// Agreement with torchvision is tested in tests/augment/golden_test.cpp.
#include "viewfold/image/kernels/warp.hpp"

#include <array>
#include <cmath>
#include <hwy/targets.h>
#include <limits>
#include <numbers>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

constexpr std::array kTypes = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32};

struct Size {
  int height = 0;
  int width = 0;
};

Image noise(Size size, int bands, PixelType type) {
  Image image(size.height, size.width, bands, type);
  Rng rng({.seed = 1, .stream = "test"});
  with_pixel_type(type, [&]<class T>() {
    for (T& value : image.values<T>()) {
      value = to_pixel<T>(static_cast<float>(rng.uniform()) * full_scale<T>());
    }
  });
  return image;
}

double at(const Image& image, int y, int x, int band) {
  if (y < 0 || x < 0 || y >= image.height() || x >= image.width()) {
    return 0.0;
  }
  const auto i = static_cast<std::size_t>((y * image.width() + x) * image.bands() + band);
  double value = 0.0;
  with_pixel_type(image.type(),
                  [&]<class T>() { value = static_cast<double>(image.values<T>()[i]); });
  return value;
}

struct Position {
  double x = 0.0;
  double y = 0.0;
};

Position mapped(const AffineMap& map, double x, double y) {
  return {map.xx * x + map.xy * y + map.x0, map.yx * x + map.yy * y + map.y0};
}

double bilinear_by_definition(const Image& image, const Position& from, int band) {
  double sum = 0.0;
  const int left = static_cast<int>(std::floor(from.x - 0.5));
  const int top = static_cast<int>(std::floor(from.y - 0.5));
  for (const int y : {top, top + 1}) {
    for (const int x : {left, left + 1}) {
      sum += (1.0 - std::abs(y + 0.5 - from.y)) * (1.0 - std::abs(x + 0.5 - from.x)) *
             at(image, y, x, band);
    }
  }
  return sum;
}

double nearest_by_definition(const Image& image, const Position& from, int band) {
  return at(image, static_cast<int>(std::floor(from.y)), static_cast<int>(std::floor(from.x)),
            band);
}

// Turned, stretched, sheared and sometimes mirrored around the middle, and shifted.
AffineMap random_map(Rng& rng, Size from, Size to) {
  const double turn = rng.uniform(0.0, 2.0 * std::numbers::pi);
  const double scale = std::exp(rng.uniform(std::log(0.2), std::log(5.0)));
  const double shear = rng.uniform(-0.5, 0.5);
  const double mirror = rng.bernoulli(0.5) ? 1.0 : -1.0;
  AffineMap map{.xx = mirror * scale * std::cos(turn),
                .xy = scale * (shear * std::cos(turn) - std::sin(turn)),
                .yx = mirror * scale * std::sin(turn),
                .yy = scale * (shear * std::sin(turn) + std::cos(turn))};
  const auto middle = mapped(map, to.width / 2.0, to.height / 2.0);
  map.x0 = from.width * rng.uniform(0.2, 0.8) - middle.x;
  map.y0 = from.height * rng.uniform(0.2, 0.8) - middle.y;
  return map;
}

// Calls visit(image, map, out) with pictures of all types, some numbers of bands and all kinds of
// sizes, each with some maps.
template <class Visit>
void for_each_warp(const Visit& visit) {
  constexpr std::array kFrom = {Size{1, 1}, Size{1, 9}, Size{9, 1},  Size{2, 3},
                                Size{3, 2}, Size{4, 4}, Size{37, 70}};
  constexpr std::array kTo = {Size{1, 1}, Size{9, 5}, Size{21, 150}};
  Rng rng({.seed = 3, .stream = "test"});
  for (const auto type : kTypes) {
    for (const int bands : {1, 2, 3, 5}) {
      for (const auto from : kFrom) {
        for (const auto to : kTo) {
          const Image image = noise(from, bands, type);
          Image out(to.height, to.width, bands, type);
          for (int i = 0; i < 4; ++i) {
            const auto map = random_map(rng, from, to);
            SCOPED_TRACE(fmt::format("{} bytes, {} bands, {} x {} to {} x {}",
                                     bytes_per_value(type), bands, from.height, from.width,
                                     to.height, to.width));
            visit(image, map, out);
          }
        }
      }
    }
  }
}

// Calls visit(y, x, band) for every value of an image.
template <class Visit>
void for_each_value(const Image& image, const Visit& visit) {
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      for (int band = 0; band < image.bands(); ++band) {
        visit(y, x, band);
      }
    }
  }
}

double white(PixelType type) {
  double value = 0.0;
  with_pixel_type(type, [&]<class T>() { value = static_cast<double>(full_scale<T>()); });
  return value;
}

// Lets the kernels use one instruction set at a time, and all again at the end.
class WarpOnEveryInstructionSet : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use(GetParam()); }
  void TearDown() override { use(0); }

 private:
  static void use(std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(WarpOnEveryInstructionSet, BilinearIsTheMixtureOfTheFourPixelsAround) {
  Scratch scratch;
  for_each_warp([&](const Image& image, const AffineMap& map, Image& out) {
    warp_bilinear(image, map, scratch, out);
    // A position is exact to a hundred thousandth of a pixel; integers are rounded.
    const double tolerance =
        2e-5 * white(image.type()) + (image.type() == PixelType::kFloat32 ? 0.0 : 0.5);
    for_each_value(out, [&](int y, int x, int band) {
      const double expected = bilinear_by_definition(image, mapped(map, x + 0.5, y + 0.5), band);
      ASSERT_NEAR(at(out, y, x, band), expected, tolerance) << y << " " << x << " " << band;
    });
  });
}

TEST_P(WarpOnEveryInstructionSet, NearestIsThePixelAtThePosition) {
  Scratch scratch;
  for_each_warp([&](const Image& image, const AffineMap& map, Image& out) {
    warp_nearest(image, map, scratch, out);
    for_each_value(out, [&](int y, int x, int band) {
      const auto from = mapped(map, x + 0.5, y + 0.5);
      const double value = at(out, y, x, band);
      bool found = false;
      for (const double dy : {-2e-5, 2e-5}) {  // on the line between two pixels either may be taken
        for (const double dx : {-2e-5, 2e-5}) {
          found = found || value == nearest_by_definition(image, {from.x + dx, from.y + dy}, band);
        }
      }
      ASSERT_TRUE(found) << y << " " << x << " " << band;
    });
  });
}

TEST_P(WarpOnEveryInstructionSet, WholeShiftsAndQuarterTurnsMoveValuesExactly) {
  struct Case {
    AffineMap map;
    Size size;
    int (*x)(int y, int x);
    int (*y)(int y, int x);
  };
  const std::vector<Case> cases = {
      {{}, {23, 90}, [](int, int x) { return x; }, [](int y, int) { return y; }},
      {{.x0 = 7, .y0 = -3},
       {23, 90},
       [](int, int x) { return x + 7; },
       [](int y, int) { return y - 3; }},
      {{.xx = 0, .xy = 1, .yx = -1, .yy = 0, .y0 = 23},
       {90, 23},
       [](int y, int) { return y; },
       [](int, int x) { return 22 - x; }},
      {{.xx = -1, .x0 = 90, .yy = -1, .y0 = 23},
       {23, 90},
       [](int, int x) { return 89 - x; },
       [](int y, int) { return 22 - y; }},
  };
  Scratch scratch;
  for (const auto type : kTypes) {
    for (const int bands : {1, 3, 4}) {
      const Image image = noise({23, 90}, bands, type);
      for (const auto& each : cases) {
        Image out(each.size.height, each.size.width, bands, type);
        for (const auto warp : {warp_bilinear, warp_nearest}) {
          warp(image, each.map, scratch, out);
          for_each_value(out, [&](int y, int x, int band) {
            ASSERT_EQ(at(out, y, x, band), at(image, each.y(y, x), each.x(y, x), band));
          });
        }
      }
    }
  }
}

TEST_P(WarpOnEveryInstructionSet, HalvesAreRoundedToEven) {
  Scratch scratch;
  for (const int bands : {1, 3}) {
    Image image(1, 140, bands);
    for_each_value(image, [&](int, int x, int band) {
      image.values<std::uint8_t>()[static_cast<std::size_t>(x * bands + band)] =
          static_cast<std::uint8_t>(x);
    });
    Image out(1, 139, bands);
    warp_bilinear(image, {.x0 = 0.5}, scratch, out);
    for_each_value(out, [&](int, int x, int band) {
      ASSERT_EQ(at(out, 0, x, band), x % 2 == 0 ? x : x + 1);  // x + 0.5
    });
  }
}

TEST_P(WarpOnEveryInstructionSet, PositionsInLargePicturesAreAsExact) {
  Image image(2, 60000, 1, PixelType::kFloat32);
  Rng rng({.seed = 2, .stream = "test"});
  for (float& value : image.values<float>()) {
    value = static_cast<float>(rng.uniform());
  }
  Image out(2, 59000, 1, PixelType::kFloat32);
  Scratch scratch;
  const AffineMap map{.xx = 1.01, .x0 = 0.3};
  warp_bilinear(image, map, scratch, out);
  for_each_value(out, [&](int y, int x, int band) {
    ASSERT_NEAR(at(out, y, x, band),
                bilinear_by_definition(image, mapped(map, x + 0.5, y + 0.5), band), 2e-5);
  });
}

INSTANTIATE_TEST_SUITE_P(Warp,
                         WarpOnEveryInstructionSet,
                         ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST(Warp, WhatComesFromFarOutsideIsZero) {
  const Image image = noise({8, 8}, 3, PixelType::kUint8);
  Scratch scratch;
  for (const AffineMap& map :
       {AffineMap{.x0 = 1e9}, AffineMap{.y0 = -1e9}, AffineMap{.xx = 1e30, .x0 = 9.0, .yy = 1e30},
        AffineMap{.xx = 0.0, .x0 = -2.0, .yy = 0.0, .y0 = 3.0}}) {
    for (const auto warp : {warp_bilinear, warp_nearest}) {
      Image out = noise({5, 77}, 3, PixelType::kUint8);
      warp(image, map, scratch, out);
      EXPECT_EQ(out, Image(5, 77, 3));
    }
  }
}

TEST(Warp, TheInverseLeadsBack) {
  Rng rng({.seed = 4, .stream = "test"});
  for (int i = 0; i < 100; ++i) {
    const auto map = random_map(rng, {30, 40}, {50, 60});
    const auto there = mapped(map, 12.5, 3.0);
    const auto back = mapped(inverse(map), there.x, there.y);
    EXPECT_NEAR(back.x, 12.5, 1e-10);
    EXPECT_NEAR(back.y, 3.0, 1e-10);
  }
  EXPECT_THROW((void)inverse({.xx = 2, .xy = 1, .yx = 4, .yy = 2}), ContractViolation);
}

TEST(Warp, RefusesWhatDoesNotFit) {
  Image image = noise({4, 4}, 3, PixelType::kUint8);
  Image gray(4, 4, 1);
  Image wide(4, 4, 3, PixelType::kUint16);
  Image empty;
  Image out(4, 4, 3);
  Scratch scratch;
  for (const auto warp : {warp_bilinear, warp_nearest}) {
    EXPECT_THROW(warp(image, {}, scratch, image), ContractViolation);
    EXPECT_THROW(warp(image, {}, scratch, gray), ContractViolation);
    EXPECT_THROW(warp(image, {}, scratch, wide), ContractViolation);
    EXPECT_THROW(warp(image, {}, scratch, empty), ContractViolation);
    EXPECT_THROW(warp(empty, {}, scratch, out), ContractViolation);
    EXPECT_THROW(warp(image, {.xx = std::numeric_limits<double>::quiet_NaN()}, scratch, out),
                 ContractViolation);
    EXPECT_THROW(warp(image, {.y0 = std::numeric_limits<double>::infinity()}, scratch, out),
                 ContractViolation);
  }
}

}  // namespace
}  // namespace viewfold
