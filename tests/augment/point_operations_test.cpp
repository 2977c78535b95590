// Tests of the operations that change values where they are: what they draw, closed forms, loops
// from their definitions. Agreement with torchvision is tested in golden_test.cpp.
#include <numeric>

#include "augment/draws.hpp"
#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::applied;
using testing::column;
using testing::draw;
using testing::expect_uniform;
using testing::make_operation;
using testing::noise;

constexpr std::array kTypes = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32};

template <class T>
constexpr PixelType kTypeOf = std::is_same_v<T, std::uint8_t>    ? PixelType::kUint8
                              : std::is_same_v<T, std::uint16_t> ? PixelType::kUint16
                                                                 : PixelType::kFloat32;

template <class T>
Image row_of(const std::vector<T>& values) {
  Image image(1, static_cast<int>(values.size()), 1, kTypeOf<T>);
  std::ranges::copy(values, image.values<T>().begin());
  return image;
}

// What an operation makes of a row of values, given what it has drawn.
template <class T>
std::vector<T> changed(std::string_view name,
                       std::initializer_list<float> drawn,
                       const std::vector<T>& values) {
  const Image image = applied(*make_operation(name), name, drawn, row_of(values));
  return {image.values<T>().begin(), image.values<T>().end()};
}

using U8 = std::vector<std::uint8_t>;
using U16 = std::vector<std::uint16_t>;
using F32 = std::vector<float>;

TEST(Invert, TakesValuesFromWhite) {
  EXPECT_EQ(changed("invert", {1}, U8{0, 1, 128, 255}), (U8{255, 254, 127, 0}));
  EXPECT_EQ(changed("invert", {1}, U16{0, 1, 65535}), (U16{65535, 65534, 0}));
  EXPECT_EQ(changed("invert", {1}, F32{0.0F, 0.25F, 1.0F}), (F32{1.0F, 0.75F, 0.0F}));
}

TEST(Invert, DoesTheSameToTheLastValuesAsToTheFirst) {
  for (int width = 1; width < 150; ++width) {  // around all lengths of vectors
    const Image image = noise({1, width}, 1, PixelType::kUint8);
    const Image negative = applied(*make_operation("invert"), "invert", {1}, image);
    for (std::size_t i = 0; i < image.value_count(); ++i) {
      ASSERT_EQ(negative.values<std::uint8_t>()[i], 255 - image.values<std::uint8_t>()[i]);
    }
  }
}

TEST(PointOperations, LeaveThePictureAloneWhenTheyDidNotHappen) {
  for (const std::string_view name : {"invert", "posterize", "equalize", "autocontrast", "gamma",
                                      "sharpness", "solarize", "additive_noise"}) {
    const Image image = noise({9, 7}, 3, PixelType::kUint8);
    EXPECT_EQ(applied(*make_operation(name), name, {0, 2.0F}, image), image) << name;
  }
}

TEST(Posterize, DrawsEachNumberOfBitsEquallyOften) {
  std::array<int, 9> counts{};
  const auto op =
      make_operation("posterize", {{"probability", "1"}, {"bits_min", "3"}, {"bits_max", "6"}});
  for (const double bits : column(draw(*op), 1)) {
    ++counts.at(static_cast<std::size_t>(bits));
  }
  for (std::size_t bits = 0; bits < counts.size(); ++bits) {
    const bool possible = bits >= 3 && bits <= 6;
    EXPECT_NEAR(counts[bits], possible ? testing::kDraws / 4.0 : 0.0,
                possible ? testing::binomial_bound(testing::kDraws, 0.25) : 0.0);
  }
}

TEST(Posterize, KeepsTheUpperBitsOfEight) {
  EXPECT_EQ(changed("posterize", {1, 1}, U8{0, 127, 128, 255}), (U8{0, 0, 128, 128}));
  EXPECT_EQ(changed("posterize", {1, 4}, U8{0, 15, 16, 255}), (U8{0, 0, 16, 240}));
  EXPECT_EQ(changed("posterize", {1, 8}, U8{0, 15, 201, 255}), (U8{0, 15, 201, 255}));
  EXPECT_EQ(changed("posterize", {1, 4}, U16{0, 0x0FFF, 0x1000, 0xFFFF}),
            (U16{0, 0, 0x1010, 0xF0F0}));
  EXPECT_EQ(changed("posterize", {1, 1}, F32{0.0F, 0.499F, 0.5F, 1.0F}),
            (F32{0.0F, 0.0F, 128.0F / 255.0F, 128.0F / 255.0F}));
}

