// Affine motions: what is drawn, which way is which, and that masks and points follow.
#include <array>

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

TEST(Affine, DrawsEveryParameterUniformlyInItsRange) {
  const auto records = draw(*make_operation("affine", {{"degrees", "40"},
                                                       {"scale_min", "0.5"},
                                                       {"scale_max", "1.5"},
                                                       {"shear_x", "10"},
                                                       {"shear_y", "5"}}));
  expect_uniform(column(records, 1), -40.0, 40.0);
  expect_uniform(column(records, 4), 0.5, 1.5);
  expect_uniform(column(records, 5), -10.0, 10.0);
  expect_uniform(column(records, 6), -5.0, 5.0);
}

TEST(Affine, HappensAsOftenAsItsProbabilitySays) {
  const auto op = make_operation("affine", {{"probability", "0.3"}});
  double count = 0.0;
  for (const auto& record : draw(*op)) {
    count += static_cast<double>(record.values[0]);
    ASSERT_TRUE(record.values[0] == 1.0F || record.values[4] == 1.0F);  // nothing: scale 1
  }
  EXPECT_NEAR(count, 0.3 * testing::kDraws, testing::binomial_bound(testing::kDraws, 0.3));
}

TEST(Affine, ShiftsAreWholePixelsUpToTheirShareOfTheSide) {
  // Of 20 pixels 0.3 is 6: -6 .. 6, the outermost half as often, as torchvision's.
  const auto op = make_operation("affine", {{"translate_x", "0.3"}, {"translate_y", "0"}});
  std::array<int, 13> counts{};
  for (const auto& record : draw(*op, {50, 20})) {
    ASSERT_EQ(record.values[2], std::round(record.values[2]));
    ASSERT_EQ(record.values[3], 0.0F);
    ++counts.at(static_cast<std::size_t>(record.values[2] + 6.0F));
  }
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double share = i == 0 || i == 12 ? 1.0 / 24.0 : 1.0 / 12.0;
    EXPECT_NEAR(counts[i], share * testing::kDraws,
                testing::binomial_bound(testing::kDraws, share));
  }
}

TEST(Affine, DoingNothingIsTheIdentity) {
  for (const std::string interpolation : {"bilinear", "nearest"}) {
    const auto op = make_operation("affine", {{"interpolation", interpolation}});
    for (const auto type : kTypes) {
      const Image image = noise({19, 26}, 3, type);
      EXPECT_EQ(applied(*op, "affine", {1, 0, 0, 0, 1, 0, 0}, image), image);
      EXPECT_EQ(applied(*op, "affine", {0, 0, 0, 0, 1, 0, 0}, image), image);
    }
  }
}

TEST(Affine, ShiftsToTheRightAndDown) {
  const Image image = noise({9, 11}, 3, PixelType::kUint8);
  const Image out = applied(*make_operation("affine"), "affine", {1, 0, 4, 2, 1, 0, 0}, image);
  const auto at = [](const Image& from, int y, int x) {
    return from.values<std::uint8_t>()[static_cast<std::size_t>((y * from.width() + x) * 3)];
  };
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 11; ++x) {
      EXPECT_EQ(at(out, y, x), y >= 2 && x >= 4 ? at(image, y - 2, x - 4) : 0);
    }
  }
}

TEST(Affine, TurnsClockwiseWhereRotationTurnsCounterClockwise) {
  for (const ImageSize size : {ImageSize{8, 8}, ImageSize{9, 14}, ImageSize{31, 20}}) {
    const Image image = noise(size, 3, PixelType::kUint8);
    for (const float degrees : {-130.0F, -90.0F, 17.0F, 45.0F, 180.0F}) {
      EXPECT_EQ(applied(*make_operation("affine"), "affine", {1, -degrees, 0, 0, 1, 0, 0}, image),
                applied(*make_operation("rotation"), "rotation", {1, degrees}, image));
    }
  }
}

TEST(Affine, EnlargesAroundTheCentre) {
  Image image(7, 7, 1);
  image.values<std::uint8_t>()[3 * 7 + 3] = 200;
  const auto op = make_operation("affine", {{"interpolation", "nearest"}});
  const Image out = applied(*op, "affine", {1, 0, 0, 0, 3, 0, 0}, image);
  for (int y = 0; y < 7; ++y) {
    for (int x = 0; x < 7; ++x) {
      const bool inside = std::abs(y - 3) <= 1 && std::abs(x - 3) <= 1;
      EXPECT_EQ(out.values<std::uint8_t>()[static_cast<std::size_t>(y * 7 + x)], inside ? 200 : 0);
    }
  }
}

TEST(Affine, PointsMoveByTheMatrixOfTorchvision) {
  // F._get_inverse_affine_matrix([0, 0], 30, [3, -2], 1.5, [10, 5], inverted=False), on positions
  // relative to the centre (32, 24).
  const auto op = make_operation("affine");
  const auto record = make_record("affine", {1, 30, 3, -2, 1.5F, 10, 5});
  const auto centre = op->move(record, Point{32, 24}, {48, 64});
  EXPECT_NEAR(centre.x, 35.0, 1e-9);
  EXPECT_NEAR(centre.y, 22.0, 1e-9);
  const auto right = op->move(record, Point{33, 24}, {48, 64});
  EXPECT_NEAR(right.x - centre.x, 1.364654603321101, 1e-9);
  EXPECT_NEAR(right.y - centre.y, 0.636348892265101, 1e-9);
  const auto below = op->move(record, Point{32, 25}, {48, 64});
  EXPECT_NEAR(below.x - centre.x, -0.9906254259135177, 1e-9);
  EXPECT_NEAR(below.y - centre.y, 1.1868326268263765, 1e-9);
}

TEST(Affine, RefusesACrossedRange) {
  EXPECT_THROW((void)make_operation("affine", {{"scale_min", "1.2"}, {"scale_max", "1.1"}}),
               UsageError);
}

}  // namespace
}  // namespace viewfold
