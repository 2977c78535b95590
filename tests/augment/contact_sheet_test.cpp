// Tests of the contact sheet: its measures, and where which pixels land.
#include "viewfold/augment/contact_sheet.hpp"

#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Rgb = std::array<int, 3>;
constexpr Rgb kBackground = {245, 245, 245};

Rgb pixel(const Image& image, int y, int x) {
  const auto at = static_cast<std::size_t>((y * image.width() + x) * 3);
  const auto values = image.values<std::uint8_t>();
  return {values[at], values[at + 1], values[at + 2]};
}

Image filled(int height, int width, const std::vector<std::uint8_t>& bands) {
  Image image(height, width, static_cast<int>(bands.size()));
  auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = bands[i % bands.size()];
  }
  return image;
}

TEST(ContactSheet, HasRoomForTheLongestRow) {
  const Image one = filled(4, 4, {1, 2, 3});
  const Image sheet = contact_sheet({{one}, {one, one, one}}, 10, 2);
  EXPECT_EQ(sheet.height(), 2 + 2 * 12);
  EXPECT_EQ(sheet.width(), 2 + 3 * 12);
  EXPECT_EQ(sheet.bands(), 3);
  EXPECT_EQ(sheet.type(), PixelType::kUint8);
  EXPECT_EQ(pixel(sheet, 1, 1), kBackground);
  EXPECT_EQ(pixel(sheet, 2, 2), (Rgb{1, 2, 3}));
  EXPECT_EQ(pixel(sheet, 11, 11), (Rgb{1, 2, 3}));
  EXPECT_EQ(pixel(sheet, 12, 12), kBackground);
  EXPECT_EQ(pixel(sheet, 2, 14), kBackground);  // the first row has no second image
  EXPECT_EQ(pixel(sheet, 14, 14), (Rgb{1, 2, 3}));
}

TEST(ContactSheet, EnlargesByRepeatingPixels) {
  Image image(2, 2, 1);
  std::ranges::copy(std::array<std::uint8_t, 4>{0, 255, 100, 50},
                    image.values<std::uint8_t>().begin());
  const Image sheet = contact_sheet({{image}}, 6, 0);
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 6; ++x) {
      const int value = image.values<std::uint8_t>()[static_cast<std::size_t>(y / 3 * 2 + x / 3)];
      EXPECT_EQ(pixel(sheet, y, x), (Rgb{value, value, value}));
    }
  }
}

TEST(ContactSheet, KeepsTheShapeAndCentresIt) {
  const Image wide = filled(10, 40, {9, 8, 7});
  const Image sheet = contact_sheet({{wide}}, 20, 0);
  EXPECT_EQ(pixel(sheet, 6, 0), kBackground);
  EXPECT_EQ(pixel(sheet, 7, 0), (Rgb{9, 8, 7}));  // five rows: 7 above, 8 below
  EXPECT_EQ(pixel(sheet, 11, 19), (Rgb{9, 8, 7}));
  EXPECT_EQ(pixel(sheet, 12, 0), kBackground);
  const Image line = filled(1, 400, {9, 8, 7});
  EXPECT_EQ(pixel(contact_sheet({{line}}, 20, 0), 9, 10), (Rgb{9, 8, 7}));
}

TEST(ContactSheet, ShowsAnyNumberOfBandsAndAnyType) {
  const auto shown = [](const Image& image) { return pixel(contact_sheet({{image}}, 4, 0), 1, 1); };
  EXPECT_EQ(shown(filled(4, 4, {5})), (Rgb{5, 5, 5}));
  EXPECT_EQ(shown(filled(4, 4, {5, 6})), (Rgb{5, 5, 5}));
  EXPECT_EQ(shown(filled(4, 4, {5, 6, 7, 8, 9})), (Rgb{5, 6, 7}));
  EXPECT_EQ(shown(convert_type(filled(4, 4, {5, 6, 7}), PixelType::kFloat32)), (Rgb{5, 6, 7}));
  EXPECT_EQ(shown(convert_type(filled(4, 4, {5, 6, 7}), PixelType::kUint16)), (Rgb{5, 6, 7}));
}

TEST(ContactSheet, AnEmptyImageLeavesItsSquareEmpty) {
  const Image sheet = contact_sheet({{Image(), filled(4, 4, {1, 2, 3})}}, 4, 1);
  EXPECT_EQ(pixel(sheet, 2, 2), kBackground);
  EXPECT_EQ(pixel(sheet, 2, 7), (Rgb{1, 2, 3}));
}

TEST(ContactSheet, NeedsASquareOfAPixel) {
  const Image one = filled(4, 4, {1});
  EXPECT_THROW((void)contact_sheet({}, 4, 1), ContractViolation);
  EXPECT_THROW((void)contact_sheet({{}}, 4, 1), ContractViolation);
  EXPECT_THROW((void)contact_sheet({{one}}, 0, 1), ContractViolation);
  EXPECT_THROW((void)contact_sheet({{one}}, 4, -1), ContractViolation);
}

}  // namespace
}  // namespace viewfold