TEST(Posterize, MakesTheSameLevelsOfEveryType) {
  const Image image = noise({16, 16}, 3, PixelType::kUint8);
  for (int bits = 1; bits <= 8; ++bits) {
    const auto posterized = [&](PixelType type) {
      return convert_type(applied(*make_operation("posterize"), "posterize",
                                  {1, static_cast<float>(bits)}, convert_type(image, type)),
                          PixelType::kUint8);
    };
    EXPECT_EQ(posterized(PixelType::kUint16), posterized(PixelType::kUint8)) << bits;
    EXPECT_EQ(posterized(PixelType::kFloat32), posterized(PixelType::kUint8)) << bits;
  }
}

TEST(Gamma, DrawsTheExponentUniformly) {
  const auto op =
      make_operation("gamma", {{"probability", "1"}, {"gamma_min", "0.5"}, {"gamma_max", "2.5"}});
  expect_uniform(column(draw(*op), 1), 0.5, 2.5);
}

TEST(Gamma, RaisesToThePower) {
  for (const float gamma : {0.3F, 1.0F, 1.7F, 3.0F}) {
    for (const auto type : kTypes) {
      const Image image = noise({9, 7}, 3, type);
      const Image powers = applied(*make_operation("gamma"), "gamma", {1, gamma}, image);
      with_pixel_type(type, [&]<class T>() {
        for (std::size_t i = 0; i < image.value_count(); ++i) {
          const double white = static_cast<double>(full_scale<T>());
          const double value = static_cast<double>(image.values<T>()[i]) / white;
          const double tolerance = type == PixelType::kFloat32 ? 2e-6 : 0.501 / white + 2e-6;
          ASSERT_NEAR(static_cast<double>(powers.values<T>()[i]) / white,
                      std::pow(value, static_cast<double>(gamma)), tolerance);
        }
      });
    }
  }
  EXPECT_EQ(changed("gamma", {1, 0.5F}, F32{0.0F, 1.0F}), (F32{0.0F, 1.0F}));
  EXPECT_EQ(changed("gamma", {1, 2.0F}, U8{0, 128, 255}), (U8{0, 64, 255}));
}

TEST(Autocontrast, StretchesEachBandToFullRange) {
  EXPECT_EQ(changed("autocontrast", {1}, U8{50, 100, 101, 150}), (U8{0, 128, 130, 255}));
  EXPECT_EQ(changed("autocontrast", {1}, U16{1000, 1001, 1003}), (U16{0, 21845, 65535}));
  EXPECT_EQ(changed("autocontrast", {1}, F32{0.25F, 0.375F, 0.5F}), (F32{0.0F, 0.5F, 1.0F}));
  Image two(1, 3, 2);
  std::ranges::copy(U8{10, 7, 20, 7, 15, 7}, two.values<std::uint8_t>().begin());
  two = applied(*make_operation("autocontrast"), "autocontrast", {1}, two);
  EXPECT_TRUE(std::ranges::equal(two.values<std::uint8_t>(), U8{0, 7, 255, 7, 128, 7}));
}

TEST(Autocontrast, FindsTheExtremesWhereverTheyAre) {
  for (int width = 1; width < 150; ++width) {
    for (const int bands : {1, 3}) {
      Image image(1, width, bands);
      std::ranges::fill(image.values<std::uint8_t>(), std::uint8_t{100});
      const auto last = static_cast<std::size_t>(bands * (width - 1));
      image.values<std::uint8_t>()[0] = 50;
      image.values<std::uint8_t>()[last] = 150;
      const Image wide = applied(*make_operation("autocontrast"), "autocontrast", {1}, image);
      ASSERT_EQ(wide.values<std::uint8_t>()[last], width == 1 ? 150 : 255);
      ASSERT_EQ(wide.values<std::uint8_t>()[0], width == 1 ? 150 : 0);
      if (bands == 3) {
        ASSERT_EQ(wide.values<std::uint8_t>()[last + 1], 100);  // a flat band stays
      }
    }
  }
}

TEST(Equalize, ARampIsFlatAlready) {
  U8 ramp(256);
  std::iota(ramp.begin(), ramp.end(), std::uint8_t{0});
  EXPECT_EQ(changed("equalize", {1}, ramp), ramp);
}

TEST(Equalize, ValuesBecomeTheShareOfPixelsBelowThem) {
  U8 values(510, 40);  // 510 pixels below the largest value: 2 for each grey level
  std::fill_n(values.begin(), 101, std::uint8_t{39});
  values.push_back(41);
  U8 expected(510, 51);  // (101 + 1) / 2
  std::fill_n(expected.begin(), 101, std::uint8_t{0});
  expected.push_back(255);
  EXPECT_EQ(changed("equalize", {1}, values), expected);
}

