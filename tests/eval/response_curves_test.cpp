// Tests of graded transforms and of the response of features to them.
#include "viewfold/eval/response_curves.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::random_image;
using testing::random_images;

TransformFamily family_called(std::string_view name, int strengths = 9) {
  for (auto& family : transform_families(strengths)) {
    if (family.name == name) {
      return family;
    }
  }
  throw UsageError("no family " + std::string(name));
}

/// A picture with something at every place that changes slowly, so that small changes are small.
Image smooth_image(int size) {
  Image image(size, size, 3);
  const auto values = image.values<std::uint8_t>();
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const auto at = static_cast<std::size_t>(3 * (y * size + x));
      values[at] = static_cast<std::uint8_t>(60 + 100 * x / size);
      values[at + 1] = static_cast<std::uint8_t>(40 + 100 * y / size);
      values[at + 2] = static_cast<std::uint8_t>(160 - 50 * (x + y) / size);
    }
  }
  return image;
}

Image plain_image(int size, std::uint8_t value) {
  Image image(size, size, 3);
  std::ranges::fill(image.values<std::uint8_t>(), value);
  return image;
}

int value_at(const Image& image, int y, int x, int band = 0) {
  return image.values<std::uint8_t>()[static_cast<std::size_t>(
      (y * image.width() + x) * image.bands() + band)];
}

double mean_difference(const Image& a, const Image& b) {
  const auto from = a.values<std::uint8_t>();
  const auto to = b.values<std::uint8_t>();
  double sum = 0.0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    sum += std::abs(static_cast<int>(from[i]) - static_cast<int>(to[i]));
  }
  return sum / static_cast<double>(from.size());
}

/// [n, C]: the sum of every band over a part of each image at its upper left corner, whose sides
/// are shares of its own. Sums of bytes are exact, so that equal pixels in another order give the
/// same bits.
at::Tensor sums_of(const std::vector<Image>& images, double width, double height) {
  const auto bands = static_cast<std::int64_t>(images.front().bands());
  auto sums = at::zeros({static_cast<std::int64_t>(images.size()), bands}, at::kDouble);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    auto* row = sums.data_ptr<double>() + static_cast<std::int64_t>(i) * bands;
    for (int y = 0; y < static_cast<int>(height * image.height()); ++y) {
      for (int x = 0; x < static_cast<int>(width * image.width()); ++x) {
        for (int band = 0; band < image.bands(); ++band) {
          row[band] += value_at(image, y, x, band);
        }
      }
    }
  }
  return sums;
}

at::Tensor means_of_all(const std::vector<Image>& images) {
  return sums_of(images, 1.0, 1.0) / 256.0;
}

at::Tensor means_of_left_half(const std::vector<Image>& images) {
  return sums_of(images, 0.5, 1.0) / 128.0;
}

at::Tensor means_of_corner(const std::vector<Image>& images) {
  return sums_of(images, 0.5, 0.5) / 64.0;
}

TEST(TransformFamilies, HaveNamesOfTheirOwnAndAscendingStrengthsWithTheIdentity) {
  std::set<std::string_view> names;
  for (const int count : {3, 7, 9, 15}) {
    names.clear();
    for (const auto& family : transform_families(count)) {
      names.insert(family.name);
      EXPECT_FALSE(family.unit.empty()) << family.name;
      const auto& strengths = family.strengths;
      EXPECT_TRUE(std::ranges::is_sorted(strengths, std::less_equal<>())) << family.name;
      EXPECT_EQ(std::ranges::count(strengths, family.identity), 1) << family.name;
      const std::size_t expected = family.unit == "applied"     ? 2U
                                   : family.name == "posterize" ? 8U
                                                                : static_cast<std::size_t>(count);
      EXPECT_EQ(strengths.size(), expected) << family.name;
    }
    EXPECT_EQ(names.size(), 18U);
  }
}

