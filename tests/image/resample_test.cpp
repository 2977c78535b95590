// Tests of resizing and cropping. Agreement with Pillow is tested in tests/augment/golden_test.cpp.
#include "viewfold/image/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"

namespace viewfold {
namespace {

Image noise(int height, int width, int bands) {
  Image image(height, width, bands);
  Rng rng({.seed = 1, .stream = "test"});
  for (auto& value : image.values<std::uint8_t>()) {
    value = static_cast<std::uint8_t>(rng.below(256));
  }
  return image;
}

Box whole(const Image& image) {
  return {0, 0, image.width(), image.height()};
}

std::uint8_t at(const Image& image, int y, int x, int band) {
  return image
      .values<std::uint8_t>()[static_cast<std::size_t>((y * image.width() + x) * image.bands()) +
                              static_cast<std::size_t>(band)];
}

// The triangle filter written from its definition, for one target coordinate at a time.
double triangle_by_definition(const Image& image, double cy, double cx, double scale, int band) {
  const double stretch = std::max(scale, 1.0);
  double sum = 0.0;
  double weights = 0.0;
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      const double wy = std::max(0.0, 1.0 - std::abs(y + 0.5 - cy) / stretch);
      const double wx = std::max(0.0, 1.0 - std::abs(x + 0.5 - cx) / stretch);
      sum += wy * wx * at(image, y, x, band);
      weights += wy * wx;
    }
  }
  return sum / weights;
}

TEST(ResizeCrop, EqualsTheTriangleFilterOfTheDefinition) {
  for (const int bands : {1, 3, 5}) {
    const Image image = noise(24, 30, bands);
    const Box box{3, 2, 16, 16};
    for (const int size : {5, 16, 23}) {
      const Image out = resize_crop(image, box, size, size);
      const double scale = 16.0 / size;
      for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) {
          const double expected = triangle_by_definition(image, 2 + (y + 0.5) * scale,
                                                         3 + (x + 0.5) * scale, scale, bands - 1);
          // Rounding to a grey level is half a level; the rest is float arithmetic.
          ASSERT_NEAR(at(out, y, x, bands - 1), expected, 0.501) << size << " " << y << " " << x;
        }
      }
    }
  }
}

TEST(ResizeCrop, KeepsAnImageOfTheSameSize) {
  const Image image = noise(9, 7, 3);
  for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
    EXPECT_EQ(resize_crop(image, whole(image), 9, 7, interpolation), image);
  }
}

TEST(ResizeCrop, KeepsConstantImagesOfEveryTypeAndBandCount) {
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    for (const int bands : {1, 2, 3, 13}) {
      Image gray(11, 6, bands);
      std::ranges::fill(gray.values<std::uint8_t>(), std::uint8_t{200});
      const Image image = convert_type(gray, type);
      for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
        const Image out = resize_crop(image, {1, 2, 4, 7}, 17, 3, interpolation);
        ASSERT_EQ(out.type(), type);
        Image expected(17, 3, bands);
        std::ranges::fill(expected.values<std::uint8_t>(), std::uint8_t{200});
        EXPECT_EQ(convert_type(out, PixelType::kUint8), expected);
      }
    }
  }
}

TEST(ResizeCrop, GivesTheSamePictureForEveryPixelType) {
  const Image image = noise(20, 20, 3);
  const Image deep = convert_type(image, PixelType::kUint16);
  const Image real = convert_type(image, PixelType::kFloat32);
  const Box box{2, 5, 13, 11};
  for (const int size : {4, 32}) {
    const Image expected = resize_crop(image, box, size, size, Interpolation::kBicubic);
    const Image from_deep = convert_type(
        resize_crop(deep, box, size, size, Interpolation::kBicubic), PixelType::kUint8);
    const Image from_real = convert_type(
        resize_crop(real, box, size, size, Interpolation::kBicubic), PixelType::kUint8);
    for (std::size_t i = 0; i < expected.value_count(); ++i) {
      ASSERT_NEAR(from_deep.values<std::uint8_t>()[i], expected.values<std::uint8_t>()[i], 1);
      ASSERT_NEAR(from_real.values<std::uint8_t>()[i], expected.values<std::uint8_t>()[i], 1);
    }
  }
}

TEST(ResizeCrop, OfAFineChessboardIsItsMean) {
  Image image(64, 64, 1);
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    image.values<std::uint8_t>()[i] = (i / 64 + i) % 2 == 0 ? 255 : 0;
  }
  // Without antialiasing a target pixel would see one of the two colours.
  const Image out = resize_crop(image, whole(image), 8, 8);
  for (const auto value : out.values<std::uint8_t>()) {
    EXPECT_NEAR(value, 127.5, 8.0);
  }
}

TEST(ResizeCrop, WorksOnOnePixelAndExtremeShapes) {
  const Image dot = noise(1, 1, 3);
  const Image grown = resize_crop(dot, whole(dot), 8, 5, Interpolation::kBicubic);
  EXPECT_EQ(at(grown, 7, 4, 2), at(dot, 0, 0, 2));
  const Image line = noise(1, 5000, 3);
  EXPECT_EQ(resize_crop(line, whole(line), 32, 32).height(), 32);
}

TEST(ResizeCrop, WithABoxOutsideTheImageIsACallersBug) {
  const Image image = noise(4, 4, 1);
  EXPECT_THROW((void)resize_crop(image, {0, 0, 5, 4}, 2, 2), ContractViolation);
  EXPECT_THROW((void)resize_crop(image, {-1, 0, 2, 2}, 2, 2), ContractViolation);
  EXPECT_THROW((void)resize_crop(image, {0, 0, 0, 2}, 2, 2), ContractViolation);
  EXPECT_THROW((void)resize_crop(image, {0, 0, 2, 2}, 0, 2), ContractViolation);
  EXPECT_THROW((void)crop(image, {3, 3, 2, 1}), ContractViolation);
}

TEST(Crop, TakesThePixelsOfTheBox) {
  const Image image = noise(6, 8, 3);
  const Image out = crop(image, {2, 1, 4, 3});
  ASSERT_EQ(out.height(), 3);
  ASSERT_EQ(out.width(), 4);
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 4; ++x) {
      EXPECT_EQ(at(out, y, x, 1), at(image, y + 1, x + 2, 1));
    }
  }
}

TEST(ResizeCenterCrop, TakesTheMiddleWhenOnlyTheLongSideIsTooLong) {
  const Image image = noise(8, 20, 3);
  EXPECT_EQ(resize_center_crop(image, 8), crop(image, {6, 0, 8, 8}));
  const Image tall = noise(21, 8, 1);
  EXPECT_EQ(resize_center_crop(tall, 8), crop(tall, {0, 6, 8, 8}));  // 6.5 rounds to even
}

TEST(ResizeCenterCrop, WorksOnAnyShape) {
  for (const auto& [height, width] :
       std::vector<std::pair<int, int>>{{1, 1}, {1, 100000}, {100000, 1}, {31, 33}, {500, 375}}) {
    const Image out = resize_center_crop(Image(height, width, 3), 32);
    EXPECT_EQ(out.height(), 32);
    EXPECT_EQ(out.width(), 32);
  }
}

}  // namespace
}  // namespace viewfold