TEST(Equalize, TooFewPixelsStay) {
  for (const auto type : kTypes) {
    const Image image = noise({15, 17}, 1, type);  // 255 pixels, at most 254 below the largest
    EXPECT_EQ(applied(*make_operation("equalize"), "equalize", {1}, image), image);
    const Image larger = noise({16, 18}, 1, type);
    EXPECT_NE(applied(*make_operation("equalize"), "equalize", {1}, larger), larger);
  }
}

TEST(Equalize, SixteenBitsAreEqualizedInSixteen) {
  U16 values(65536);
  std::iota(values.begin(), values.end(), std::uint16_t{0});
  for (auto& value : values) {
    value = static_cast<std::uint16_t>(value / 4);  // the darkest quarter, all levels of it
  }
  const U16 flat = changed("equalize", {1}, values);
  const std::size_t step = (values.size() - 4) / 255;  // pixels per grey level of 8 bits
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double below = static_cast<double>(i / 4 * 4);
    ASSERT_NEAR(flat[i], std::min(65535.0, below * 257.0 / static_cast<double>(step)), 0.51);
  }
}

TEST(Sharpness, DrawsTheFactorUniformly) {
  const auto op = make_operation(
      "sharpness", {{"probability", "1"}, {"factor_min", "0.5"}, {"factor_max", "2.5"}});
  expect_uniform(column(draw(*op), 1), 0.5, 2.5);
}

// The value of a pixel by the definition; the rim stays.
template <class T>
double sharpened(const Image& image, int y, int x, int band, double factor) {
  const auto at = [&](int row, int column) {
    return static_cast<double>(image.values<T>()[static_cast<std::size_t>(
        (row * image.width() + column) * image.bands() + band)]);
  };
  if (y == 0 || x == 0 || y == image.height() - 1 || x == image.width() - 1) {
    return at(y, x);
  }
  double sum = 4.0 * at(y, x);
  for (int row = y - 1; row <= y + 1; ++row) {
    for (int column = x - 1; column <= x + 1; ++column) {
      sum += at(row, column);
    }
  }
  const double value = factor * at(y, x) + (1.0 - factor) * sum / 13.0;
  return std::clamp(value, 0.0, static_cast<double>(full_scale<T>()));
}

TEST(Sharpness, EqualsLoopsFromItsDefinition) {
  for (const ImageSize size : {ImageSize{3, 3}, ImageSize{4, 19}, ImageSize{11, 45}}) {
    for (const int bands : {1, 3, 5}) {
      for (const auto type : kTypes) {
        for (const float factor : {0.0F, 0.6F, 1.0F, 2.5F}) {
          const Image image = noise(size, bands, type);
          const Image sharp =
              applied(*make_operation("sharpness"), "sharpness", {1, factor}, image);
          with_pixel_type(type, [&]<class T>() {
            const double tolerance = type == PixelType::kFloat32 ? 2e-6 : 0.51;
            for (std::size_t i = 0; i < image.value_count(); ++i) {
              const int pixel = static_cast<int>(i) / bands;
              const double expected =
                  sharpened<T>(image, pixel / size.width, pixel % size.width,
                               static_cast<int>(i) % bands, static_cast<double>(factor));
              ASSERT_NEAR(static_cast<double>(sharp.values<T>()[i]), expected, tolerance);
            }
          });
        }
      }
    }
  }
}

TEST(Sharpness, PicturesWithoutInsideStay) {
  for (const ImageSize size : {ImageSize{1, 9}, ImageSize{2, 9}, ImageSize{9, 2}}) {
    const Image image = noise(size, 3, PixelType::kUint8);
    EXPECT_EQ(applied(*make_operation("sharpness"), "sharpness", {1, 0.0F}, image), image);
  }
}

TEST(PointOperations, RefuseRangesUpsideDown) {
  EXPECT_THROW((void)make_operation("gamma", {{"gamma_min", "2"}}), UsageError);
  EXPECT_THROW((void)make_operation("sharpness", {{"factor_min", "2"}}), UsageError);
  EXPECT_THROW((void)make_operation("posterize", {{"bits_max", "3"}}), UsageError);
  EXPECT_THROW((void)make_operation("additive_noise", {{"sigma_min", "0.1"}}), UsageError);
}

}  // namespace
}  // namespace viewfold