TEST(TransformFamilies, HaveTheRangesOfThePaper) {
  const auto ends = [](std::string_view name) {
    const auto family = family_called(name);
    return std::pair(family.strengths.front(), family.strengths.back());
  };
  EXPECT_EQ(ends("translation_x"), std::pair(-0.0625, 0.0625));
  EXPECT_EQ(ends("translation_y"), std::pair(-0.0625, 0.0625));
  EXPECT_EQ(ends("scale"), std::pair(0.25, 2.0));
  EXPECT_EQ(ends("resized_crop"), std::pair(0.25, 1.0));
  for (const auto* name : {"brightness", "contrast", "saturation"}) {
    EXPECT_EQ(ends(name), std::pair(0.25, 5.0)) << name;
  }
  EXPECT_EQ(ends("hue"), std::pair(-0.5, 0.5));
  EXPECT_EQ(ends("blur"), std::pair(0.0, 20.0));
  EXPECT_EQ(ends("sharpness"), std::pair(1.0, 30.0));
  EXPECT_EQ(ends("posterize"), std::pair(1.0, 8.0));
}

TEST(TransformFamilies, TurnFromZeroToJustBeforeAWholeTurn) {
  for (const int count : {3, 9, 255}) {
    const auto angles = family_called("rotation", count).strengths;
    ASSERT_EQ(angles.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(angles.front(), 0.0);
    EXPECT_NEAR(angles.back(), 360.0 - 360.0 / count, 1e-9);
  }
}

TEST(TransformFamilies, GoAsFarToOneSideAsToTheOther) {
  for (const int count : {3, 7, 9, 101}) {
    for (const auto* name : {"translation_x", "translation_y", "shear", "hue"}) {
      const auto strengths = family_called(name, count).strengths;
      EXPECT_EQ(strengths[strengths.size() / 2], 0.0) << name;
      for (std::size_t i = 0; i < strengths.size(); ++i) {
        EXPECT_EQ(strengths[i], -strengths[strengths.size() - 1 - i]) << name;
      }
    }
  }
}

TEST(TransformFamilies, NeedAnOddNumberOfStrengths) {
  for (const int count : {-1, 0, 1, 2, 8}) {
    EXPECT_THROW((void)transform_families(count), UsageError) << count;
  }
}

TEST(TransformFamilies, LeaveTheImageAloneAtTheIdentityAndChangeItElsewhere) {
  const Image image = random_image(32, 24, 3, 1);
  for (const auto& family : transform_families()) {
    for (const double strength : family.strengths) {
      const Image changed = family.apply(image, strength);
      EXPECT_EQ(changed == image, strength == family.identity) << family.name << " " << strength;
      EXPECT_EQ(changed.height(), 32) << family.name;
      EXPECT_EQ(changed.width(), 24) << family.name;
      EXPECT_EQ(changed.bands(), 3) << family.name;
    }
  }
}

TEST(TransformFamilies, ChangeLittleBesideTheIdentity) {
  const Image image = smooth_image(32);
  for (const auto& family : transform_families()) {
    if (family.unit == "applied" || family.unit == "bits" || family.name == "resized_crop") {
      continue;  // in whole steps
    }
    const Image changed = family.apply(image, family.identity + 1e-3);
    EXPECT_LT(mean_difference(image, changed), 2.0) << family.name;
    const Image far = family.apply(image, family.strengths.back());
    EXPECT_GT(mean_difference(image, far), mean_difference(image, changed)) << family.name;
  }
}

TEST(TransformFamilies, TakeImagesOfOneBandAndOfEveryType) {
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    const Image image = convert_type(random_image(9, 7, 1, 2), type);
    for (const auto& family : transform_families(3)) {
      for (const double strength : family.strengths) {
        const Image changed = family.apply(image, strength);
        EXPECT_EQ(changed.type(), type) << family.name;
        EXPECT_TRUE(!family.needs_color || changed == image) << family.name << " " << strength;
      }
    }
  }
}

TEST(TransformFamilies, TurnAnticlockwise) {
  const Image image = random_image(8, 8, 3, 3);
  const Image turned = family_called("rotation").apply(image, 90.0);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      EXPECT_EQ(value_at(turned, y, x), value_at(image, x, 7 - y)) << y << " " << x;
    }
  }
}

TEST(TransformFamilies, ShiftByAShareOfTheSide) {
  const Image image = random_image(16, 32, 3, 4);
  const Image right = family_called("translation_x").apply(image, 0.0625);  // 2 of 32
  const Image up = family_called("translation_y").apply(image, -0.0625);    // 1 of 16
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 32; ++x) {
      EXPECT_EQ(value_at(right, y, x), x < 2 ? 0 : value_at(image, y, x - 2)) << y << " " << x;
      EXPECT_EQ(value_at(up, y, x), y == 15 ? 0 : value_at(image, y + 1, x)) << y << " " << x;
    }
  }
}

