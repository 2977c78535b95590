// Tests of the pixel container and its conversions.
#include "viewfold/image/image.hpp"

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/canvas.hpp"

namespace viewfold {
namespace {

TEST(Image, StartsBlackWithTheSizeAskedFor) {
  const Image image(2, 3, 4, PixelType::kUint16);
  EXPECT_EQ(image.value_count(), 24U);
  EXPECT_EQ(image.bytes().size(), 48U);
  for (const auto value : image.values<std::uint16_t>()) {
    EXPECT_EQ(value, 0);
  }
}

TEST(Image, WithoutPixelsIsACallersBug) {
  EXPECT_THROW(Image(0, 1, 1), ContractViolation);
  EXPECT_THROW(Image(1, 1, 0), ContractViolation);
}

TEST(Image, ReadAsAnotherTypeIsACallersBug) {
  const Image image(1, 1, 1);
  EXPECT_THROW((void)image.values<float>(), ContractViolation);
}

TEST(ConvertType, MapsFullRangeToFullRangeAndBack) {
  Image image(1, 256, 1);
  for (std::size_t i = 0; i < 256; ++i) {
    image.values<std::uint8_t>()[i] = static_cast<std::uint8_t>(i);
  }
  const Image deep = convert_type(image, PixelType::kUint16);
  EXPECT_EQ(deep.values<std::uint16_t>()[255], 65535);
  EXPECT_EQ(deep.values<std::uint16_t>()[1], 257);
  EXPECT_EQ(convert_type(deep, PixelType::kUint8), image);
  const Image real = convert_type(image, PixelType::kFloat32);
  EXPECT_FLOAT_EQ(real.values<float>()[255], 1.0F);
  EXPECT_EQ(convert_type(real, PixelType::kUint8), image);
}

TEST(ConvertBands, RepeatsOneBandAndTakesLumaOfThree) {
  Image gray(1, 2, 1);
  gray.values<std::uint8_t>()[1] = 200;
  const Image rgb = convert_bands(gray, 3);
  EXPECT_EQ(rgb.values<std::uint8_t>()[3], 200);
  EXPECT_EQ(rgb.values<std::uint8_t>()[2], 0);
  EXPECT_EQ(convert_bands(rgb, 1), gray);
  Image green(1, 1, 3);
  green.values<std::uint8_t>()[1] = 255;
  EXPECT_EQ(convert_bands(green, 1).values<std::uint8_t>()[0], 150);  // 0.587 * 255 = 149.7
}

TEST(ConvertBands, OfUnrelatedCountsIsADataError) {
  EXPECT_THROW((void)convert_bands(Image(1, 1, 4), 3), DataError);
}

TEST(Canvas, RewritesInPlaceOnlyWhatIsItsOwn) {
  Image given(2, 3, 1);
  given.values<std::uint8_t>()[0] = 7;
  const Image before = given;
  Canvas canvas;
  canvas.start(given);
  Image& first = canvas.rewrite();
  EXPECT_EQ(first.height(), 2);
  EXPECT_EQ(first.width(), 3);
  first.values<std::uint8_t>()[0] = 9;
  EXPECT_EQ(&canvas.image(), &first);
  EXPECT_EQ(&canvas.rewrite(), &first);
  EXPECT_EQ(given, before);
  canvas.start(given);
  EXPECT_EQ(canvas.edit(), given);
}

}  // namespace
}  // namespace viewfold