TEST(TransformFamilies, ScaleAroundTheCentre) {
  const Image image = plain_image(16, 200);
  const Image small = family_called("scale").apply(image, 0.5);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(value_at(small, 8, i), i < 4 || i >= 12 ? 0 : 200) << i;
  }
  EXPECT_EQ(family_called("scale").apply(image, 2.0), image);
}

TEST(TransformFamilies, ShearRowsAgainstEachOther) {
  Image image(9, 9, 1);
  for (int y = 0; y < 9; ++y) {
    image.values<std::uint8_t>()[static_cast<std::size_t>(9 * y + 4)] = 200;  // an upright line
  }
  const Image leaning = family_called("shear").apply(image, 45.0);
  for (int y = 0; y < 9; ++y) {
    EXPECT_EQ(value_at(leaning, y, 8 - y), 200) << y;  // the upper end to the right
  }
}

TEST(TransformFamilies, CropNothingButTheBox) {
  // A quarter of the sides, a quarter from the upper left corner: pixels 8 .. 15 of 32.
  Image image = plain_image(32, 255);
  for (int y = 8; y < 16; ++y) {
    for (int x = 8; x < 16; ++x) {
      for (int band = 0; band < 3; ++band) {
        image.values<std::uint8_t>()[static_cast<std::size_t>(3 * (32 * y + x) + band)] = 7;
      }
    }
  }
  EXPECT_EQ(family_called("resized_crop").apply(image, 0.25), plain_image(32, 7));
  EXPECT_NE(family_called("resized_crop").apply(image, 0.34375), plain_image(32, 7));
}

TEST(TransformFamilies, MirrorInvertAndTakeColourAway) {
  const Image image = random_image(6, 5, 3, 5);
  const Image wide = family_called("h_flip").apply(image, 1.0);
  const Image high = family_called("v_flip").apply(image, 1.0);
  const Image negative = family_called("invert").apply(image, 1.0);
  const Image grey = family_called("grayscale").apply(image, 1.0);
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 5; ++x) {
      EXPECT_EQ(value_at(wide, y, x, 1), value_at(image, y, 4 - x, 1));
      EXPECT_EQ(value_at(high, y, x, 1), value_at(image, 5 - y, x, 1));
      EXPECT_EQ(value_at(negative, y, x, 2), 255 - value_at(image, y, x, 2));
      EXPECT_EQ(value_at(grey, y, x, 0), value_at(grey, y, x, 2));
    }
  }
}

TEST(TransformFamilies, ChangeColoursByTheirFactor) {
  const Image image = plain_image(4, 40);
  EXPECT_EQ(value_at(family_called("brightness").apply(image, 0.25), 0, 0), 10);
  EXPECT_EQ(value_at(family_called("brightness").apply(image, 5.0), 0, 0), 200);
  // Grey is its own mean luma and has no colour.
  EXPECT_EQ(family_called("contrast").apply(image, 5.0), image);
  EXPECT_EQ(family_called("saturation").apply(image, 5.0), image);
  EXPECT_EQ(family_called("hue").apply(image, 0.3), image);
  const auto hue = family_called("hue");
  const Image coloured = random_image(8, 8, 3, 6);
  EXPECT_EQ(hue.apply(coloured, 0.5), hue.apply(coloured, -0.5));
  const Image two_grey = family_called("posterize").apply(coloured, 1.0);
  for (const auto value : two_grey.values<std::uint8_t>()) {
    EXPECT_TRUE(value == 0 || value == 128) << static_cast<int>(value);
  }
}

TEST(TransformFamilies, BlurAndSharpenWhatIsNotPlain) {
  const Image image = random_image(32, 32, 3, 7);
  // Of independent pixels a filter leaves the sum of its squared taps.
  const auto variance = [](const Image& of) {
    double sum = 0.0;
    double squares = 0.0;
    for (const auto value : of.values<std::uint8_t>()) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
    const auto count = static_cast<double>(of.value_count());
    return squares / count - (sum / count) * (sum / count);
  };
  const auto blur = family_called("blur");
  double before = variance(image);
  for (std::size_t i = 1; i < blur.strengths.size(); ++i) {
    const double after = variance(blur.apply(image, blur.strengths[i]));
    EXPECT_LT(after, before) << blur.strengths[i];
    before = after;
  }
  EXPECT_GT(variance(family_called("sharpness").apply(image, 3.0)), variance(image));
  EXPECT_EQ(blur.apply(plain_image(32, 90), 20.0), plain_image(32, 90));
  EXPECT_EQ(family_called("sharpness").apply(plain_image(32, 90), 30.0), plain_image(32, 90));
}

TEST(TransformFamilies, RefuseStrengthsThatAreNone) {
  const Image image = random_image(8, 8, 3, 8);
  EXPECT_THROW((void)family_called("h_flip").apply(image, 0.5), ContractViolation);
  EXPECT_THROW((void)family_called("scale").apply(image, 0.0), ContractViolation);
  EXPECT_THROW((void)family_called("resized_crop").apply(image, 1.5), ContractViolation);
  EXPECT_THROW((void)family_called("posterize").apply(image, 2.5), ContractViolation);
  EXPECT_THROW((void)family_called("blur").apply(image, -1.0), ContractViolation);
  EXPECT_THROW((void)family_called("brightness").apply(image, -1.0), ContractViolation);
  EXPECT_THROW((void)family_called("hue").apply(image, 0.7), ContractViolation);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW((void)family_called("rotation").apply(image, nan), ContractViolation);
  EXPECT_THROW((void)family_called("rotation").apply(Image(), 40.0), ContractViolation);
}

class ResponseCurves : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<ResponseCurve> curves(const FeatureFunction& features) const {
    return response_curves(features, images_, Whitening::fit(features(many_)), families_);
  }
  [[nodiscard]] ResponseCurve curve(const FeatureFunction& features, std::string_view name) const {
    for (auto& curve : curves(features)) {
      if (curve.family == name) {
        return curve;
      }
    }
    throw UsageError("no curve " + std::string(name));
  }

  std::vector<Image> many_ = random_images(40, 16, 3);
  std::vector<Image> images_ = random_images(12, 16, 3);
  std::vector<TransformFamily> families_ = transform_families(5);
};

TEST_F(ResponseCurves, AreOneWithoutDistanceAtTheIdentity) {
  const auto all = curves(means_of_corner);
  ASSERT_EQ(all.size(), families_.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].family, families_[i].name);
    EXPECT_EQ(all[i].strengths, families_[i].strengths);
    ASSERT_EQ(all[i].similarity.size(), all[i].strengths.size());
    ASSERT_EQ(all[i].distance.size(), all[i].strengths.size());
    for (std::size_t k = 0; k < all[i].strengths.size(); ++k) {
      if (all[i].strengths[k] == all[i].identity) {
        EXPECT_EQ(all[i].similarity[k], 1.0) << all[i].family;
        EXPECT_EQ(all[i].distance[k], 0.0) << all[i].family;
      } else {
        EXPECT_LT(all[i].similarity[k], 1.0) << all[i].family;
        EXPECT_GT(all[i].distance[k], 0.0) << all[i].family;
      }
    }
  }
}

TEST_F(ResponseCurves, AreOneWhereFeaturesDoNotSeeTheChange) {
  for (const auto* name : {"h_flip", "v_flip"}) {
    const auto blind = curve(means_of_all, name);
    EXPECT_EQ(blind.mean_similarity.mean, 1.0) << name;
    EXPECT_EQ(blind.changed_similarity.mean, 1.0) << name;
    EXPECT_EQ(blind.mean_distance.mean, 0.0) << name;
  }
  EXPECT_LT(curve(means_of_left_half, "h_flip").mean_similarity.mean, 0.9);
  EXPECT_EQ(curve(means_of_left_half, "v_flip").mean_similarity.mean, 1.0);
}

TEST_F(ResponseCurves, OfOneAppliedChangeAreHalfwayToItsCosine) {
  const auto flip = curve(means_of_left_half, "h_flip");
  EXPECT_NEAR(flip.mean_similarity.mean, (1.0 + flip.similarity[1]) / 2.0, 1e-12);
  EXPECT_NEAR(flip.changed_similarity.mean, flip.similarity[1], 1e-12);
  EXPECT_NEAR(flip.mean_distance.mean, flip.distance[1] / 2.0, 1e-12);
}

TEST_F(ResponseCurves, AreMeansOverImagesByLoops) {
  const auto whitening = Whitening::fit(means_of_left_half(many_));
  const auto shift = curve(means_of_left_half, "translation_x");
  const auto family = family_called("translation_x", 5);
  double all = 0.0;
  for (std::size_t k = 0; k < family.strengths.size(); ++k) {
    double sum = 0.0;
    double distance = 0.0;
    for (const Image& image : images_) {
      const auto a = whitening.apply(means_of_left_half({image}))[0];
      const auto b =
          whitening.apply(means_of_left_half({family.apply(image, family.strengths[k])}))[0];
      sum += (a.dot(b) / (a.norm() * b.norm())).item<double>();
      distance += (a - b).norm().item<double>();
    }
    all += sum;
    const auto count = static_cast<double>(images_.size());
    EXPECT_NEAR(shift.similarity[k], sum / count, 1e-9) << k;
    EXPECT_NEAR(shift.distance[k], distance / count, 1e-9) << k;
  }
  EXPECT_NEAR(shift.mean_similarity.mean, all / static_cast<double>(5 * images_.size()), 1e-9);
  EXPECT_EQ(shift.mean_similarity.counted, static_cast<std::int64_t>(5 * images_.size()));
}

TEST_F(ResponseCurves, FallAsTheImageIsMadeDarkerOrBrighter) {
  const auto response = curve(means_of_all, "brightness");
  EXPECT_LT(response.distance[1], response.distance[0]);
  EXPECT_LT(response.distance[2], response.distance[1]);
  EXPECT_LT(response.distance[2], response.distance[3]);
  EXPECT_LT(response.distance[3], response.distance[4]);
}

TEST_F(ResponseCurves, AskForFeaturesOncePerStrengthAndOnceForTheImages) {
  const auto whitening = Whitening::fit(means_of_all(many_));
  std::size_t calls = 0;
  const FeatureFunction counted = [&calls](const std::vector<Image>& images) {
    ++calls;
    return means_of_all(images);
  };
  (void)response_curves(counted, images_, whitening, families_);
  std::size_t expected = 1;
  for (const auto& family : families_) {
    expected += family.strengths.size() - 1;
  }
  EXPECT_EQ(calls, expected);
}

TEST_F(ResponseCurves, IgnoreAndCountRowsThatAreNotNumbers) {
  const FeatureFunction broken = [](const std::vector<Image>& images) {
    auto rows = means_of_left_half(images);
    if (images.size() == 12) {
      rows[3].fill_(std::numeric_limits<double>::quiet_NaN());
    }
    return rows;
  };
  const auto flip = curve(broken, "h_flip");
  EXPECT_EQ(flip.mean_similarity.counted, 22);
  EXPECT_EQ(flip.mean_similarity.ignored, 2);
  EXPECT_EQ(flip.mean_distance.ignored, 2);
  EXPECT_TRUE(std::isfinite(flip.mean_similarity.mean));
}

TEST_F(ResponseCurves, LeaveColourOutOfImagesWithoutColour) {
  many_ = random_images(40, 16, 1);
  images_ = random_images(12, 16, 1);
  const auto all = curves(means_of_left_half);
  EXPECT_EQ(all.size(), families_.size() - 3);
  for (const auto& curve : all) {
    EXPECT_TRUE(curve.family != "grayscale" && curve.family != "hue" &&
                curve.family != "saturation");
  }
}

TEST_F(ResponseCurves, RefuseWhatDoesNotFit) {
  const auto whitening = Whitening::fit(means_of_all(many_));
  EXPECT_THROW((void)response_curves(means_of_all, {}, whitening, families_), ContractViolation);
  EXPECT_THROW((void)response_curves({}, images_, whitening, families_), ContractViolation);
  const FeatureFunction too_few = [](const std::vector<Image>&) {
    return at::zeros({1, 3}, at::kDouble);
  };
  EXPECT_THROW((void)response_curves(too_few, images_, whitening, families_), ContractViolation);
  const FeatureFunction too_wide = [](const std::vector<Image>& images) {
    return at::zeros({static_cast<std::int64_t>(images.size()), 4}, at::kDouble);
  };
  EXPECT_THROW((void)response_curves(too_wide, images_, whitening, families_), ContractViolation);
}

}  // namespace
}  // namespace viewfold
